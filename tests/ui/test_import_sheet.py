"""Importing a file of measurements on the Sessions screen."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Input, Static

from slmtui.lab.services import Services
from slmtui.ui.screens.sessions import SessionsScreen
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.pick import ImportSheet
from slmtui.ui.widgets.result_table import CellTable
from tests.llama_bench import DECODE, PREFILL, as_json
from tests.ui.steps import notices, running, seed, sheet_gone, shown, until


async def test_a_file_is_imported_listed_and_shown(tmp_path: Path) -> None:
    services = Services.open(strict=False)
    ours = seed(services, name="ours")
    path = tmp_path / "theirs.json"
    path.write_text(as_json(*({**each, "cpu_info": "Other\x1b[2J Chip"} for each in (PREFILL, DECODE))), "utf-8")
    async with running(services=services) as (app, pilot):
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and not app.screen.has_class("-unread"))
        table = app.screen.query_one("#sessions > FitTable", FitTable)
        assert table.keys == (ours.id,)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ImportSheet))
        app.screen.query_one(Input).value = str(tmp_path / "missing.json")
        await pilot.press("enter")
        await until(pilot, lambda: "there is no such file" in shown(app, ".outcome"))
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await sheet_gone(pilot)
        await until(pilot, lambda: len(table) == 2)
        (theirs,) = (key for key in table.keys if key != ours.id)
        await until(pilot, lambda: table.highlighted == theirs and app.screen.query_one(CellTable).row_count == 2)
        assert table.figure(theirs, "name").text == "theirs.json"
        await until(pilot, lambda: any("5 measurements of theirs.json are session" in each for each in notices(pilot)))
        said = str(app.screen.query_one("#session", Static).render())
        assert "Other Chip" in said
        assert "llama-bench 0c1e570 (6789)" in said
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ImportSheet))
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: any("was imported before" in each for each in notices(pilot)))
        assert len(table) == 2


async def test_giving_up_imports_nothing() -> None:
    async with running() as (app, pilot):
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ImportSheet))
        await pilot.press("escape")
        await sheet_gone(pilot)
        assert await app.services.sessions() == ()
