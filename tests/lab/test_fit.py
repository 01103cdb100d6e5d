"""Outlooks on real files and on the whole catalog, beside the engine's own dry run and stored measurements."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slmtui.core import machine as machines
from slmtui.core.catalog import LocalModel
from slmtui.core.ceiling import Ceiling, MatmulRate, StepRate
from slmtui.core.estimate_card import anatomy_of_facts
from slmtui.core.estimate_memory import Host, Setup, memory_parts, process_bytes, reserved_bytes
from slmtui.core.events import Inspected, ModelFacts, ProcessMemory, Timing, total_bytes
from slmtui.core.machine import Cpu, Machine
from slmtui.core.measurement import Environment, Settings
from slmtui.core.outlook import Outlook
from slmtui.engine.protocol import Load
from slmtui.lab import ceiling, fit
from slmtui.sources.catalog import read_catalog
from slmtui.sources.gguf import GgufError
from slmtui.sources.resources import pocket_folder
from tests import families
from tests.core.estimates import AMX, GIB, MIB, place
from tests.engine.gguf_files import F32, STRING, Gguf, Tensor
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY, of, run, worker
from tests.lab.seats import model, services
from tests.samples import ENVIRONMENT, measurement

ROUNDING = 0.02 * MIB
"""The dry run's figures have two decimals of MiB, one for keys and one for values of each kind of cache."""
BUFFER_ERROR = 0.10
CARDS = read_catalog()
FACTS = ModelFacts(
    architecture="llama", quantization="Q8_0", parameters=5_246_208, weights_bytes=5_583_872, layers=6, hidden_size=256,
    heads=8, kv_heads=4, vocabulary=2048, trained_context=512,
)  # fmt: skip


def part(told: Outlook, kind: str) -> int:
    return sum(one.bytes for one in told.parts if one.kind == kind)


def check(path: Path, told: Inspected, context: int, kv: str) -> None:
    found = fit.of_file(path, place(), context, kv)
    assert part(found, "KV cache") == pytest.approx(total_bytes(told.planned, "KV cache"), abs=2 * ROUNDING)
    assert part(found, "recurrent state") == pytest.approx(total_bytes(told.planned, "recurrent state"), abs=ROUNDING)
    assert part(found, "weights") == told.facts.weights_bytes
    assert part(found, "output") == pytest.approx(total_bytes(told.planned, "output"), abs=ROUNDING)
    setup = Setup(context=context, type_k=kv, type_v=kv)
    buffers = total_bytes(told.planned, "compute")
    assert reserved_bytes(fit.anatomy_of_file(path), setup) == pytest.approx(buffers, rel=BUFFER_ERROR)


@pytest.mark.parametrize("path", [F16, Q8_0, Q4_K_M, STORY], ids=lambda path: path.stem)
async def test_real_files_beside_the_engines_dry_run(tmp_path: Path, path: Path) -> None:
    async with worker(tmp_path / "log") as client:
        for context, kv in ((512, "f16"), (4000, "f16"), (4096, "f16" if path == STORY else "q8_0")):
            request = Load(path=str(path), context=context, type_k=kv, type_v=kv, inspect_only=True)
            (told,) = of(await run(client, request), Inspected)
            check(path, told, context, kv)


def check_without_the_file(name: str, path: Path, told: Inspected, setup: Setup) -> None:
    """What the catalog says, and what a measurement's facts do, come to as much as the header."""
    host = Host(packing=AMX)
    whole = process_bytes(memory_parts(fit.anatomy_of_file(path), setup, host))
    for known in (families.as_card(name, path, "Q4_K_M"), anatomy_of_facts(told.facts)):
        if known is not None:
            found = process_bytes(memory_parts(known, setup, host))
            assert found == pytest.approx(whole, rel=BUFFER_ERROR), known.source


async def test_other_architectures_beside_the_engines_dry_run(tmp_path: Path) -> None:
    async with worker(tmp_path / "log") as client:
        for name in families.MODELS:
            fewer = None if name == "gemma-3-270m" else 8192  # its logits are larger than all else
            path = families.model(name, "Q4_K_M", fewer).write(tmp_path / "model.gguf")
            for context, kv in ((1024, "f16"), (1024 if name == "gpt2" else 8192, "q8_0")):
                request = Load(path=str(path), context=context, type_k=kv, type_v=kv, inspect_only=True)
                (told,) = of(await run(client, request), Inspected)
                try:
                    check(path, told, context, kv)
                    check_without_the_file(name, path, told, Setup(context=context, type_k=kv, type_v=kv))
                except AssertionError as error:
                    raise AssertionError(f"{name} at {context} with {kv}: {error}") from error


