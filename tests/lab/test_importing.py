"""Importing files of llama-bench and of slmtui: all or nothing, once, compared with what was measured here."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from slmtui.core.diff import compare
from slmtui.core.measurement import Measurement, Settings
from slmtui.core.results import cell_results
from slmtui.lab.export import export
from slmtui.lab.importing import ImportFailedError, import_file
from slmtui.lab.services import Services
from slmtui.sources.store import StoreError
from tests.lab.seats import services
from tests.llama_bench import BOTH, DECODE, MARKDOWN, PREFILL, as_csv, as_json, as_jsonl
from tests.samples import FULL_ENVIRONMENT, full_measurement, measurement, session, timing

EVIL = "\x1b[2Jname\u202e\x07"


@pytest.fixture
async def shared(home: Path) -> AsyncIterator[Services]:
    async with services(home) as opened:
        yield opened


def written(folder: Path, text: str, name: str = "run one.txt") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


async def test_a_file_becomes_a_session_named_after_it(shared: Services, tmp_path: Path) -> None:
    outcome = await import_file(shared, written(tmp_path, as_json(PREFILL, DECODE, BOTH)))
    (found,) = await shared.sessions()
    assert found == outcome.session
    assert (found.name, found.measurements, outcome.combined, outcome.known) == ("run one.txt", 5, 1, False)
    assert (found.started_at, found.ended_at) == ("2026-11-21T09:43:00.000000Z", "2026-11-21T09:43:05.000000Z")
    assert found.environment.program == "llama-bench 0c1e570 (6789)"
    assert found.environment.machine.cpu.name == "Intel(R) Xeon(R) Processor"
    assert "5 measurements of run one.txt are session" in outcome.sentence
    assert "Left out: 1 row of one figure" in outcome.sentence
    kept = await shared.measurements(found.id)
    assert {each.session for each in kept} == {found.id}
    assert {each.source for each in kept} == {"llama-bench 0c1e570 (6789), run one.txt"}


async def test_the_same_content_is_not_imported_twice_until_it_was_deleted(shared: Services, tmp_path: Path) -> None:
    first = await import_file(shared, written(tmp_path, as_csv(PREFILL)))
    again = await import_file(shared, written(tmp_path, as_csv(PREFILL), "another name.csv"))
    assert again.known
    assert again.session == first.session
    assert "was imported before" in again.sentence
    assert len(await shared.sessions()) == 1
    await shared.delete_session(first.session.id)
    assert not (await import_file(shared, tmp_path / "run one.txt")).known
    assert len(await shared.sessions()) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_what_powershell_writes_is_read(shared: Services, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "out"
    path.write_bytes(as_jsonl(PREFILL).replace("\n", "\r\n").encode(encoding))
    assert (await import_file(shared, path)).session.measurements == 3


async def test_a_damaged_file_leaves_nothing_behind(shared: Services, tmp_path: Path) -> None:
    path = written(tmp_path, as_jsonl(PREFILL, {**PREFILL, "n_gen": "x"}))
    with pytest.raises(ImportFailedError, match=r"^can't import .*run one\.txt: line 2: n_gen 'x' is not a whole"):
        await import_file(shared, path)
    assert await shared.sessions() == ()


async def test_a_full_store_leaves_nothing_behind(shared: Services, tmp_path: Path) -> None:
    """The last of the measurements is refused by the database itself."""
    with shared.store._file.writing() as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON measurement WHEN NEW.repetition = 2"
            " BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    with pytest.raises(StoreError, match="no room"):
        await import_file(shared, written(tmp_path, as_json(PREFILL)))
    assert await shared.sessions() == ()


async def test_files_that_can_not_be_read_are_named(shared: Services, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"PAR1\n\xff\xfe\x00")
    complaints = {
        tmp_path / "missing": "there is no such file",
        tmp_path: "it is a folder; name a file",
        tmp_path / "pipe": "it is not a plain file",
        tmp_path / "binary": "line 2: it is not UTF-8 text",
        Path("~nobody-of-that-name/x"): "home directory",
        Path("with\0null"): "null",
        written(tmp_path, MARKDOWN, "table.md"): "Markdown table",
    }
    for path, complaint in complaints.items():
        with pytest.raises(ImportFailedError, match=complaint):
            await import_file(shared, path)
    assert await shared.sessions() == ()


async def test_our_own_export_comes_back_as_it_was(shared: Services, tmp_path: Path) -> None:
    measured = [full_measurement(number, kind="bench", plan="0123abcd") for number in range(2)]
    path = export(session(environment=FULL_ENVIRONMENT), measured, "json", tmp_path / "other.json")
    outcome = await import_file(shared, path)
    kept = await shared.measurements(outcome.session.id)
    for before, after in zip(measured, kept, strict=True):
        same = {"id": after.id, "session": after.session, "plan": "", "source": "slmtui 0.1.0, other.json"}
        assert after == msgspec.structs.replace(before, **same)
    assert outcome.session.environment.machine == FULL_ENVIRONMENT.machine
    assert (await import_file(shared, path)).known


async def test_an_export_with_foreign_control_characters_is_made_harmless(shared: Services, tmp_path: Path) -> None:
    path = export(session(), [measurement(name=EVIL, cell=EVIL, power=EVIL)], "json", tmp_path / "x.json")
    outcome = await import_file(shared, path)
    (kept,) = await shared.measurements(outcome.session.id)
    assert (kept.name, kept.cell, kept.power) == ("name", "name", "name")


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("measurements",), [], "it holds no measurement"),
        (("measurements",), 7, "an export of slmtui that can't be read"),
        (("measurements", 0, "timing"), {"prefill_s": "x"}, "an export of slmtui that can't be read"),
        (("measurements", 0, "measured_at"), "yesterday", "the time of a measurement is wrong"),
        (("measurements", 0, "file_bytes"), 10**30, "a number in it has 31 digits"),
    ],
)
async def test_a_damaged_export_is_refused(
    shared: Services, tmp_path: Path, path: tuple[str | int, ...], value: object, complaint: str
) -> None:
    file = export(session(), [measurement()], "json", tmp_path / "x.json")
    document = json.loads(file.read_text("utf-8"))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    file.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ImportFailedError, match=complaint):
        await import_file(shared, file)
    assert await shared.sessions() == ()


async def test_a_file_of_a_model_that_is_here_is_that_model(shared: Services, tmp_path: Path) -> None:
    here = shared.find("pocket-2m:Q8_0")
    size = here.size_bytes - 100_000
    known = {**PREFILL, "model_filename": f"D:\\models\\{here.path.name}", "model_size": size}
    outcome = await import_file(shared, written(tmp_path, as_json(known)))
    (kept, *_) = await shared.measurements(outcome.session.id)
    assert (kept.model, kept.name, kept.demo) == (here.id, here.name, True)
    assert kept.file == f"D:\\models\\{here.path.name}"
    assert (await shared.speeds()).get(here.id) is None, "another machine's speed is not ours"
    too_large = {**known, "model_size": 10**10}
    outcome = await import_file(shared, written(tmp_path, as_json(too_large), "large.json"))
    (kept, *_) = await shared.measurements(outcome.session.id)
    assert kept.model == kept.file


async def test_it_is_compared_with_what_was_measured_here(shared: Services, tmp_path: Path) -> None:
    outcome = await import_file(shared, written(tmp_path, as_json(PREFILL, DECODE)))
    imported = await shared.measurements(outcome.session.id)
    settings = Settings(
        threads=2,
        threads_batch=2,
        batch=1024,
        micro_batch=512,
        context=1024,
        type_k="f16",
        type_v="q8_0",
        flash_attention="auto",
        device="cpu",
        gpu_layers=0,
        extra_buffers=True,
    )
    ours = [_ours(number, imported[0].model, settings) for number in range(3)]
    found = compare(cell_results(ours), cell_results(imported))
    assert [(cell.a.shape, [each.phase for each in cell.findings]) for cell in found.cells] == [
        ("pp512 @ d64", ["prefill"]),
        ("tg128 @ d64", ["decode"]),
    ]
    assert (found.only_a, found.only_b) == ((), ())
    assert found.cells[0].findings[0].ratio.value == pytest.approx(0.5, rel=0.05)


def _ours(number: int, model: str, settings: Settings) -> Measurement:
    half = timing(0.125 + number / 1000, 0.25, depth=64)
    return measurement(number, model=model, settings=settings, timing=half)
