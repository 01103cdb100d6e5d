"""Bandwidth use and the share of the matrix-multiply rate, against numbers worked by hand."""

from __future__ import annotations

import msgspec
import pytest

from slmtui.core.ceiling import Ceiling, MatmulRate, decode_bytes, describe, matmul_share, mbu, use_words
from slmtui.core.events import MemoryPart, ModelFacts, Timing
from slmtui.core.measurement import Measurement
from tests.samples import measurement

CEILING = Ceiling(
    read_bytes_per_s=20e9,
    matmul=(MatmulRate(type="f16", flops=200e9, buffer="CPU"), MatmulRate(type="q8_0", flops=500e9, buffer="AMX")),
    threads=2,
    cpu_share=0.98,
)
FACTS = ModelFacts(
    context=1000, decode_read_bytes=100_000_000, prefill_flops=200_000_000, attention_flops=100_000, weight_type="q8_0"
)
MEMORY = (MemoryPart("weights", "CPU", 100_000_000), MemoryPart("KV cache", "CPU", 20_000_000))
"""20,000 bytes of KV cache a token."""
TIMING = Timing(
    depth=400, prompt_tokens=101, prefill_s=0.101, generated_tokens=99, decode_steps=99, decode_s=0.99, ttft_s=0.1
)
"""1,000 tokens of the prompt and 100 decode steps a second."""


def bench(**changes: object) -> Measurement:
    base = measurement(facts=FACTS, timing=TIMING, engine_memory=MEMORY, ceiling=CEILING, kind="bench")
    return msgspec.structs.replace(base, **changes)


def test_bytes_of_a_decode_step() -> None:
    assert decode_bytes(FACTS, 20_000, 500) == 100_000_000 + 500 * 20_000
    assert decode_bytes(FACTS, None, 0) == 100_000_000
    assert decode_bytes(FACTS, None, 1) is None
    assert decode_bytes(ModelFacts(), 20_000, 500) is None


def test_bandwidth_use_counts_the_mean_depth_of_the_steps() -> None:
    """The first of 99 steps looks at 401 tokens, the last at 499, so the mean is 450: 109 MB, 100 times a second."""
    assert mbu(bench()) == pytest.approx(109e6 * 100 / 20e9)
    deeper = mbu(bench(timing=msgspec.structs.replace(TIMING, depth=900)))
    assert deeper == pytest.approx((109e6 + 500 * 20_000) * 100 / 20e9)


def test_decode_that_goes_on_from_the_prompt_is_deeper_by_it() -> None:
    longer = (109e6 + 101 * 20_000) * 100 / 20e9
    assert mbu(bench(after_prompt=True)) == pytest.approx(longer)
    assert mbu(bench(kind="chat")) == pytest.approx(longer)


def test_a_recurrent_state_is_read_at_each_step() -> None:
    memory = (MEMORY[0], MemoryPart("recurrent state", "CPU", 3_000_000))
    assert mbu(bench(engine_memory=memory)) == pytest.approx(103e6 * 100 / 20e9)


def test_more_than_the_memory_can_give_is_not_cut_off() -> None:
    quick = bench(timing=msgspec.structs.replace(TIMING, decode_s=0.099))
    assert mbu(quick) == pytest.approx(5.45)
    assert use_words(mbu(quick)) == "545 %, from the processor's cache"
    assert use_words(0.545) == "55 %"
    assert use_words(1.0) == "100 %"
    assert use_words(None) == "—"


def test_share_of_the_matrix_rate() -> None:
    """101 tokens after 400 look at 401 to 501, 451 in the mean: 45.1 million operations of attention each."""
    assert matmul_share(bench()) == pytest.approx((200e6 + 451 * 100_000) * 1000 / 500e9)
    windowed = msgspec.structs.replace(FACTS, attention_flops=None)
    assert matmul_share(bench(facts=windowed)) == pytest.approx(200e6 * 1000 / 500e9)
    half = msgspec.structs.replace(FACTS, weight_type="f16")
    assert matmul_share(bench(facts=half)) == pytest.approx((200e6 + 451 * 100_000) * 1000 / 200e9)


@pytest.mark.parametrize(
    "changes",
    [
        {"ceiling": None},
        {"ceiling": Ceiling()},
        {"ceiling": msgspec.structs.replace(CEILING, cpu_share=0.5)},
        {"facts": ModelFacts(context=1000)},
        {"facts": msgspec.structs.replace(FACTS, gpu_layers=7)},
        {"engine_memory": (*MEMORY, MemoryPart("compute", "CUDA0", 1))},
        {"timing": Timing(depth=400)},
    ],
    ids=["no ceiling", "nothing measured", "disturbed", "no facts", "on a GPU", "in a GPU's memory", "nothing timed"],
)
def test_what_is_not_known_is_none(changes: dict[str, object]) -> None:
    assert mbu(bench(**changes)) is None
    assert matmul_share(bench(**changes)) is None


def test_a_type_that_was_not_measured_has_no_share() -> None:
    assert matmul_share(bench(facts=msgspec.structs.replace(FACTS, weight_type="iq2_xs"))) is None


def test_without_the_engines_memory_there_is_no_bandwidth_use() -> None:
    assert mbu(bench(engine_memory=())) is None


def test_rows_for_the_machines_information() -> None:
    assert describe(None) == []
    assert describe(CEILING) == [
        ("Memory bandwidth", "20 GB/s read by 2 threads"),
        ("Matrix multiply", "f16 200 · q8_0 500 GFLOP/s by weight type"),
    ]
    assert describe(Ceiling(threads=1, notes=("It crashed.",))) == [
        ("Memory bandwidth", "—"),
        ("Matrix multiply", "—"),
        ("Note", "It crashed."),
    ]
    *_, (label, words) = describe(msgspec.structs.replace(CEILING, cpu_share=0.49))
    assert label == "Note"
    assert "49 % of its cores" in words
