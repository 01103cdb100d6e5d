"""Models in MLX's format as a person uses them: found, chosen, talked to beside llama.cpp, measured."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from slmtui.core.catalog import ModelCard, Variant, preferring
from slmtui.core.events import AnyEvent, Failed, FailureKind, Inspected
from slmtui.core.machine import EngineState, Machine
from slmtui.core.probe_presets import ProbeGrid
from slmtui.core.rows import row
from slmtui.core.sampling import Sampling
from slmtui.lab import loading, probe, shelf, surroundings
from slmtui.lab.loading import LoadOptions, load_request
from slmtui.lab.services import Services
from slmtui.lab.talk import ask_all
from slmtui.sources import detect
from slmtui.sources.config import Config
from slmtui.sources.hashes import model_sha256
from slmtui.sources.library import UnknownModelError
from tests.engine.support import F16, of, prompted, text_of
from tests.lab.seats import model, of_seat, seated, services
from tests.mlx_models import Forms, needs_mlx
from tests.sources.test_detect_macos import ARM64

GREEDY = Sampling(temperature=0, max_tokens=12)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    async with services(tmp_path_factory.mktemp("mlx")) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a model in MLX's format; nobody opens it."""
    path = tmp_path / "models" / "tiny-mlx"
    path.mkdir(parents=True)
    (path / "config.json").write_text('{"model_type": "llama", "quantization": {"bits": 4, "group_size": 64}}')
    (path / "model.safetensors").write_bytes(bytes(1000))
    return path


# -- found and chosen


@pytest.mark.asyncio(loop_scope="module")
async def test_a_folder_is_found_by_path_and_among_the_persons_own(
    shared: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "formats", ("GGUF", "MLX"))
    monkeypatch.setattr(shared, "config", Config(folders=(str(folder.parents[1]),)))
    found = shared.find(str(folder))
    assert (found.format, found.path, found.name) == ("MLX", folder, "tiny-mlx")
    assert found.size_bytes == 1000 + (folder / "config.json").stat().st_size
    assert found in shared.models()
    assert shared.find("tiny-mlx") == found


@pytest.mark.asyncio(loop_scope="module")
async def test_a_folder_can_be_added(shared: Services, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "formats", ("GGUF", "MLX"))
    monkeypatch.setattr(shared, "config", Config())
    added = await shelf.add(shared, str(folder))
    assert [one.path for one in added.models] == [folder]
    assert [one.path for one in shared.models() if one.format == "MLX"] == [folder]


@pytest.mark.asyncio(loop_scope="module")
async def test_without_mlx_a_folder_is_listed_and_refused(
    shared: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "formats", ("GGUF",))
    monkeypatch.setattr(shared, "config", Config(folders=(str(folder),)))
    assert [one.path for one in shared.library() if one.format == "MLX"] == [folder]
    assert not [one for one in shared.models() if one.format == "MLX"]
    with pytest.raises(UnknownModelError, match="MLX is not installed here; install it"):
        shared.find(str(folder))


@pytest.mark.parametrize(
    ("system", "chip", "installed", "formats"),
    [
        ("darwin", "arm64", True, ("MLX", "GGUF")),
        ("darwin", "arm64", False, ("GGUF",)),
        ("darwin", "x86_64", True, ("GGUF", "MLX")),
        ("linux", "aarch64", True, ("GGUF", "MLX")),
    ],
)
def test_mlx_is_preferred_on_apple_silicon(
    monkeypatch: pytest.MonkeyPatch, system: str, chip: str, installed: bool, formats: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: chip)
    monkeypatch.setattr(loading, "installed", lambda _: installed)
    assert loading.formats() == formats


async def test_where_mlx_is_preferred_it_is_the_default_of_every_model_that_has_a_variant_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, list[str]] = {}
    for formats in (("MLX", "GGUF"), ("GGUF", "MLX")):
        monkeypatch.setattr(loading, "formats", lambda formats=formats: formats)
        async with services(home / formats[0]) as opened:
            both = [card for card in opened.catalog if {each.format for each in card.variants} == {"MLX", "GGUF"}]
            found[formats[0]] = [card.default_variant.format for card in both if card.default_variant]
    assert set(found["MLX"]) == {"MLX"}
    assert set(found["GGUF"]) == {"GGUF"}
    assert len(found["MLX"]) == len(found["GGUF"]) > 20


