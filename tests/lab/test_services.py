"""What the use-cases share: folders that do not work, the machine, how workers are set up, sessions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from slmtui.core.events import Failed, FailureKind, Inspected, StopReason, Timing
from slmtui.core.machine import EngineState
from slmtui.core.sampling import Sampling
from slmtui.engine import trial
from slmtui.lab import shelf
from slmtui.lab.export import ExportError
from slmtui.lab.services import Services, prompt_sha256
from slmtui.lab.talk import Seat
from slmtui.sources.config import ConfigError
from slmtui.sources.library import UnknownModelError
from slmtui.sources.paths import PathError
from slmtui.sources.store import StoreError
from tests.engine.conftest import crash as _crash
from tests.engine.support import F16, STORY, done, until
from tests.lab.seats import model, seated, services, workers

crash = _crash
ANSWER = Sampling(temperature=0, max_tokens=4)


@pytest.fixture
async def shared(home: Path) -> AsyncIterator[Services]:
    async with services(home) as opened:
        yield opened


async def ask(seat: Seat, text: str = "Hello") -> None:
    async with aclosing(seat.ask(text, ANSWER)) as stream:
        events = [event async for event in stream]
    done(events, StopReason.LIMIT)


# -- opening


def break_home(home: Path) -> None:
    home.write_text("a file is in the way")


def break_data(home: Path) -> None:
    home.mkdir()
    (home / "data").write_text("a file is in the way")


def break_store(home: Path) -> None:
    (home / "data").mkdir(parents=True)
    (home / "data" / "slmtui.sqlite3").write_bytes(b"this is no database " * 500)


@pytest.mark.parametrize("damage", [break_home, break_data, break_store])
def test_a_data_folder_that_does_not_work_is_an_error_when_strict(home: Path, damage: object) -> None:
    assert callable(damage)
    damage(home)
    with pytest.raises((PathError, StoreError, ConfigError)) as caught:
        Services.open(strict=True)
    assert str(home) in str(caught.value)


@pytest.mark.parametrize("damage", [break_home, break_data, break_store])
async def test_otherwise_measurements_are_kept_in_memory(
    home: Path, damage: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(damage)
    damage(home)
    monkeypatch.setattr(trial, "_try", sound)
    opened = Services.open(strict=False)
    try:
        (notice,) = (one for one in opened.notices if "in memory" in one)
        assert "export" in notice
        assert opened.store.path is None
        async with seated(opened, [F16]) as (seat,):
            await ask(seat)
        (session,) = await opened.sessions()
        path = await opened.export(session.id, "csv", tmp_path / "kept.csv")
        assert path.read_text(encoding="utf-8").count("\n") == 2
    finally:
        await opened.close()


async def sound(version: str, *_: object) -> tuple[EngineState, bool]:
    return EngineState(name="llama.cpp", version=version, devices=("CPU",), trial="sound"), True


async def test_settings_that_cannot_be_read(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text("threads = 'many'")
    with pytest.raises(ConfigError):
        Services.open(strict=True)
    opened = Services.open(strict=False)
    assert len(opened.notices) == 1
    assert "Settings are not used" in opened.notices[0]
    assert opened.config.threads is None
    await opened.close()


async def test_a_catalog_of_the_person_s_that_is_wrong(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "model_catalog.toml").write_text('[[model]]\nid = "mine"\ncolour = "red"')
    for strict in (True, False):
        opened = Services.open(strict=strict)
        (notice,) = opened.notices
        assert re.fullmatch(
            r"Your catalog is not used: .*config.model_catalog\.toml: model 1 \(mine\): .*colour.*", notice
        )
        assert "pocket-5m" in {card.id for card in opened.catalog}
        await opened.close()


async def test_nothing_goes_wrong_without_a_notice(home: Path) -> None:
    opened = Services.open(strict=False)
    assert opened.notices == []
    assert opened.store.path is not None
    assert opened.store.path.is_relative_to(home)
    await opened.close()
    await opened.close()


# -- models


async def test_bundled_models_and_added_files(shared: Services, tmp_path: Path) -> None:
    assert {one.id for one in shared.models()} >= {"pocket-5m:Q4_K_M", "pocket-5m:Q8_0", "pocket-5m:F16"}
    assert shared.find("pocket-5m:f16").path == F16
    with pytest.raises(UnknownModelError):
        shared.find("no-such-model")
    own = tmp_path / "own.gguf"
    own.write_bytes(STORY.read_bytes())
    (added,) = (await shelf.add(shared, str(own))).models
    assert added.path == own
    assert own in [one.path for one in shared.models()]
    await shelf.add(shared, str(own))
    assert len(shared.config.folders) == 1
    again = Services.open(strict=True)
    assert own in [one.path for one in again.models()], "it is remembered"
    await again.close()
    with pytest.raises(shelf.ShelfError):
        await shelf.add(shared, str(tmp_path / "missing.gguf"))


async def test_inspecting_reads_facts_and_ends_its_worker(shared: Services) -> None:
    told = await shared.inspect(model(F16))
    assert isinstance(told, Inspected)
    assert told.facts.layers == 6
    assert told.facts.context == 512
    assert workers() == []
    assert shared.loaded == []
    assert await shared.inspect(model(F16)) is told, "no second worker"
    larger = await shared.inspect(model(F16), 2048)
    assert isinstance(larger, Inspected)
    assert larger.facts.context == 2048


async def test_inspecting_a_damaged_file_is_tried_again(shared: Services, tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(F16.read_bytes()[:50_000])
    told = await shared.inspect(model(path))
    assert isinstance(told, Failed)
    assert told.kind is FailureKind.BAD_FILE
    path.write_bytes(STORY.read_bytes())
    assert isinstance(await shared.inspect(model(path)), Inspected)


async def test_a_file_that_was_replaced_is_inspected_anew(shared: Services, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(STORY.read_bytes())
    assert isinstance(await shared.inspect(model(path)), Inspected)
    path.write_bytes(F16.read_bytes())
    told = await shared.inspect(model(path))
    assert isinstance(told, Inspected)
    assert told.facts.layers == 6


async def test_inspecting_can_be_given_up(shared: Services) -> None:
    task = asyncio.create_task(shared.inspect(model(F16)))
    await until(lambda: bool(workers()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert workers() == []


# -- sessions


async def test_a_session_begins_with_the_first_measurement(shared: Services) -> None:
    assert shared.session is None
    assert await shared.sessions() == ()
    async with seated(shared, [F16]) as (seat,):
        assert shared.session is None, "loading measures nothing"
        await ask(seat)
        await ask(seat)
    assert shared.session is not None
    (session,) = await shared.sessions()
    assert session.id == shared.session.id
    assert session.environment.machine.installer is None, "a path of the person's own"
    assert session.measurements == 2
    assert session.environment.machine.cpu.threads >= 1
    assert len(await shared.measurements(session.id)) == 2


async def test_a_session_ends_with_the_program(home: Path) -> None:
    async with services(home) as first:
        async with seated(first, [F16]) as (seat,):
            await ask(seat)
        (running,) = await first.sessions()
        assert running.ended_at is None
    async with services(home) as second:
        (ended,) = await second.sessions()
        assert ended.ended_at is not None
        assert second.session is None


async def test_a_deleted_session_begins_anew(shared: Services) -> None:
    async with seated(shared, [F16]) as (seat,):
        await ask(seat)
        assert shared.session is not None
        first = shared.session.id
        await shared.rename_session(first, "mine")
        assert (await shared.sessions())[0].name == "mine"
        await shared.delete_session(first)
        assert await shared.sessions() == ()
        await ask(seat)
    (session,) = await shared.sessions()
    assert session.id != first
    assert session.measurements == 1


async def test_first_measurements_at_the_same_time_share_a_session(shared: Services) -> None:
    async with seated(shared, [F16, STORY]) as seats:
        noted = await shared.circumstances()
        first, second = await asyncio.gather(
            *(shared.measurement(seat.loaded, "chat", Timing(generated_tokens=1), noted) for seat in seats)
        )
    assert first.session == second.session
    assert shared.session is not None
    assert first.session == shared.session.id
    assert first.id != second.id


async def test_exporting(shared: Services, tmp_path: Path) -> None:
    async with seated(shared, [F16]) as (seat,):
        await ask(seat)
    (session,) = await shared.sessions()
    for form in ("csv", "json", "parquet", "md"):
        path = await shared.export(session.id, form)
        assert path.parent == shared.paths.exports
        assert path.stat().st_size > 100
    assert (await shared.export(session.id, "json", tmp_path / "a.json")) == tmp_path / "a.json"
    with pytest.raises(ExportError):
        await shared.export(session.id, "docx")
    with pytest.raises(ExportError):
        await shared.export(session.id, "csv", tmp_path / "missing" / "a.csv")
    with pytest.raises(StoreError):
        await shared.export("nothing", "csv")


def test_prompts_are_told_apart_without_being_told() -> None:
    assert prompt_sha256("a") != prompt_sha256("b")
    assert len(prompt_sha256("half \ud83d")) == 64
