from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from textual.widgets import Button, Static

from slmtui.core.ceiling import Ceiling
from slmtui.core.plan import Grid, Unfinished
from slmtui.core.results import cell_results
from slmtui.lab import ceiling, speed
from slmtui.lab.services import Services
from slmtui.ui.pages.pages import PAGES
from slmtui.ui.pages.view import PageView
from slmtui.ui.screens.planned import PAINT_HZ
from slmtui.ui.widgets.chart import BarChart
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked
from slmtui.ui.widgets.gauges import Gauge, Gauges
from slmtui.ui.widgets.memory_chart import MemoryChart
from slmtui.ui.widgets.pick import ExportSheet
from slmtui.ui.widgets.plot_chart import PlotChart
from slmtui.ui.widgets.progress import PlanProgress
from slmtui.ui.widgets.unfinished import UnfinishedOffer
from tests.lab.conftest import known_ceiling
from tests.ui.compare_steps import SIZES, TWO, bench, make_small
from tests.ui.steps import notices, shown, until


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that a busy machine measures in no time."""
    make_small(monkeypatch)


async def test_without_marks_it_offers_models_and_runs_them() -> None:
    async with bench() as found:
        assert found.screen.query_one(NothingMarked).display
        assert found.screen.reason("run") == "No model is marked."
        await found.pilot.press("enter")
        await until(found.pilot, lambda: len(found.table) == 2)
        assert not found.screen.query_one(NothingMarked).display
        await until(found.pilot, lambda: found.app.focused is found.screen.query_one("#run"))
        await found.pilot.press("enter")
        await found.measured()
        assert found.screen.bench.measured


async def test_a_quick_run_fills_the_table_and_every_page() -> None:
    async with bench(*SIZES) as found:
        await found.pilot.press("r")
        await found.ended()
        assert found.states == ["done", "done"]
        for row in found.rows:
            for column in ("prefill", "decode", "ttft", "mbu", "engine", "process"):
                assert found.table.figure(row, column).value, column
            assert found.table.figure(row, "n").text == "3"
        assert "warm-ups" in shown(found.app, "#details")
        assert "workers ended" in shown(found.app, "#notes")
        expected = {"speed": BarChart, "memory": MemoryChart, "depth": None, "threads": None, "devices": None}
        for page in PAGES:
            await found.pilot.press("n")
            view = found.screen.query_one(f"#page-{page.key}", PageView)
            assert view.display
            kind = expected.get(page.key, PlotChart)
            if kind is None:
                assert "fills this chart" in str(view.query_one(".page--missing", Static).render())
            else:
                assert len(view.query(kind)) >= 1
            assert len(view.table) >= 2
        await found.pilot.press("n")
        assert found.screen.pages.page == "results"
        session = found.app.services.session
        assert session is not None
        stored = await found.app.services.measurements(session.id)
        assert [each.kind for each in stored] == ["bench"] * 6


async def test_while_the_machine_is_measured_first_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()

    async def slow(services: Services) -> Ceiling:
        await gate.wait()
        return await known_ceiling(services)

    monkeypatch.setattr(ceiling, "measured", slow)
    async with bench(TWO[0], size=(80, 24)) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        progress = found.screen.query_one(PlanProgress)
        await until(found.pilot, lambda: "measuring this machine first, about 6 s …" in str(progress.render()))
        assert progress.display
        assert found.screen.running
        assert found.screen.check_action("run", ()) is None
        assert found.screen.query_one(Choice).disabled
        gate.set()
        await until(found.pilot, lambda: "repetitions" in str(progress.render()))
        await found.pilot.press("escape")
        await found.ended()


async def test_while_a_file_is_hashed_it_says_so_and_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def slow(*_: object) -> str:
        gate.wait()
        return ""

    monkeypatch.setattr("slmtui.sources.hashes._digest", slow)
    async with bench(TWO[0], size=(80, 24)) as found:
        await found.pilot.press("r")
        progress = found.screen.query_one(PlanProgress)
        await until(found.pilot, lambda: "Pocket 5M Q8_0: hashing 0 %" in str(progress.render()))
        assert progress.display
        await found.pilot.press("escape")
        await found.ended()
    gate.set()


async def test_figures_are_those_of_the_stored_repetitions() -> None:
    async with bench(TWO[0]) as found:
        await found.pilot.press("r")
        await found.ended()
        session = found.app.services.session
        assert session is not None
        (result,) = cell_results(await found.app.services.measurements(session.id))
        assert result.decode_tps is not None
        assert found.table.figure(found.rows[0], "decode").value == result.decode_tps.median
        assert result.prompt_tokens == 16


async def test_gauges_are_painted_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[tuple[Gauge, ...]] = []
    monkeypatch.setattr(Gauges, "watch_rows", lambda _, rows: changes.append(rows), raising=False)
    async with bench(TWO[0]) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured()
        began, before, told = time.monotonic(), len(changes), found.screen.bench.done
        await found.measured(told + 40)
        assert len(changes) - before <= PAINT_HZ * (time.monotonic() - began) + 2


async def test_esc_stops_and_the_plan_can_be_continued() -> None:
    async with bench(*TWO) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured(2)
        await found.pilot.press("escape")
        await found.ended()
        assert set(found.states) == {"stopped"}
        done = found.screen.bench.done
        assert done >= 2
        assert not [each for each in found.app.services.loaded if each.ready]
        offer = found.screen.query_one(UnfinishedOffer)
        await until(found.pilot, lambda: offer.display)
        assert found.screen.reason("resume") is None
        await found.pilot.press("c")
        await found.measured(done + 1)
        assert not offer.display
        await found.pilot.press("escape")
        await found.ended()
        session = found.app.services.session
        assert session is not None
        stored = await found.app.services.measurements(session.id)
        assert len({(each.cell, each.repetition) for each in stored}) == len(stored) == found.screen.bench.done


async def test_a_plan_of_an_earlier_run_is_offered_and_can_be_dropped() -> None:
    async with bench(TWO[0]) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured(2)
        await found.pilot.press("escape")
        await found.ended()
    async with bench() as found:
        offer = found.screen.query_one(UnfinishedOffer)
        await until(found.pilot, lambda: offer.display)
        assert isinstance(offer.unfinished, Unfinished)
        assert offer.unfinished.done >= 2
        await found.pilot.press("d")
        await until(found.pilot, lambda: not offer.display)
        assert "dropped" in notices(found.pilot)[0]
        assert found.screen.reason("resume") == "No benchmark is unfinished."
    async with bench() as found:
        assert await speed.unfinished(found.app.services) == ()


async def test_a_continued_plan_shows_what_it_has_measured_before() -> None:
    async with bench(TWO[0]) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured(3)
        await found.pilot.press("escape")
        await found.ended()
        before = found.screen.bench.done
    async with bench() as found:
        await until(found.pilot, lambda: found.screen.query_one(UnfinishedOffer).display)
        await found.pilot.click("#continue")
        await found.measured(before + 1)
        assert found.screen.bench.done > before
        await found.pilot.press("escape")
        await found.ended()
        assert found.table.figure(found.rows[0], "n").value == found.screen.bench.done


async def test_a_skipped_cell_is_left_out_and_the_rest_goes_on() -> None:
    async with bench(*TWO) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured()
        await found.pilot.press("x")
        await until(found.pilot, lambda: "skipped" in found.states)
        rest = 1 - found.states.index("skipped")
        before = found.screen.bench.done
        await found.measured(before + 2)
        assert found.states[rest] != "skipped"
        await found.pilot.press("escape")
        await found.ended()
        assert "skipped" in found.states


async def test_a_failed_model_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    async with bench(str(broken), TWO[0]) as found:
        await found.pilot.press("r")
        await found.ended()
        assert found.states == ["failed", "done"]
        assert found.table.figure(found.rows[0], "state").text == "✗ failed"
        found.table.highlight(found.rows[1])
        await until(found.pilot, lambda: "broken.gguf" in shown(found.app, "#failures"))
        found.table.highlight(found.rows[0])
        await until(found.pilot, lambda: "broken.gguf" in shown(found.app, "#details"))
        assert found.table.figure(found.rows[1], "n").text == "3"


async def test_a_killed_worker_is_a_failed_cell() -> None:
    async with bench(*TWO) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured()
        (victim,) = (each for each in found.app.services.loaded if each.ready and each.model.id == TWO[0])
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        await until(found.pilot, lambda: found.states[0] == "failed")
        failure = found.screen.bench.states[found.rows[0]].failure
        assert failure is not None
        assert "SIGKILL" in failure.message
        await until(found.pilot, lambda: any(each.model == TWO[1] for each in found.screen.bench.measured))
        await found.pilot.press("escape")
        await found.ended()


async def test_models_that_run_together_are_marked_everywhere() -> None:
    async with bench(*TWO) as found:
        found.screen.changes = Grid(together=True)
        found.screen.think()
        await found.planned()
        assert "contended" in shown(found.app, "#outlook")
        await found.pilot.press("r")
        await found.ended()
        assert [found.table.figure(row, "test").text for row in found.rows] == ["pp16 tg4, together"] * 2
        assert all("together" in entry.label for entry in found.screen.entries)


async def test_noisy_cells_are_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(*TWO) as found:
        assert found.screen.reason("again") == "No cell is noisy."
        monkeypatch.setattr("slmtui.core.stats.NOISY_FRAC", -1.0)  # however even the runs are
        await found.pilot.press("r")
        await found.ended()
        assert [found.table.figure(row, "state").text for row in found.rows] == ["! noisy"] * 2
        await found.screen.go_to_page("speed")
        assert "2 of 2 cells are noisy" in shown(found.app, "#page-speed .page--note")
        await found.screen.go_to_page("results")
        await found.pilot.press("a")
        await found.ended()
        assert [found.table.figure(row, "n").text for row in found.rows] == ["6", "6"]
        plans = {each.plan for each in found.screen.bench.measured}
        assert len(plans) == 2


async def test_export_opens_the_sheet_once_something_was_measured() -> None:
    async with bench(TWO[0]) as found:
        assert found.screen.reason("export") == "Nothing was measured yet."
        await found.pilot.press("r")
        await found.ended()
        await found.pilot.press("e")
        await until(found.pilot, lambda: isinstance(found.app.screen, ExportSheet))


async def test_keys_and_button_change_preset_and_run() -> None:
    async with bench(TWO[0]) as found:
        await found.pilot.press("p")
        await until(found.pilot, lambda: found.screen.query_one(Choice).value == "standard")
        button = found.screen.query_one("#run", Button)
        await found.pilot.click(button)
        await until(found.pilot, lambda: str(button.label) == "Stop")
        await found.pilot.click(button)
        await found.ended()
        assert str(button.label) == "Run"


async def test_marks_that_change_during_a_run_wait_for_its_end() -> None:
    async with bench(TWO[0]) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.measured()
        found.app.marked = tuple(found.app.services.find(spec) for spec in TWO)
        await found.pilot.pause()
        assert len(found.states) == 1
        await found.pilot.press("escape")
        await found.ended()
        await until(found.pilot, lambda: found.screen.planned is not None and len(found.screen.planned.cells) == 2)