@pytest.mark.parametrize(
    ("system", "words"), [("linux", "slmtui[mlx]"), ("darwin", "slmtui hardware"), ("win32", "does not run")]
)
def test_what_to_do_without_mlx_depends_on_the_system(monkeypatch: pytest.MonkeyPatch, system: str, words: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert words in loading.mlx_missing()
    assert loading.mlx_missing().endswith("pull a GGUF variant")


def test_the_default_in_the_preferred_format() -> None:
    def card(*labels: str, default: str | None = None) -> ModelCard:
        forms = {label: "MLX" if label.endswith("bit") or label == "bf16" else "GGUF" for label in labels}
        variants = tuple(
            msgspec.convert({"quantization": label, "format": form}, Variant) for label, form in forms.items()
        )
        return ModelCard(id="m", name="M", family="M", developer="D", variants=variants, default=default)

    def chosen(one: ModelCard, form: str = "MLX") -> str | None:
        (found,) = preferring([one], "MLX" if form == "MLX" else "GGUF")
        return found.default_variant.quantization if found.default_variant else None

    assert chosen(card("Q4_K_M", "4bit", "8bit")) == "4bit"
    assert chosen(card("Q4_K_M", "Q8_0", "4bit", "8bit", default="Q8_0")) == "8bit"
    assert chosen(card("BF16", "4bit", "bf16")) == "bf16"
    assert chosen(card("Q5_K_M", "4bit", "8bit")) == "4bit"
    assert chosen(card("Q4_K_M")) == "Q4_K_M"
    assert chosen(card("4bit", "Q8_0"), "GGUF") == "Q8_0"
    assert chosen(card()) is None


@pytest.mark.parametrize(
    ("devices", "asked", "device", "layers"),
    [
        (("CPU",), LoadOptions(), "cpu", 0),
        (("Metal", "CPU"), LoadOptions(), "gpu", -1),
        (("Metal", "CPU"), LoadOptions(device="cpu"), "cpu", 0),
        (("Metal", "CPU"), LoadOptions(gpu_layers=0), "cpu", 0),
        (("Metal", "CPU"), LoadOptions(device="gpu", gpu_layers=0), "cpu", 0),
        (("Metal", "CPU"), LoadOptions(gpu_layers=5), "gpu", -1),
    ],
)
def test_the_format_decides_the_engine(
    folder: Path, devices: tuple[str, ...], asked: LoadOptions, device: str, layers: int
) -> None:
    llama = EngineState(name="llama.cpp", version="1", devices=("CUDA0 Card", "CPU"), trial="sound")
    machine = Machine(engines=(llama, EngineState(name="MLX", version="1", devices=devices, trial="sound")))
    mine = model(folder)
    request = load_request(mine, asked, machine, Config(), None)
    assert (request.engine, request.device, request.gpu_layers) == ("MLX", device, layers)
    theirs = load_request(model(F16), LoadOptions(), machine, Config(), None)
    assert (theirs.engine, theirs.device) == ("llama.cpp", "gpu")


async def test_a_mac_that_could_have_mlx_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slmtui.engine import mlx_trial, trial

    async def none(*_: object) -> None:
        return None

    async def sound(*_: object) -> EngineState:
        return EngineState(name="llama.cpp", version="1", trial="sound")

    monkeypatch.setattr(detect, "detect", lambda _: msgspec.structs.replace(ARM64, apple_chip="Apple M3"))
    monkeypatch.setattr(mlx_trial, "engine_state", none)
    monkeypatch.setattr(trial, "engine_state", sound)
    machine = await surroundings.Surroundings(home).machine()
    _, mlx = machine.engines
    assert (mlx.name, mlx.version, mlx.trial) == ("MLX", None, "unusable")
    assert mlx.advice is not None
    assert "pip install" in mlx.advice


def test_the_hash_of_a_folder_is_that_of_what_the_model_is(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    before = model_sha256(folder, cache)
    (folder / "README.md").write_text("more words")
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert model_sha256(folder, cache) == model_sha256(copied, cache) == before
    (copied / "model.safetensors").write_bytes(bytes(999) + b"\x01")
    assert model_sha256(copied, cache) != before
    (folder / "config.json").unlink()
    assert model_sha256(folder, cache) != before


# -- used


@needs_mlx
@pytest.mark.asyncio(loop_scope="module")
async def test_both_engines_answer_side_by_side_and_each_says_how(shared: Services, mlx_forms: Forms) -> None:
    path = mlx_forms("bf16")
    async with seated(shared, [F16, path]) as seats:
        async with aclosing(ask_all(seats, "What is prefill?", GREEDY, "in turn")) as stream:
            told = [item async for item in stream]
        llama, mlx = (of_seat(told, seat) for seat in seats)
        assert text_of(llama) == text_of(mlx)
        assert prompted(llama).text == prompted(mlx).text
        ours, theirs = (seat.measurements[0] for seat in reversed(seats))
    assert theirs.allocator is None
    assert (ours.settings.threads, ours.settings.micro_batch) == (None, None)
    assert ours.settings.type_k == "bf16"
    assert ours.file_sha256 == model_sha256(path, shared.paths.hashes)
    told_row = row(ours)
    assert told_row["engine"].startswith("MLX ")
    assert told_row["allocator_active_bytes"] > 10_000_000
    assert told_row["allocator_peak_bytes"] >= told_row["allocator_active_bytes"]
    assert told_row["weights_bytes"] == 10_492_416


@needs_mlx
@pytest.mark.asyncio(loop_scope="module")
async def test_a_folder_is_looked_at_again_when_a_file_in_it_has_changed(
    shared: Services, mlx_forms: Forms, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(mlx_forms("bf16"), tmp_path / "model"))
    mine = model(path)
    first: AnyEvent = await shared.inspect(mine)
    assert isinstance(first, Inspected)
    assert await shared.inspect(mine) is first
    (path / "model.safetensors").write_bytes(b"cut off")
    second = await shared.inspect(mine)
    assert isinstance(second, Failed)
    assert second.kind is FailureKind.BAD_FILE
    assert not of([second], Inspected)


@needs_mlx
@pytest.mark.asyncio(loop_scope="module")
async def test_a_probe_asks_both_engines_and_they_say_alike(shared: Services, mlx_forms: Forms) -> None:
    grid = ProbeGrid(shots=(0, 2), seeds=1, questions=6, threads=1)
    models = [model(F16), model(mlx_forms("fp32"))]
    plan = await probe.make_plan("quick", models, ["pocket-judgements", "pocket-first-word"], grid)
    seen = await probe.outlook(shared, plan)
    assert [each.failure for each in seen.models] == [None, None]
    async with aclosing(probe.run(shared, plan)) as stream:
        events = [event async for event in stream]
    assert not [event for event in events if isinstance(event, probe.CellGivenUp)]
    asked = [event.batch for event in events if isinstance(event, probe.CellAnswered)]
    theirs, ours = ([batch for batch in asked if batch.measurement.model == one.id] for one in models)
    assert len(theirs) == len(ours) == 4
    for one, other in zip(theirs, ours, strict=True):
        assert [answer.question for answer in one.answers] == [answer.question for answer in other.answers]
        assert [answer.answer for answer in one.answers] == [answer.answer for answer in other.answers]
        first, second = (
            [score.logprob for answer in batch.answers for score in answer.scores] for batch in (one, other)
        )
        assert first == pytest.approx(second, abs=0.02)


@needs_mlx
@pytest.mark.asyncio(loop_scope="module")
async def test_an_exact_probe_that_has_such_a_model_all_the_same_does_not_ask_it(
    shared: Services, mlx_forms: Forms
) -> None:
    grid = ProbeGrid(shots=(0,), seeds=1, questions=2)
    inexact = await probe.make_plan("quick", [model(mlx_forms("fp32"))], ["pocket-judgements"], grid)
    async with aclosing(probe.run(shared, msgspec.structs.replace(inexact, exact=True))) as stream:
        events = [event async for event in stream]
    assert not [event for event in events if isinstance(event, probe.CellAnswered)]
    (given_up,) = [event for event in events if isinstance(event, probe.CellGivenUp)]
    assert given_up.failure is not None
    assert "KV cache" in given_up.failure.message
