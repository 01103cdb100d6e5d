from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Button, Input

from slmtui.core.measurement import Imported
from slmtui.core.plan import Grid
from slmtui.lab import speed
from slmtui.lab.services import Services
from slmtui.ui.pages.pages import PAGES
from slmtui.ui.pages.view import PageView
from slmtui.ui.screens.compare_pick import PickSheet
from slmtui.ui.screens.compare_sheet import PlanSheet
from slmtui.ui.widgets.chart import BarChart
from slmtui.ui.widgets.page_bar import PageBar
from slmtui.ui.widgets.plot_chart import PlotChart
from tests.samples import ENVIRONMENT, measurement, timing
from tests.ui.compare_steps import SIZES, TWO, bench, make_small
from tests.ui.steps import notices, sheet_gone, shown, until


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that a busy machine measures in no time."""
    make_small(monkeypatch)


async def test_the_plan_is_told_before_it_runs() -> None:
    async with bench(*TWO) as found:
        await found.planned()
        assert "2 cells × 3 repetitions · time not known yet" in shown(found.app, "#outlook")
        assert [found.table.figure(row, "state").text for row in found.rows] == ["· planned"] * 2
        assert [found.table.figure(row, "test").text for row in found.rows] == ["pp16 tg4"] * 2
        await found.pilot.press("r")
        await found.ended()
        await until(found.pilot, lambda: re.search(r"repetitions · about \d+ ", shown(found.app, "#outlook")))


async def test_what_does_not_fit_is_named_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_large(services: Services, plan: speed.Plan) -> speed.Outlook:
        room = speed.NoRoom(plan.cells[0].model, 8 * 1024**3, 1024**3)
        return speed.Outlook(cells=1, repetitions=3, seconds=7260.0, basis="a guess", will_not_fit=(room,))

    monkeypatch.setattr(speed, "outlook", too_large)
    async with bench(TWO[0]) as found:
        await found.planned()
        words = shown(found.app, "#outlook")
        assert "1 cell × 3 repetitions · about 2 h 01 min  a guess" in words
        assert "Pocket 5M Q8_0 will not fit: it needs 8 GiB, 1 GiB are free" in words


async def test_what_cannot_be_opened_is_named_before_it_runs(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    async with bench(str(broken), TWO[0]) as found:
        await found.planned()
        assert "broken cannot be measured: " in shown(found.app, "#outlook")
        assert shown(found.app, "#outlook").count("cannot be measured") == 1


async def test_a_plan_of_ones_own_is_made_in_the_sheet() -> None:
    async with bench(TWO[0]) as found:
        await found.planned()
        await found.pilot.press("f8")
        await until(found.pilot, lambda: isinstance(found.app.screen, PlanSheet))
        found.app.screen.query_one("#depths", Input).value = "0, 64"
        found.app.screen.query_one("#threads", Input).value = "1, 2"
        await found.pilot.press("enter")
        await sheet_gone(found.pilot)
        await until(found.pilot, lambda: len(found.table) == 4)
        assert "changed: depths 0, 64 · threads 1, 2" in shown(found.app, "#outlook")
        assert found.table.figure(found.rows[0], "setup").text == "1 thread"
        await found.pilot.press("r")
        await found.ended()
        await found.screen.go_to_page("depth")
        charts = list(found.screen.query_one("#page-depth").query(PlotChart))
        assert len(charts) == 2
        assert charts[1].plot is not None
        assert [each.label for each in charts[1].plot.series] == ["1 thread", "2 threads"]
        await found.screen.go_to_page("threads")
        assert len(found.screen.query_one("#page-threads").query(PlotChart)) == 2


async def test_a_plan_that_cannot_be_is_said() -> None:
    async with bench(TWO[0]) as found:
        found.screen.changes = Grid(prompt_tokens=(512,), context=256)
        found.screen.think()
        await until(found.pilot, lambda: "There is no such plan" in shown(found.app, "#outlook"))
        await found.pilot.press("r")
        await until(found.pilot, lambda: any("context" in text for text in notices(found.pilot)))
        await until(found.pilot, lambda: not found.screen.running)


async def test_tables_are_a_key_away_and_can_be_sorted_and_filtered() -> None:
    async with bench(*SIZES) as found:
        await found.pilot.press("r")
        await found.ended()
        assert found.screen.reason("table") == "This page is a table already."
        await found.pilot.press("n", "t")
        view = found.screen.query_one("#page-speed", PageView)
        assert view.has_class("-table")
        assert found.app.focused is view.table
        assert len(view.table) == 4
        view.table.sort_by("median", descending=True)
        values = [view.table.figure(row, "median").value for row in view.table.keys]
        assert values == sorted(values, key=lambda value: -float(value or 0))
        await found.pilot.press("s")
        assert view.table.sorted_by != "median"
        await found.pilot.press("slash")
        await until(found.pilot, lambda: isinstance(found.app.focused, Input))
        await found.pilot.press(*"2m decode")
        await until(found.pilot, lambda: len(view.table) == 1)
        await found.pilot.press("enter")
        await until(found.pilot, lambda: found.app.focused is view.table)
        await found.pilot.press("escape")
        await until(found.pilot, lambda: len(view.table) == 4)
        await found.pilot.press("t")
        assert not view.has_class("-table")


async def test_what_is_shown_can_be_picked() -> None:
    async with bench(*SIZES) as found:
        await found.pilot.press("r")
        await found.ended()
        await found.pilot.press("n", "v")
        await until(found.pilot, lambda: isinstance(found.app.screen, PickSheet) and found.app.focused)
        await found.pilot.press("space", "down", "down", "space", "enter")
        view = found.screen.query_one("#page-speed", PageView)
        await until(found.pilot, lambda: len(view.query(BarChart)) == 1)
        (chart,) = view.query(BarChart)
        assert [bar.label for bar in chart.bars] == ["Pocket 5M Q8_0"]


async def test_a_click_on_a_page_shows_it() -> None:
    async with bench(TWO[0]) as found:
        await found.pilot.click(PageBar, offset=(12, 0))
        await until(found.pilot, lambda: found.screen.pages.page == "speed")
        await found.pilot.press("N")
        await until(found.pilot, lambda: found.screen.pages.page == "results")


async def test_imported_rows_stand_beside_ours_with_their_source() -> None:
    services = Services.open(strict=False)
    imported = Imported(program="llama-bench b6 (6789)", file="a.json", sha256="0" * 64, at="2026-11-21T01:00:00Z")
    session = services.store.start_session(msgspec.structs.replace(ENVIRONMENT, imported=imported))
    source = "llama-bench b6 (6789), a.json"
    services.store.add(measurement(session=session.id, name="llama 5M", source=source, timing=timing(prefill_s=None)))
    async with bench(TWO[0], services=services) as found:
        await until(found.pilot, lambda: len(found.table) == 2)
        row = found.table.keys[-1]
        assert found.table.figure(row, "state").text == "imported"
        assert found.table.figure(row, "model").text == "llama 5M (llama-bench a.json)"
        assert found.table.figure(row, "decode").text == "256"
        found.table.highlight(row)
        await until(found.pilot, lambda: source in shown(found.app, "#details"))


async def test_a_terminal_that_is_far_too_small_breaks_nothing() -> None:
    async with bench(TWO[0], size=(20, 5)) as found:
        await found.pilot.press("r")
        await found.ended()
        assert found.states == ["done"]
        for _ in PAGES:
            await found.pilot.press("n", "t", "t")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_no_button_and_no_page_name_is_cut(size: tuple[int, int]) -> None:
    async with bench(*TWO, size=size) as found:
        await found.planned()
        bar = found.screen.query_one(PageBar)
        assert str(bar.render()).split() == " ".join(title for _, title in bar.pages).split()
        plan = found.screen.query_one("#plan", Button)
        assert plan.region.right <= size[0] - 2
        assert plan.region.width >= len("Plan …")