def test_a_split_model_is_all_of_its_parts(tmp_path: Path) -> None:
    whole = families.model("smollm2-135m", "Q8_0", 4096)
    names = list(whole.tensors)
    for number, part in enumerate((names[:100], names[100:]), start=1):
        some = Gguf(whole.metadata, {name: whole.tensors[name] for name in part})
        some.write(tmp_path / f"model-{number:05d}-of-00002.gguf")
    (tmp_path / "one").mkdir()
    found = fit.of_file(tmp_path / "model-00001-of-00002.gguf", place())
    assert found.parts == fit.of_file(whole.write(tmp_path / "one" / "model.gguf"), place()).parts


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(F16.read_bytes())
    first = fit.of_file(path, place())
    path.write_bytes(STORY.read_bytes())
    assert fit.of_file(path, place()).parts != first.parts


def test_files_that_cannot_be_estimated(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="No such file"):
        fit.of_file(tmp_path / "none.gguf", place())
    headless = Gguf({"general.architecture": (STRING, "clip")}, {"v.weight": Tensor((32,), F32, bytes(128))})
    with pytest.raises(GgufError, match="no embedding"):
        fit.of_file(headless.write(tmp_path / "eyes.gguf"), place())
    mlx = LocalModel(id="x", name="x", path=tmp_path, size_bytes=5, format="MLX")
    assert fit.of_model(mlx, place()) is None


def test_every_card_with_an_architecture_has_an_outlook() -> None:
    unknown = []
    for card in CARDS:
        for variant in card.variants:
            found = fit.of_card(card, variant, place(available_bytes=64 * GIB))
            if variant.format != "GGUF":
                assert found is None
            elif found is None:
                unknown.append(card.id)
            else:
                size = variant.hint_bytes
                assert size is None or size < found.process_bytes < 1.6 * size + 64 * GIB / 16
                assert found.fit is not None
                assert found.fit.verdict == "yes"
                assert found.decode_tps is not None
    known = {card.id for card in CARDS} - set(unknown)
    assert len(known) >= 90, sorted(set(unknown))


def test_a_card_is_close_to_its_bundled_file() -> None:
    for card in CARDS:
        for variant in card.variants if card.bundled else ():
            told = fit.of_card(card, variant, place())
            read = fit.of_file(pocket_folder() / (variant.file or ""), place())
            assert told is not None
            assert told.process_bytes == pytest.approx(read.process_bytes, rel=0.02)
            assert told.decode_tps is not None
            assert read.decode_tps is not None
            assert told.decode_tps.likely == pytest.approx(read.decode_tps.likely, rel=0.1)


def test_what_fits_where_a_variant_does_not() -> None:
    card = next(card for card in CARDS if card.id == "qwen3-4b")
    by_label = {variant.quantization: variant for variant in card.variants if variant.format == "GGUF"}
    room = place(available_bytes=4 * GIB)
    assert fit.suggestion(card, by_label["Q4_K_M"], room) is None, "it fits"
    instead = fit.largest_variant(card, room)
    assert instead is not None
    assert instead.quantization not in ("Q8_0", "BF16", "F16")
    assert f"qwen3-4b:{instead.quantization} (" in (fit.suggestion(card, by_label["Q8_0"], room) or "")
    long = fit.suggestion(card, by_label["Q4_K_M"], room, 40_960)
    assert long is not None
    assert "with a context of" in long
    assert fit.suggestion(card, by_label["Q8_0"], place(available_bytes=GIB)) is None, "nothing does"
    assert fit.suggestion(card, by_label["Q8_0"], place(available_bytes=None)) is None, "nobody knows"


