"""Compare: prefill, decode and memory of the marked models, measured one at a time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Footer, Static

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed
from slmtui.core.live import Live
from slmtui.core.measurement import Measurement
from slmtui.core.results import CellResult, cell_results, shape_label
from slmtui.core.text import one_line, share
from slmtui.lab import speed
from slmtui.sources.store import StoreError
from slmtui.ui.base import LabScreen
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.widgets.brief import Brief
from slmtui.ui.widgets.chart import Bar, BarChart, MemoryChart
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.compare_table import CompareTable, describe, stack
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.gauges import Gauge, Gauges, State
from slmtui.ui.widgets.strip import Strip

GAUGE_HZ = 4
"""How often the gauges are painted: faster painting would slow down what they measure."""


class BenchHeard(Message):
    """Something that the benchmark reports."""

    def __init__(self, event: speed.BenchEvent) -> None:
        super().__init__()
        self.event = event


class BenchClosed(Message):
    """No worker of the benchmark is left."""


class CompareScreen(LabScreen):
    """Gauges while it runs, a table and charts as repetitions finish."""

    PLACE: ClassVar[Place] = "compare"
    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("compare")
    AUTO_FOCUS = "NothingMarked Button, #run"

    def __init__(self) -> None:
        super().__init__()
        self.models: tuple[LocalModel, ...] = ()
        """The models of the gauges: those of the running plan, otherwise the marked ones."""
        self.results: tuple[CellResult, ...] = ()
        self.failures: dict[str, Failed] = {}
        self._gauges: dict[str, Gauge] = {}
        self._measured: list[Measurement] = []
        self._shape = speed.Shape()
        self._stop: asyncio.Event | None = None
        self._stale = False

    def compose(self) -> ComposeResult:
        """Controls, gauges, results."""
        yield Strip()
        yield NothingMarked("measure", offer_from(self.services.models()))
        with Vertical(id="bench"):
            with Horizontal(id="controls"):
                yield Choice([(name, preset_words(name)) for name in speed.PRESETS])
                yield Button("Run", variant="primary", compact=True, id="run")
                yield Brief()
            yield Gauges()
            with VerticalScroll(id="results"):
                yield CompareTable()
                yield Static(id="details")
                yield Static(id="failures")
                with Horizontal(id="charts"):
                    yield BarChart("Prefill, tok/s", style="prefill")
                    yield BarChart("Decode, tok/s", style="decode")
                yield MemoryChart()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Follow the marks, and paint at a fixed pace."""
        self.watch(self.lab_app, "marked", self._follow_marks)
        self.set_interval(1 / GAUGE_HZ, self._paint)
        self._show_results()

    @property
    def running(self) -> bool:
        """Whether a benchmark runs."""
        return self._stop is not None

    # What is shown.

    def _follow_marks(self) -> None:
        if self.running:
            return
        self.models = self.marked
        self._gauges = {
            model.id: self._gauges.get(model.id) or Gauge(name=one_line(model.name), words="not measured yet")
            for model in self.models
        }
        self.query_one(NothingMarked).display = not self.models
        self.query_one("#bench").display = bool(self.models)
        self._stale = True
        self._paint()
        self._say_outlook()

    def _paint(self) -> None:
        if self._stale:
            self._stale = False
            self.query_one(Gauges).rows = tuple(self._gauges[model.id] for model in self.models)

    def _show_results(self) -> None:
        self.query_one(CompareTable).show(self.models, self.results, self.failures)
        self.query_one("#results").display = bool(self.results or self.failures)
        self.query_one("#charts").display = self.query_one(MemoryChart).display = bool(self.results)
        self.query_one(MemoryChart).stacks = tuple(stack(each) for each in self.results)
        self.query_one(".prefill", BarChart).bars = tuple(Bar(each.name, each.prefill_tps) for each in self.results)
        self.query_one(".decode", BarChart).bars = tuple(Bar(each.name, each.decode_tps) for each in self.results)
        names = {model.id: one_line(model.name) for model in self.models}
        lines = [
            Content.assemble(("✗ ", "$text-error"), (names[model], "bold"), f"  {one_line(failed.message)}")
            for model, failed in self.failures.items()
            if model in names
        ]
        failures = self.query_one("#failures", Static)
        failures.update(Content("\n").join(lines))
        failures.display = bool(lines)
        self._describe_row()

    @on(FitTable.Highlighted)
    def _describe_row(self) -> None:
        row = self.query_one(CompareTable).highlighted
        result = next((result for result in self.results if result.model == row), None)
        self.query_one("#details", Static).update(describe(result) if result else "")

    def _say_outlook(self) -> None:
        done, total = len(self._measured), (len(self.models) - len(self.failures)) * self._shape.repetitions
        variants: tuple[str, ...]
        if self._stop is not None and self._stop.is_set():
            variants = ("stopping …",)
        elif self.running:
            variants = (f"{done} of {total} repetitions", f"{done} of {total}")
        elif done:
            variants = (f"{done} repetitions measured · e exports them", "e exports them", "e exports")
        else:
            variants = ("one model at a time, in rotated order", "one at a time")
        self.query_one(Brief).variants = variants
        self.query_one("#run", Button).label = "Stop" if self.running else "Run"
        self.query_one(Choice).disabled = self.running
        self.refresh_bindings()

    # What the benchmark reports.

    @on(BenchHeard)
    def _take(self, message: BenchHeard) -> None:
        event = message.event
        self._stale = True
        match event:
            case speed.CellLoading():
                self._set(event.cell, "loading", f"loading {share(event.fraction)}", running=True)
            case speed.CellRunning():
                self._begin(event)
            case speed.CellProgress():
                gauge = self._gauges[event.cell.model.id]
                self._put(event.cell, msgspec.structs.replace(gauge, live=gauge.live.after(event.event)))
            case speed.CellMeasured():
                self._keep(event)
            case speed.CellFailed():
                self.failures[event.cell.model.id] = event.failure
                self._set(event.cell, "failed", "failed")
                self._show_results()
                self._say_outlook()
            case speed.PlanEnded():
                self._end(event)

    def _begin(self, event: speed.CellRunning) -> None:
        self._rest()
        gauge = self._gauges[event.cell.model.id]
        live = Live(memory=gauge.live.memory, peak_rss_bytes=gauge.live.peak_rss_bytes)
        words = (
            f"warm-up {event.repetition + 1}" if event.warmup else f"repetition {event.repetition + 1} of {event.of}"
        )
        state: State = "warming up" if event.warmup else "measuring"
        last = gauge.live.timing or gauge.last
        self._put(event.cell, Gauge(name=gauge.name, state=state, words=words, live=live, last=last, running=True))

    def _keep(self, event: speed.CellMeasured) -> None:
        self._measured.append(event.measurement)
        self.results = cell_results(self._measured)
        gauge = self._gauges[event.cell.model.id]
        live = msgspec.structs.replace(gauge.live, timing=event.measurement.timing)
        self._put(event.cell, msgspec.structs.replace(gauge, live=live))
        self._rest()
        self._show_results()
        self._say_outlook()

    def _end(self, event: speed.PlanEnded) -> None:
        self.results = event.results
        self._rest(stopped=event.stopped)
        self._show_results()
        if self.results:
            self.query_one(CompareTable).highlight(self.results[0].model)

    def _rest(self, *, stopped: bool = False) -> None:
        """Say of every model that does not run how far it came."""
        for model in self.models:
            gauge = self._gauges[model.id]
            if gauge.state == "failed":
                continue
            done, of = sum(each.model == model.id for each in self._measured), self._shape.repetitions
            state: State = "done" if done >= of else "stopped" if stopped else "waiting"
            words = f"{state}, {done} of {of}" if done < of and (done or stopped) else state
            self._gauges[model.id] = msgspec.structs.replace(gauge, state=state, words=words, running=False)

    def _set(self, cell: speed.Cell, state: State, words: str, *, running: bool = False) -> None:
        gauge = self._gauges[cell.model.id]
        self._put(cell, msgspec.structs.replace(gauge, state=state, words=words, running=running))

    def _put(self, cell: speed.Cell, gauge: Gauge) -> None:
        self._gauges[cell.model.id] = gauge
        self._stale = True

    @on(BenchClosed)
    def _bench_closed(self) -> None:
        self._stop = None
        self._say_outlook()
        if self.marked != self.models:
            self._follow_marks()

    # What a person can ask for.

    @on(NothingMarked.Accepted)
    def accept_offer(self, message: NothingMarked.Accepted) -> None:
        """Mark the offered models."""
        self.lab_app.marked = message.models
        self.call_after_refresh(self.query_one("#run").focus)

    @on(Button.Pressed, "#run")
    def run_or_stop(self) -> None:
        """The button does what its label says."""
        if self.running:
            self.action_stop()
        elif (reason := self.reason("run")) is not None:
            self.say(reason, "warning")
        else:
            self.action_run()

    def action_run(self) -> None:
        """Measure the marked models."""
        self._shape = speed.PRESETS[self.query_one(Choice).value]
        self.models = self.marked
        self.results, self.failures, self._measured = (), {}, []
        self._gauges = {
            model.id: Gauge(name=one_line(model.name), state="waiting", words="waiting") for model in self.models
        }
        self._stop = asyncio.Event()
        self._stale = True
        self._show_results()
        self._say_outlook()
        self.measure(speed.Plan(models=self.models, shape=self._shape), self._stop)

    @work(exclusive=True, group="bench")
    async def measure(self, plan: speed.Plan, stop: asyncio.Event) -> None:
        """Run the plan and pass on what it reports."""
        try:
            async with aclosing(speed.run(self.services, plan, stop)) as stream:
                async for event in stream:
                    self.post_message(BenchHeard(event))
        except StoreError as error:
            self.post_message(Problem(f"The benchmark was stopped: {error}"))
        finally:
            self.post_message(BenchClosed())

    def action_stop(self) -> None:
        """Stop; finished repetitions are kept."""
        if self._stop is not None:
            self._stop.set()
            self._say_outlook()

    def action_preset(self) -> None:
        """Change to the next preset."""
        self.query_one(Choice).action_move(1)

    def action_export(self) -> None:
        """Ask where to, and write the session."""
        from slmtui.ui.widgets.pick import ExportSheet

        if (session := self.services.session) is not None:
            self.app.push_screen(ExportSheet(self.services, session))

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        match action:
            case "run" if self.running:
                return "A benchmark runs already; esc stops it."
            case "run" if not self.marked:
                return "No model is marked."
            case "run" if self.services.talks:
                return "Models are answering in Chat, which would spoil the figures; stop them there first."
            case "stop" if not self.running:
                return "Nothing runs."
            case "preset" if self.running:
                return "The running benchmark keeps its shape."
            case "export" if self.services.session is None:
                return "Nothing was measured yet."
            case _:
                return None


def preset_words(name: str) -> str:
    """A preset in a few words: `quick pp128 tg32 ×3`."""
    shape = speed.PRESETS[name]
    return f"{name} {shape_label(shape.prompt_tokens, shape.generated_tokens, shape.depth, ' ')} ×{shape.repetitions}"
