from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from slmtui.core.events import Timing
from slmtui.core.measurement import Measurement, Session
from slmtui.core.results import cell_results
from slmtui.lab.export import FORMATS
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.session import SessionSheet
from slmtui.ui.screens.sessions import SessionsScreen
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.pick import ConfirmSheet, ExportSheet, NameSheet
from slmtui.ui.widgets.result_table import (
    CellTable,
    MeasurementTable,
    cell_figures,
    local_time,
    measurement_figures,
    model_words,
)
from tests.samples import ENVIRONMENT, measurement, timing
from tests.ui.steps import notices, running, seed, sheet_gone, shown, until


def with_sessions(*names: str) -> tuple[Services, list[Session]]:
    """Services whose store holds a session of each name, the first the oldest."""
    services = Services.open(strict=False)
    return services, [seed(services, name=name) for name in names]


async def opened(app: SlmtuiApp, pilot: Pilot[int]) -> SessionsScreen:
    await pilot.press("f6")
    await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and not app.screen.has_class("-unread"))
    assert isinstance(app.screen, SessionsScreen)
    return app.screen


def listed(app: SlmtuiApp) -> FitTable:
    return app.screen.query_one("#sessions > FitTable", FitTable)


async def test_an_empty_store_says_how_to_measure_something() -> None:
    async with running() as (app, pilot):
        await opened(app, pilot)
        nothing = app.screen.query_one("#nothing", Static)
        assert nothing.display
        assert nothing.region.height > 0
        text = shown(app, "#nothing")
        assert "Nothing measured yet" in text
        assert "F2" in text


async def test_sessions_are_listed_newest_first_with_the_cells_of_the_highlighted_one() -> None:
    services, (old, new) = with_sessions("old", "new")
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        table = listed(app)
        newest = sorted((old, new), key=lambda each: (each.started_at, each.id), reverse=True)
        assert table.figure(table.keys[0], "started").value == newest[0].started_at
        assert {table.figure(key, "name").text for key in table.keys} == {"old", "new"}
        assert table.figure(new.id, "measurements").text == "3"
        cells = app.screen.query_one(CellTable)
        await until(pilot, lambda: cells.row_count == 1)
        (key,) = cells.keys
        result = cell_results(services.store.measurements(new.id))[0]
        assert result.decode_tps is not None
        assert cells.figure(key, "decode").value == pytest.approx(result.decode_tps.median)
        assert cells.figure(key, "prefill").text == "25,600"
        assert cells.figure(key, "prefill spread").text == "0 %"
        assert cells.figure(key, "ttft").text == "25.0"
        assert cells.figure(key, "memory").text == "40 MiB"
        assert "Pocket 5M Q8_0 · demo" in cells.figure(key, "model").text


async def test_columns_in_which_there_is_nothing_make_room_for_the_models() -> None:
    services, _ = with_sessions("")
    async with running((80, 24), services=services) as (app, pilot):
        await opened(app, pilot)
        assert listed(app).shown_columns == ("mark", "started", "measurements", "models")
        services.store.rename_session(listed(app).keys[0], "cold start")
        await pilot.press("f2", "f6")
        await until(pilot, lambda: "name" in listed(app).shown_columns)


async def test_a_session_of_answers_alone_says_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    services, (session,) = with_sessions("")
    answered = msgspec.structs.replace(session, measurements=0, answers=600)
    monkeypatch.setattr(services.store, "sessions", lambda: (answered,))
    async with running((80, 24), services=services) as (app, pilot):
        await opened(app, pilot)
        assert "600 answers of probes" in shown(app, "#only-answers")
        assert not app.screen.query_one(CellTable).display
        assert listed(app).figure(session.id, "answers").text == "600"
        assert shown(app, "#count") == "1 session · 0 measurements · 600 answers"


async def test_what_is_measured_meanwhile_is_there_on_return() -> None:
    async with running() as (app, pilot):
        await opened(app, pilot)
        await pilot.press("f2")
        session = seed(app.services)
        await pilot.press("f6")
        await until(pilot, lambda: listed(app).keys == (session.id,))
        assert not app.screen.query_one("#nothing", Static).display
        await until(pilot, lambda: app.screen.query_one(CellTable).row_count == 1)


async def test_enter_shows_every_measurement() -> None:
    services, (session,) = with_sessions("all of it")
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        await until(pilot, lambda: app.screen.query_one(CellTable).row_count)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SessionSheet))
        table = app.screen.query_one(MeasurementTable)
        await until(pilot, lambda: len(table) == 3)
        assert list(table.keys) == [each.id for each in services.store.measurements(session.id)]
        assert "Testium 9000" in "\n".join(str(each.render()) for each in app.screen.query(Static).results())
        await pilot.press("escape")
        await sheet_gone(pilot)


async def test_a_session_gets_a_name_that_is_never_markup() -> None:
    services, (session,) = with_sessions("")
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        assert listed(app).figure(session.id, "name").text == "—"
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, NameSheet))
        app.screen.query_one(Input).value = "[red]cold start[/red]"
        await pilot.press("enter")
        await sheet_gone(pilot)
        await until(pilot, lambda: listed(app).figure(session.id, "name").text == "[red]cold start[/red]")
        assert services.store.session(session.id).name == "[red]cold start[/red]"
        await until(pilot, lambda: "[red]cold start[/red]" in shown(app, "#session"))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, NameSheet))
        await pilot.press("x", "escape")
        await sheet_gone(pilot)
        assert services.store.session(session.id).name == "[red]cold start[/red]"


