"""Compare: prefill, decode and memory of the marked models, measured by a plan, in a table and in charts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Footer, Static

from slmtui.core.plan import Grid, Plan, PlanError, Unfinished
from slmtui.core.presets import PRESETS
from slmtui.lab import speed
from slmtui.sources.store import StoreError
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.pages.bench import plan_again
from slmtui.ui.pages.pages import RESULTS, Pages
from slmtui.ui.screens.compare_messages import BenchBegan, BenchClosed, BenchHeard, PlanThought, StoreRead
from slmtui.ui.screens.compare_paged import GAUGE_HZ, ComparePagedScreen
from slmtui.ui.screens.compare_words import plan_words
from slmtui.ui.screens.paged import PageProvider
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.gauges import Gauges
from slmtui.ui.widgets.progress import PlanProgress
from slmtui.ui.widgets.strip import Strip
from slmtui.ui.widgets.unfinished import UnfinishedOffer

if TYPE_CHECKING:
    from slmtui.ui.screens.compare_sheet import Wish

IMPORTS = 8
"""How many of the newest imports are laid beside what was measured here."""
_TO_START = ("run", "resume", "again")


class CompareScreen(ComparePagedScreen):
    """Choose a plan, watch it run, look at what came of it."""

    PLACE: ClassVar[Place] = "compare"
    CSS_PATH = "compare.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {PageProvider}
    BINDINGS: ClassVar[list[BindingType]] = bindings("compare")
    AUTO_FOCUS = "NothingMarked Button, #run"

    def __init__(self) -> None:
        super().__init__()
        self.changes: Grid | None = None
        """What differs from the preset."""
        self.planned: Plan | None = None
        """What would be measured now."""
        self.outlook: speed.Outlook | None = None
        self.problem = ""
        """Why there is no plan."""
        self._control: speed.Control | None = None

    def compose(self) -> ComposeResult:
        """Controls, what runs, pages."""
        yield Strip()
        yield UnfinishedOffer()
        yield NothingMarked("measure", offer_from(self.services.models()))
        with Vertical(id="bench"):
            with Horizontal(id="controls"):
                yield Choice([(name, name) for name in PRESETS])
                yield Button("Run", variant="primary", compact=True, id="run")
                yield Button("Plan …", compact=True, id="plan")
            yield Static(id="outlook")
            yield PlanProgress()
            yield Gauges()
            yield Pages()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Follow the marks, and paint at a fixed pace."""
        self.watch(self.lab_app, "marked", self._follow_marks)
        self.set_interval(1 / GAUGE_HZ, self.paint)

    def on_screen_resume(self) -> None:
        """Something may have been imported, finished or deleted in the meantime."""
        self.read_store()

    @property
    def running(self) -> bool:
        """Whether a plan runs."""
        return self._control is not None

    @property
    def preset(self) -> str:
        """Name of the chosen preset."""
        return self.query_one(Choice).value

    # -- what is shown

    def _follow_marks(self) -> None:
        if not self.running:
            self.think()

    def _show_all(self) -> None:
        """Show everything anew as soon as there is time."""
        something = bool(self.marked or self.running or self.bench.measured or self.imported)
        self.query_one(NothingMarked).display = not something
        self.query_one("#bench").display = something
        self.query_one(Gauges).display = self.query_one(PlanProgress).display = self.running
        self.query_one("#outlook").display = not self.running
        self.query_one("#run", Button).label = "Stop" if self.running else "Run"
        self.query_one(Choice).disabled = self.query_one("#plan").disabled = self.running
        self._say_plan()
        self.pages.say(self.bench.notes)
        self.refresh_bindings()
        self.renew()

    def _say_plan(self) -> None:
        chosen, width = (self.preset, self.changes), self.size.width - 4
        words = plan_words(chosen, self.planned, self.outlook, self.problem, width)
        self.query_one("#outlook", Static).update(words)

    def on_resize(self) -> None:
        """Say more where there is more room."""
        self._say_plan()

    # -- the plan to come

    @on(Choice.Changed)
    def _another_preset(self) -> None:
        self.changes = None
        self.think()

    def think(self) -> None:
        """Work out the plan for what is marked; what was measured stays in sight until it runs."""
        self.planned, self.outlook, self.problem = None, None, ""
        if not self.bench.measured:
            self.bench.show(None)
        if self.marked:
            self.think_plan()
        self._show_all()

    @work(exclusive=True, group="plan")
    async def think_plan(self) -> None:
        """Make the plan and ask how long it will take and what will not fit."""
        try:
            plan = await self._make_plan()
            self.post_message(PlanThought(plan))
            self.post_message(PlanThought(plan, await speed.outlook(self.services, plan)))
        except (PlanError, StoreError) as error:
            self.post_message(PlanThought(None, problem=str(error)))

    async def _make_plan(self) -> Plan:
        return await speed.make_plan(self.services, self.preset, self.marked, self.changes)

    @on(PlanThought)
    def _take_plan(self, message: PlanThought) -> None:
        if self.running:
            return
        if not self.bench.measured and message.plan is not self.planned:
            self.bench.show(message.plan)
        self.planned, self.outlook, self.problem = message.plan, message.outlook, message.problem
        self._show_all()

    @work(exclusive=True, group="store")
    async def read_store(self) -> None:
        """Ask for unfinished plans and for imported measurements."""
        try:
            sessions = [each for each in await self.services.sessions() if each.environment.imported is not None]
            found = [await self.services.measurements(each.id) for each in sessions[:IMPORTS]]
            imported = tuple(each for session in found for each in session)
            self.post_message(StoreRead(await speed.unfinished(self.services), imported))
        except StoreError as error:
            self.post_message(Problem(str(error)))

    @on(StoreRead)
    def _take_store(self, message: StoreRead) -> None:
        self.query_one(UnfinishedOffer).unfinished = None if self.running else next(iter(message.unfinished), None)
        if message.imported != self.imported:
            self.imported = message.imported
        self._show_all()

    # -- the plan that runs

    @work(exclusive=True, group="bench")
    async def measure(self, control: speed.Control, began: BenchBegan | None = None) -> None:
        """Run a plan, that of the moment unless another is given, and pass on what it reports."""
        try:
            began = began or BenchBegan(await self._make_plan())
            self.post_message(began)
            async with aclosing(speed.run(self.services, began.plan, control)) as stream:
                async for event in stream:
                    self.post_message(BenchHeard(event))
        except (PlanError, StoreError) as error:
            self.post_message(Problem(f"The benchmark was stopped: {error}"))
        finally:
            self.post_message(BenchClosed())

    @on(BenchBegan)
    def _begin(self, message: BenchBegan) -> None:
        if message.again:
            self.bench.again(message.plan)
        else:
            self.bench.begin(message.plan, message.earlier)
        self._show_all()

    @on(BenchHeard)
    def _take(self, message: BenchHeard) -> None:
        self.bench.take(message.event)
        self.stale = True
        match message.event:
            case speed.Noticed() | speed.Released():
                self.pages.say(self.bench.notes)
            case speed.CellProgress() | speed.TimeLeft() | speed.Cooling():
                pass
            case _:
                self.old = True

    @on(BenchClosed)
    def _bench_closed(self) -> None:
        self._control = None
        self.bench.ended()
        self.read_store()
        self.think()

    # -- what a person can ask for

    @on(NothingMarked.Accepted)
    def accept_offer(self, message: NothingMarked.Accepted) -> None:
        """Mark the offered models."""
        self.lab_app.marked = message.models
        self.call_after_refresh(self.query_one("#run").focus)

    @on(Button.Pressed, "#run")
    def run_or_stop(self) -> None:
        """The button does what its label says."""
        self._do("stop" if self.running else "run")

    @on(Button.Pressed, "#plan")
    def plan_pressed(self) -> None:
        """Open the sheet."""
        self._do("plan")

    @on(UnfinishedOffer.Continued)
    def continue_pressed(self) -> None:
        """Go on with the offered plan."""
        self._do("resume")

    @on(UnfinishedOffer.Dropped)
    def drop_pressed(self) -> None:
        """Forget the offered plan."""
        self._do("drop")

    def _do(self, action: str) -> None:
        if (reason := self.reason(action)) is not None:
            self.say(reason, "warning")
        else:
            self.call_later(self.run_action, action)

    def _start(self, began: BenchBegan | None = None) -> None:
        self._control = speed.Control()
        self.query_one(UnfinishedOffer).unfinished = None
        self.measure(self._control, began)
        self._show_all()

    def action_run(self) -> None:
        """Measure the marked models."""
        self.bench.show(None)
        self._start()

    async def action_resume(self) -> None:
        """Go on with an unfinished plan; what it has measured is shown at once."""
        found = self.query_one(UnfinishedOffer).unfinished
        if isinstance(found, Unfinished):
            self._start(BenchBegan(found.plan, await speed.measured(self.services, found.plan.id)))

    async def action_drop(self) -> None:
        """Forget an unfinished plan; its measurements stay in their session."""
        if (found := self.query_one(UnfinishedOffer).unfinished) is not None:
            await speed.forget(self.services, found.plan.id)
            self.say("The plan is dropped; what it measured stays in its session.")
            self.read_store()

    def action_again(self) -> None:
        """Add repetitions to the noisy cells, by a plan of those cells."""
        if (plan := self.bench.plan) is not None:
            self._start(BenchBegan(plan_again(plan, self.bench.noisy), again=True))

    def action_stop(self) -> None:
        """Close the field for words, or else stop; finished repetitions are kept."""
        if self.pages.finding:
            self.pages.close_finder()
        elif self._control is not None:
            self._control.stop()
            self.bench.stopping = True
            self._show_all()

    def action_skip(self) -> None:
        """Leave out the cells that are shown as running; between two of their runs too."""
        if self._control is not None:
            for key in self.bench.running_cells:
                self._control.skip(key)

    def action_preset(self) -> None:
        """Change to the next preset."""
        self.query_one(Choice).action_move(1)

    def action_plan(self) -> None:
        """Edit the plan in a side sheet."""
        from slmtui.ui.screens.compare_sheet import PlanSheet

        self.app.push_screen(PlanSheet(self.preset, PRESETS[self.preset], self.changes), self._take_wish)

    def _take_wish(self, wish: Wish | None) -> None:
        if wish is not None:
            self.changes = wish.changes
            self.think()

    def action_export(self) -> None:
        """Ask where to, and write the session."""
        from slmtui.ui.widgets.pick import ExportSheet

        if (session := self.services.session) is not None:
            self.app.push_screen(ExportSheet(self.services, session))

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        name = action.partition("(")[0]
        if name in _TO_START and self.running:
            return "A benchmark runs already; esc stops it."
        if name in _TO_START and self.services.talks:
            return "Models are answering in Chat, which would spoil the figures; stop them there first."
        return self._own_reason(name)

    def _own_reason(self, action: str) -> str | None:
        if not self.is_mounted:
            return None
        unfinished = self.query_one(UnfinishedOffer).unfinished
        facts = {
            "run": (not self.marked, "No model is marked."),
            "stop": (not self.running and not self.pages.finding, "Nothing runs."),
            "skip": (not self.running, "Nothing runs."),
            "preset": (self.running, "The running benchmark keeps its plan."),
            "plan": (self.running, "The running benchmark keeps its plan."),
            "resume": (unfinished is None, "No plan is unfinished."),
            "drop": (unfinished is None, "No plan is unfinished."),
            "again": (not self.bench.noisy, "No cell is noisy."),
            "table": (self.pages.page == RESULTS, "This page is a table already."),
            "export": (self.services.session is None, "Nothing was measured yet."),
        }
        lacking, words = facts.get(action, (False, ""))
        return words if lacking else None
