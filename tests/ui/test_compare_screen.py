from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Button, Static

from slmtui.core.events import MemoryPart
from slmtui.core.results import cell_results
from slmtui.lab.services import Services
from slmtui.lab.speed import PRESETS, Shape
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.compare import GAUGE_HZ, CompareScreen, preset_words
from slmtui.ui.widgets.brief import Brief
from slmtui.ui.widgets.chart import BarChart, MemoryChart
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.compare_table import CompareTable, row_figures, stack
from slmtui.ui.widgets.empty import NothingMarked
from slmtui.ui.widgets.gauges import Gauges
from slmtui.ui.widgets.pick import ExportSheet
from tests.samples import measurement, timing
from tests.ui.steps import running, until

TWO = ("pocket-5m:Q8_0", "pocket-5m:Q4_K_M")
MIB = 1024**2


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes that a busy machine measures in no time: three repetitions, and more than anybody waits for."""
    monkeypatch.setitem(PRESETS, "quick", Shape(prompt_tokens=32, generated_tokens=8, repetitions=3))
    monkeypatch.setitem(PRESETS, "standard", Shape(prompt_tokens=64, generated_tokens=16, repetitions=1000))


class Bench:
    """A running app that shows Compare."""

    def __init__(self, app: SlmtuiApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> CompareScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, CompareScreen))

    @property
    def table(self) -> CompareTable:
        return self.screen.query_one(CompareTable)

    @property
    def states(self) -> list[str]:
        return [gauge.state for gauge in self.screen.query_one(Gauges).rows]

    async def ended(self) -> None:
        await until(self.pilot, lambda: not self.screen.running)
        await until(self.pilot, lambda: not any(gauge.running for gauge in self.screen.query_one(Gauges).rows))


@asynccontextmanager
async def bench(*specs: str, size: tuple[int, int] = (120, 36)) -> AsyncGenerator[Bench]:
    async with running(size) as (app, pilot):
        app.marked = tuple(app.services.find(spec) for spec in specs)
        await app.action_go("compare")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        yield Bench(app, pilot)


async def test_without_marks_it_offers_models_and_runs_them() -> None:
    async with bench() as found:
        assert found.screen.query_one(NothingMarked).display
        assert found.screen.reason("run") == "No model is marked."
        await found.pilot.press("enter")
        await until(found.pilot, lambda: len(found.states) == 2)
        assert not found.screen.query_one(NothingMarked).display
        await until(found.pilot, lambda: isinstance(found.app.focused, Button))
        await found.pilot.press("enter")
        assert found.screen.running


async def test_a_quick_run_fills_gauges_table_and_charts() -> None:
    async with bench(*TWO) as found:
        await found.pilot.press("r")
        assert found.screen.running
        assert found.screen.check_action("run", ()) is None
        assert found.screen.query_one(Choice).disabled
        await until(found.pilot, lambda: "measuring" in found.states)
        await until(found.pilot, lambda: len(found.table) >= 1)
        await found.ended()
        assert found.states == ["done", "done"]
        for key in TWO:
            for column in ("prefill", "decode", "ttft", "engine", "process"):
                assert found.table.figure(key, column).value, column
            assert found.table.figure(key, "n").text == "3"
        assert [len(chart.bars) for chart in found.screen.query(BarChart)] == [2, 2]
        assert all(all(each.parts) for each in found.screen.query_one(MemoryChart).stacks)
        assert "warm-ups" in str(found.screen.query_one("#details", Static).render())
        session = found.app.services.session
        assert session is not None
        stored = await found.app.services.measurements(session.id)
        assert [each.kind for each in stored] == ["bench"] * 6


async def test_figures_are_those_of_the_stored_repetitions() -> None:
    async with bench(TWO[0]) as found:
        await found.pilot.press("r")
        await found.ended()
        session = found.app.services.session
        assert session is not None
        (result,) = cell_results(await found.app.services.measurements(session.id))
        assert result.decode_tps is not None
        assert found.table.figure(TWO[0], "decode").value == result.decode_tps.median
        assert result.prompt_tokens == PRESETS["quick"].prompt_tokens


async def test_gauges_are_painted_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[float] = []
    original = Gauges.render

    def counted(self: Gauges) -> Content:
        painted.append(asyncio.get_running_loop().time())
        return original(self)

    monkeypatch.setattr(Gauges, "render", counted)
    async with bench(TWO[0]) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await until(found.pilot, lambda: "measuring" in found.states)
        began, before = asyncio.get_running_loop().time(), len(painted)
        await until(found.pilot, lambda: asyncio.get_running_loop().time() - began > 1.5 or not found.screen.running)
        elapsed_s = asyncio.get_running_loop().time() - began
        # The layout changes once, when the first result arrives, and paints everything anew.
        assert len(painted) - before <= GAUGE_HZ * elapsed_s + 3


async def test_esc_stops_and_keeps_finished_repetitions() -> None:
    async with bench(*TWO) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await until(found.pilot, lambda: len(found.table) >= 1)
        await found.pilot.press("escape")
        await found.ended()
        assert "stopped" in found.states
        session = found.app.services.session
        assert session is not None
        stored = await found.app.services.measurements(session.id)
        assert stored
        assert found.screen.query_one(Gauges).rows[1].words.startswith("stopped")
        assert not [each for each in found.app.services.loaded if each.ready]
        assert found.screen.check_action("run", ()) is True


async def test_a_failed_model_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    async with bench(str(broken), TWO[0]) as found:
        await found.pilot.press("r")
        await found.ended()
        assert found.states == ["failed", "done"]
        assert found.table.figure(str(broken), "note").text == "failed"
        assert "broken.gguf" in str(found.screen.query_one("#failures", Static).render())
        assert found.table.figure(TWO[0], "n").text == "3"


async def test_a_killed_worker_is_a_failed_cell() -> None:
    async with bench(*TWO) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await until(found.pilot, lambda: "warming up" in found.states or "measuring" in found.states)
        victim = next(each for each in found.app.services.loaded if each.ready and each.model.id == TWO[0])
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        await until(found.pilot, lambda: found.states[0] == "failed")
        assert "SIGKILL" in str(found.screen.query_one("#failures", Static).render())
        await until(found.pilot, lambda: TWO[1] in found.table)
        await found.pilot.press("escape")
        await found.ended()


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
        assert found.screen.query_one(Choice).value == "standard"
        await found.pilot.press("p")
        button = found.screen.query_one("#run", Button)
        await found.pilot.click(button)
        assert str(button.label) == "Stop"
        await found.pilot.click(button)
        await found.ended()
        assert str(button.label) == "Run"


async def test_marks_that_change_during_a_run_wait_for_its_end() -> None:
    async with bench(TWO[0]) as found:
        await found.pilot.press("r")
        found.app.marked = tuple(found.app.services.find(spec) for spec in TWO)
        await found.pilot.pause()
        assert len(found.screen.models) == 1
        await found.ended()
        await until(found.pilot, lambda: len(found.states) == 2)


async def test_a_terminal_that_is_far_too_small_breaks_nothing() -> None:
    async with bench(TWO[0], size=(20, 5)) as found:
        await found.pilot.press("r")
        await found.ended()
        assert found.states == ["done"]


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)])
async def test_no_remark_is_cut(size: tuple[int, int]) -> None:
    async with bench(*TWO, size=size) as found:
        brief = found.screen.query_one(Brief)
        assert str(brief.render()) in brief.variants


def test_presets_are_named_as_llama_bench_names_them() -> None:
    assert preset_words("quick") == "quick pp32 tg8 ×3"


def test_rows_show_median_quartiles_and_noise() -> None:
    services = Services.open(strict=False)
    model = services.find("pocket-5m:Q8_0")
    services.store.close()
    parts = (
        MemoryPart("weights", "CPU", 3 * MIB),
        MemoryPart("weights", "AMX", 2 * MIB),
        MemoryPart("KV cache", "CPU", MIB),
    )
    (result,) = cell_results(
        [
            measurement(number, timing=timing(prefill_s=seconds, decode_s=0.5), engine_memory=parts)
            for number, seconds in enumerate((0.25, 0.5, 0.512))
        ]
    )
    figures = row_figures(0, model, result, failed=False)
    assert figures["prefill"].text == "1,024"
    assert figures["prefill spread"].text == "1,012–1,536"
    assert figures["note"].text == "noisy"
    assert figures["engine"].text == "6 MiB"
    assert stack(result).parts == (5 * MIB, MIB, None)
    assert row_figures(0, model, result, failed=True)["note"].text == "failed"
    assert row_figures(0, model, None, failed=True)["note"].text == "failed"
    single = row_figures(0, model, msgspec.structs.replace(result, prefill_tps=None), failed=False)
    assert single["prefill"].text == "—"