@pytest.mark.parametrize("form", FORMATS)
async def test_a_session_is_exported_and_the_sheet_says_where(form: str) -> None:
    services, (session,) = with_sessions("")
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportSheet))
        app.screen.query_one(Choice).value = form
        path = services.paths.exports / f"slmtui-{session.id}.{form}"
        await until(pilot, lambda: app.screen.query_one(Input).value == str(path))
        await pilot.press("enter")
        await until(pilot, lambda: "✓ Written" in shown(app, ".outcome"))
        assert str(path) in shown(app, ".outcome")
        assert path.stat().st_size > 0
        if form == "csv":
            assert len(list(csv.DictReader(path.read_text("utf-8").splitlines()))) == 3
        if form == "json":
            assert len(json.loads(path.read_text("utf-8"))["rows"]) == 3
        await pilot.press("escape")
        await sheet_gone(pilot)


async def test_a_path_that_can_t_be_written_is_told_and_the_sheet_stays(tmp_path: Path) -> None:
    services, _ = with_sessions("")
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportSheet))
        wrong = tmp_path / "no folder" / "[x].csv"
        app.screen.query_one(Input).value = str(wrong)
        await pilot.press("enter")
        await until(pilot, lambda: "✗" in shown(app, ".outcome"))
        assert str(wrong) in shown(app, ".outcome")
        assert isinstance(app.screen, ExportSheet)
        right = tmp_path / "right.csv"
        app.screen.query_one(Input).value = str(right)
        await pilot.press("enter")
        await until(pilot, right.exists)
        await until(pilot, lambda: "✓ Written" in shown(app, ".outcome"))


async def test_a_session_is_deleted_only_after_asking() -> None:
    services, (one, two) = with_sessions("one", "two")
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        listed(app).highlight(one.id)
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        no = app.screen.query_one("#no", Button)
        await until(pilot, lambda: app.focused is no)  # a careless enter does no harm
        await pilot.press("enter")
        await sheet_gone(pilot)
        assert len(services.store.sessions()) == 2
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        assert "3 measurements" in shown(app, ".hint")
        await pilot.press("y")
        await sheet_gone(pilot)
        await until(pilot, lambda: listed(app).keys == (two.id,))
        assert [each.id for each in services.store.sessions()] == [two.id]
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.screen.has_class("-empty"))


async def test_a_store_that_can_t_be_read_is_told_and_the_app_stays() -> None:
    services, _ = with_sessions("one")
    async with running(services=services) as (app, pilot):
        services.store.close()
        await pilot.press("f6")
        await until(pilot, lambda: any("closed" in text for text in notices(pilot)))
        assert app.is_running


@pytest.mark.parametrize("size", [(80, 24), (60, 15), (200, 50)])
async def test_nothing_scrolls_sideways_at_any_size(size: tuple[int, int]) -> None:
    services, _ = with_sessions("a name that is rather long for the place it has " * 3)
    async with running(size, services) as (app, pilot):
        await opened(app, pilot)
        await until(pilot, lambda: app.screen.query_one(CellTable).row_count)
        for table in app.screen.query(FitTable):
            assert table.virtual_size.width <= table.size.width
            assert {"prefill", "decode"} <= set(table.shown_columns) or "started" in table.shown_columns


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
async def test_a_shape_is_shown_whole_at_any_usual_size(size: tuple[int, int]) -> None:
    services = Services.open(strict=False)
    session = services.store.start_session(ENVIRONMENT)
    name = "A Model Of A Rather Long Name 3B Q4_K_M"
    services.store.add(measurement(session=session.id, name=name, timing=timing(depth=4096)))
    async with running(size, services) as (app, pilot):
        await opened(app, pilot)
        cells = app.screen.query_one(CellTable)
        await until(pilot, lambda: "pp512 tg128 @ d4096" in cells.render_line(2).text)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SessionSheet))
        single = app.screen.query_one(MeasurementTable)
        await until(pilot, lambda: "pp512 tg128 @ d4096" in single.render_line(2).text)


def test_a_noisy_cell_is_marked_by_a_sign_too() -> None:
    def run(number: int, seconds: float) -> Measurement:
        return measurement(number, timing=Timing(prompt_tokens=512, prefill_s=seconds))

    calm = cell_results([run(0, 1.0), run(1, 1.02)])
    noisy = cell_results([run(0, 1.0), run(1, 1.6)])
    assert cell_figures(0, calm[0])["prefill spread"].text == "2 %"
    assert cell_figures(0, noisy[0])["prefill spread"].text.startswith("! ")
    assert cell_figures(0, calm[0])["decode"].text == "—"


def test_one_measurement_has_its_own_figures() -> None:
    figures = measurement_figures(7, measurement(kind="chat", together=True))
    assert figures["shape"].text == "chat, together"
    assert figures["number"].text == "7"


def test_a_path_is_shown_by_its_file_name() -> None:
    assert model_words("/somewhere/deep/model.gguf", demo=False) == "model.gguf"
    assert model_words("Pocket 5M Q8_0", demo=True) == "Pocket 5M Q8_0 · demo"


def test_moments_are_shown_in_the_person_s_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert local_time("2026-11-21T01:31:00Z") == "2026-11-21 10:31"
        assert local_time("yesterday") == "yesterday"
    finally:
        monkeypatch.undo()
        time.tzset()
