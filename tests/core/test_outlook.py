"""Verdict, largest context and placement on GPUs; machines given by figures; what benchmarks teach."""

from __future__ import annotations

import math

import msgspec
import pytest

from slmtui.core.estimate import Anatomy, Range
from slmtui.core.estimate_learn import MOST_BYTES, Observed, gpu_rates, learn, observe
from slmtui.core.estimate_memory import Host, Setup, memory_parts, process_bytes
from slmtui.core.estimate_speed import Rates, speed
from slmtui.core.events import ModelFacts, ProcessMemory, Timing
from slmtui.core.fit_figures import FiguresError, place_of
from slmtui.core.measurement import Settings
from slmtui.core.outlook import Corrections, Gpu, corrected, largest_context, outlook, placed
from slmtui.core.results import CellResult, cell_results
from tests.core.estimates import GIB, MIB, RATES, anatomy, place
from tests.samples import measurement

# -- fits


def needed(context: int, model: Anatomy | None = None) -> int:
    return outlook(model or anatomy(), place(), context).needed_bytes


def test_a_model_that_fits() -> None:
    found = outlook(anatomy(), place())
    assert found.setup.context == 4096
    assert found.fit is not None
    assert found.fit.verdict == "yes"
    assert found.process_bytes == found.needed_bytes, "nothing is repacked here"
    assert found.largest_context == 8192, "the model's own"
    assert found.read_bytes == anatomy().weights_bytes
    assert any("8,192" not in sentence and "4,096 tokens in f16" in sentence for sentence in found.basis)


@pytest.mark.parametrize("context", [256, 2048, 5000])
def test_the_largest_context_is_the_last_that_fits(context: int) -> None:
    room = place(available_bytes=needed(context))
    largest = largest_context(anatomy(), room)
    assert largest is not None
    assert 0 <= largest - context < 256
    assert needed(largest) <= needed(context) < needed(largest + 256)
    assert outlook(anatomy(), room, 8192).fit.words.startswith("no: ")  # type: ignore[union-attr]


def test_no_context_fits() -> None:
    assert largest_context(anatomy(), place(available_bytes=50 * MIB)) == 0
    assert largest_context(anatomy(), place(available_bytes=None)) is None
    found = outlook(anatomy(), place(available_bytes=None))
    assert (found.fit, found.largest_context) == (None, None)


def test_without_a_context_of_its_own_the_usual_one_is_taken() -> None:
    found = outlook(anatomy(trained_context=None), place(available_bytes=4 * GIB))
    assert (found.setup.context, found.largest_context) == (4096, 131_072)
    assert outlook(anatomy(trained_context=512), place()).setup.context == 512
    assert outlook(anatomy(), place(context=1000)).setup.context == 1000
    assert outlook(anatomy(), place(context=1000), 2000).setup.context == 2000


def test_as_many_layers_as_the_gpu_holds() -> None:
    setup = Setup(context=4096)
    assert placed(anatomy(), place(), setup).gpu_layers == 0
    big = place(gpus=(Gpu(name="G", free_bytes=8 * GIB),))
    assert placed(anatomy(), big, setup).gpu_layers == 9
    assert placed(anatomy(), place(gpus=(Gpu(name="G", free_bytes=None),)), setup).gpu_layers == 9
    counts = []
    for free in (0, 720 * MIB, 760 * MIB, 8 * GIB):
        room = place(gpus=(Gpu(name="G", free_bytes=free),))
        counts.append(placed(anatomy(), room, setup).gpu_layers)
    assert counts[0] == 0
    assert 0 < counts[1] < counts[2] < counts[3] == 9
    two = place(gpus=(Gpu(name="G", free_bytes=360 * MIB), Gpu(name="H", free_bytes=360 * MIB)))
    assert placed(anatomy(), two, setup).gpu_layers > 0


def test_a_model_partly_on_the_gpu_has_no_speed_yet() -> None:
    found = outlook(anatomy(), place(gpus=(Gpu(name="G", free_bytes=720 * MIB),)))
    assert found.decode_tps is None
    assert any("layers (the output is one) on G" in sentence for sentence in found.basis)
    assert any("does not hold whole" in sentence for sentence in found.basis)
    assert found.gpu_bytes > 0
    whole = outlook(anatomy(), place(gpus=(Gpu(name="G", free_bytes=8 * GIB),)))
    assert whole.decode_tps is not None


def test_unified_memory_is_one() -> None:
    apple = place(host=Host(unified=True, charges_files=False), gpus=(Gpu(name="M", free_bytes=300 * MIB),))
    found = outlook(anatomy(), apple, 512)
    assert found.fit is not None
    assert found.fit.available_bytes == 300 * MIB, "the recommended working set"
    assert found.fit.needed_bytes == found.needed_bytes + found.gpu_bytes
    assert any("Linux only" in sentence for sentence in found.basis)