@pytest.mark.parametrize(
    ("devices", "limit", "expected"),
    [
        (("CPU",), None, []),
        (("MTL0 Apple M3", "CPU"), 11 * GIB, [("Apple M3", 11 * GIB)]),
        (("ROCm0 Radeon", "CPU"), None, [("Radeon", 6 * GIB)]),
        (("Vulkan0 any", "CPU"), None, [("Radeon", 6 * GIB)]),
    ],
)
def test_gpus_that_this_build_can_use(
    devices: tuple[str, ...], limit: int | None, expected: list[tuple[str, int | None]]
) -> None:
    gpus = (
        machines.Gpu(index=0, name="Apple M3", vendor="Apple", unified=True, memory_free_bytes=GIB),
        machines.Gpu(index=1, name="Radeon", vendor="AMD", memory_free_bytes=6 * GIB),
    )
    engine = machines.EngineState(name="llama.cpp", version="1", devices=devices, trial="sound")
    machine = Machine(gpus=gpus, engines=(engine,), gpu_memory_limit_bytes=limit, system="macOS 15")
    assert [(gpu.name, gpu.free_bytes) for gpu in fit.usable_gpus(machine)] == expected
    assert fit.host_of(machine).unified == ("MTL0 Apple M3" in devices)
    assert not fit.host_of(machine).charges_files


def test_a_card_beside_integrated_graphics_has_memory_of_its_own() -> None:
    gpus = (
        machines.Gpu(index=0, name="Arc", vendor="Intel", memory_free_bytes=6 * GIB),
        machines.Gpu(index=1, name="UHD", vendor="Intel", unified=True),
    )
    engine = machines.EngineState(name="llama.cpp", version="1", devices=("Vulkan0 Arc", "CPU"), trial="sound")
    machine = Machine(gpus=gpus, engines=(engine,))
    assert [gpu.name for gpu in fit.usable_gpus(machine)] == ["Arc"]
    assert not fit.host_of(machine).unified
    assert fit.host_of(Machine(gpus=gpus[1:], engines=(engine,))).unified


async def test_this_machine(tmp_path: Path) -> None:
    async with services(tmp_path) as shared:
        found = await fit.here(shared)
        assert found.available_bytes is not None
        assert found.gpus == ()
        assert found.rates.steps == {}, "the ceiling was not measured"
        assert found.corrections.decode == {}
        assert await fit.measured(shared) == {}
        assert fit.of_model(model(Q8_0), found) is not None


async def test_measurements_here_stand_beside_and_correct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = Ceiling(
        read_bytes_per_s=20e9, threads=2, matmul=(MatmulRate(type="q8_0", flops=1e11, steps=(StepRate(1, 1e10),)),)
    )
    monkeypatch.setattr(ceiling, "known", lambda _: top)
    async with services(tmp_path) as shared:
        plain = fit.of_file(Q8_0, await fit.here(shared))
        assert plain.decode_tps is not None
        other = msgspec.structs.replace(ENVIRONMENT, machine=Machine(cpu=Cpu(name="another")))
        for environment, slower in (
            (Environment(slmtui="x", python="x", machine=await shared.machine()), 0.5),
            (other, 3),
        ):
            session = shared.store.start_session(environment)
            timing = Timing(generated_tokens=11, decode_steps=10, decode_s=10 / plain.decode_tps.likely / slower)
            facts = msgspec.structs.replace(FACTS, context=512)
            shared.store.add(
                measurement(
                    session=session.id, model="pocket-5m:Q8_0", file=str(Q8_0), file_bytes=Q8_0.stat().st_size,
                    timing=timing, facts=facts, settings=Settings(threads=2, type_k="f16", type_v="f16"),
                    process_memory=ProcessMemory(pss_bytes=plain.process_bytes + 8 * MIB), peak_memory=None,
                )
            )  # fmt: skip
        found = await fit.here(shared)
        seen = await fit.measured(shared)
        corrected = fit.of_file(Q8_0, found)
    factor, models = found.corrections.decode["q8_0"]
    assert factor == pytest.approx(0.5**0.5, rel=0.01)
    assert models == 1, "the other machine's does not count"
    assert corrected.decode_tps is not None
    assert corrected.decode_tps.likely == pytest.approx(plain.decode_tps.likely * 0.5**0.5, rel=0.01)
    assert corrected.process_bytes - plain.process_bytes == pytest.approx(4 * MIB, abs=MIB)
    assert seen["pocket-5m:Q8_0"].process_bytes == plain.process_bytes + 8 * MIB
    assert seen["pocket-5m:Q8_0"].context == 512