# -- figures


@pytest.mark.parametrize(
    ("figures", "memory", "video", "bandwidth", "matmul"),
    [
        ("16 GB", 16e9, None, None, None),
        ("16GiB, 68 GB/s", 16 * GIB, None, 68e9, None),
        ("16 GB, 68.5 GB/s, 1.5 TFLOP/s", 16e9, None, 68.5e9, 1.5e12),
        ("memory=8GB bandwidth=51.2GB/s matmul=400 GFLOPS", 8e9, None, 51.2e9, 4e11),
        ("ram: 8 GiB; vram 6 GiB; 272 GB/s", 8 * GIB, 6 * GIB, 272e9, None),
        ("gpu 8 GB", None, 8e9, None, None),
        ("512 MB, 900 MiB/s", 512e6, None, 900 * MIB, None),
    ],
)
def test_a_machine_by_its_figures(
    figures: str, memory: float | None, video: float | None, bandwidth: float | None, matmul: float | None
) -> None:
    found = place_of(figures)
    assert found.available_bytes == (None if memory is None else round(memory))
    assert [gpu.free_bytes for gpu in found.gpus] == ([] if video is None else [round(video)])
    assert found.rates.read_bytes_per_s == bandwidth
    assert list(found.rates.matmul.values()) == ([] if matmul is None else [matmul])
    assert figures in found.name


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ("", "memory is missing"),
        ("68 GB/s", "memory is missing"),
        ("16 GB, 8 GB", "two figures for memory"),
        ("16 cows", "'16 cows' is not understood"),
        ("16 GB fast", "'fast' is not understood"),
        ("bandwidth 16 GB", "no figure for bandwidth"),
        ("0 GB", "no figure for memory"),
        ("16 GB, \x1b[31m", "not understood"),
    ],
)
def test_figures_that_say_nothing(figures: str, words: str) -> None:
    with pytest.raises(FiguresError, match="write") as refused:
        place_of(figures)
    assert words in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_an_outlook_on_given_figures_is_wider() -> None:
    given = outlook(anatomy(), place_of("16 GB, 40 GB/s, 500 GFLOP/s"))
    here = outlook(anatomy(), place())
    for found in (given, here):
        assert found.decode_tps is not None
        assert found.prefill_tps is not None
    assert given.decode_tps.high / given.decode_tps.low > here.decode_tps.high / here.decode_tps.low  # type: ignore[union-attr]


def test_a_gpu_is_known_by_what_models_came_to_on_it() -> None:
    on_it = facts(gpu_layers=9, decode_read_bytes=10**9, prefill_flops=2 * 10**9, weight_type="q8_0")
    assert gpu_rates([]).read_bytes_per_s is None
    results: list[CellResult] = []
    for number, whole in enumerate((on_it, on_it, msgspec.structs.replace(on_it, gpu_layers=8))):
        timing = Timing(prompt_tokens=100, prefill_s=0.01, decode_steps=100 * (number + 1), decode_s=1.0)
        results += cell_results([measurement(model=f"m{number}", timing=timing, facts=whole)])
    found = gpu_rates(results)
    assert found.read_bytes_per_s == pytest.approx(1.5 * 100 * 1e9 / 0.6), "the third was only partly on it"
    assert found.matmul == {"q8_0": pytest.approx(2e9 * 10_000 / 0.7)}
    assert "2 models" in found.basis
    told = outlook(anatomy(), place(gpus=(Gpu(name="G", free_bytes=8 * GIB),), rates=found))
    assert told.decode_tps is not None
    assert told.decode_tps.likely == pytest.approx(150e9 / anatomy().weights_bytes, rel=0.01)


# -- learning

HOST = Host()


def facts(**changes: object) -> ModelFacts:
    base = ModelFacts(
        architecture="llama", quantization="Q8_0", parameters=118_000_000, weights_bytes=126_000_000, layers=8,
        hidden_size=1024, heads=16, kv_heads=4, head_size=64, vocabulary=32_768, trained_context=8192, context=1024,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def cell(decode_s: float = 1.0, charged: int = 300 * MIB, **changes: object) -> Observed | None:
    """One repetition of 100 tokens and 100 steps, laid beside its estimate."""
    one = measurement(
        timing=Timing(prompt_tokens=100, prefill_s=0.05, generated_tokens=101, decode_steps=100, decode_s=decode_s),
        facts=facts(),
        settings=Settings(threads=2, type_k="f16", type_v="f16"),
        process_memory=ProcessMemory(pss_bytes=charged),
        peak_memory=None,
    )
    (result,) = cell_results([msgspec.structs.replace(one, **changes)])
    return observe(result, HOST, RATES, {})


def test_a_measurement_beside_its_estimate() -> None:
    found = cell()
    assert found is not None
    own = {"pocket-5m:Q8_0": anatomy()}
    known = observe(cell_results([measurement(facts=facts(), settings=Settings(type_k="f16"))])[0], HOST, RATES, own)
    assert known is not None
    said = speed(anatomy(), Setup(context=1024), HOST, RATES).decode_tps
    assert said is not None
    assert found.weight_type == "q8_0"
    assert found.decode_ratio == pytest.approx(100 / said.likely, rel=0.03)
    assert found.more_bytes is not None
    estimate = process_bytes(memory_parts(anatomy(), Setup(context=1024), HOST))
    assert abs(found.more_bytes - (300 * MIB - estimate)) < 10 * MIB


def test_what_cannot_be_laid_beside_an_estimate() -> None:
    assert cell(facts=ModelFacts()) is None
    assert cell(facts=facts(gpu_layers=3)) is None
    assert cell(facts=facts(context=None)) is None
    assert cell(facts=facts(engine="MLX 0.31.2 via mlx-lm 0.31.3")) is None, "the estimates are of llama.cpp"
    assert cell(facts=facts(engine="llama.cpp via llama-cpp-python 0.3.36")) is not None
    assert cell(settings=Settings(type_k="odd")) is None
    fewer = cell(settings=Settings(threads=1))
    assert fewer is not None
    assert (fewer.decode_ratio, fewer.prefill_ratio) == (None, None), "the rates are for two threads"


def seen(model: str, ratio: float, kind: str = "q8_0", more: int | None = None) -> Observed:
    return Observed(model=model, weight_type=kind, decode_ratio=ratio, prefill_ratio=None, more_bytes=more)


def test_factors_are_drawn_towards_one_and_forgive_one_odd_model() -> None:
    assert learn([]) == Corrections()
    factor, models = learn([seen("a", 2)]).decode["q8_0"]
    assert factor == pytest.approx(math.sqrt(2))
    assert models == 1
    many = [seen(name, 0.5) for name in "abcdefgh"]
    factor, models = learn([*many, seen("odd", 6)]).decode["q8_0"]
    assert factor == pytest.approx(0.5 ** (9 / 10))
    assert models == 9
    assert learn([seen("a", 2), seen("a", 2), seen("a", 2), seen("b", 0.5)]).decode["q8_0"][0] == pytest.approx(1)
    kinds = learn([seen("a", 2, "f16"), seen("b", 0.5, "q8_0")]).decode
    assert kinds["f16"][0] > 1 > kinds["q8_0"][0]
    assert learn([seen("a", 100), seen("b", 0.01)]).decode == {}, "the machine did something else"


def test_memory_is_corrected_by_bytes() -> None:
    found = learn([seen("a", 1, more=40 * MIB), seen("b", 1, more=20 * MIB), seen("c", 1, more=30 * MIB)])
    assert (found.memory_bytes, found.memory_models) == (round(30 * MIB * 3 / 4), 3)
    assert learn([seen(name, 1, more=10 * GIB) for name in "abc"]).memory_bytes == MOST_BYTES


def test_corrections_move_and_narrow_the_interval() -> None:
    plain = Range(60, 100, 150)
    assert corrected(plain, {}, "q8_0") == plain
    assert corrected(None, {"q8_0": (2.0, 1)}, "q8_0") is None
    once, often = (corrected(plain, {"q8_0": (0.5, count)}, "q8_0") for count in (1, 8))
    assert once is not None
    assert often is not None
    assert once.likely == often.likely == 50
    assert 30 < once.low < often.low < 50 < often.high < once.high < 75


def test_an_outlook_says_what_was_learnt() -> None:
    taught = Corrections(decode={"q8_0": (0.8, 3)}, memory_bytes=-10 * MIB, memory_models=2)
    plain = outlook(anatomy(), place())
    found = outlook(anatomy(), place(corrections=taught, host=Host(extra_bytes=-10 * MIB)))
    assert found.decode_tps is not None
    assert plain.decode_tps is not None
    assert found.decode_tps.likely == pytest.approx(0.8 * plain.decode_tps.likely)
    assert plain.process_bytes - found.process_bytes == 10 * MIB
    assert any("0.80" in sentence and "3 models" in sentence for sentence in found.basis)
    assert any("10 MiB less" in sentence for sentence in found.basis)


def test_nothing_is_said_of_an_unknown_machine() -> None:
    found = outlook(anatomy(), place(rates=Rates(), available_bytes=None))
    assert (found.decode_tps, found.prefill_tps, found.fit) == (None, None, None)
