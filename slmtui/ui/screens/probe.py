"""Probe: do the marked models learn from examples? Tasks are asked without and with examples, by a plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Footer, Static

from slmtui.core.plan import PlanError
from slmtui.core.probe_presets import PRESETS, ProbeGrid
from slmtui.core.task import TaskError
from slmtui.lab import probe
from slmtui.sources.store import StoreError
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.pages.probe_pages import ProbePages
from slmtui.ui.pages.probing import Probing
from slmtui.ui.screens.paged import PagedScreen, PageProvider
from slmtui.ui.screens.probe_messages import ProbeBegan, ProbeClosed, ProbeHeard, ProbesRead, ProbeThought
from slmtui.ui.screens.probe_words import plan_words, progress_of
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.progress import PlanProgress
from slmtui.ui.widgets.strip import Strip
from slmtui.ui.widgets.unfinished import UnfinishedOffer

if TYPE_CHECKING:
    from slmtui.ui.screens.probe_sheet import Wish

PAINT_HZ = 4
DRAW_S = 1.0
"""Seconds between two drawings of grid or chart while a probe runs."""
DEMO_TASKS = ("pocket-2-categories", "pocket-judgements")
"""What demo models are asked: tasks that they were made to be able to learn."""
USUAL_TASKS = ("sentiment", "topic", "antonyms")
_TO_START = ("run", "resume")


class ProbeScreen(PagedScreen):
    """Choose tasks, watch the grid fill in, read what was asked."""

    PLACE: ClassVar[Place] = "probe"
    CSS_PATH = "probe.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {PageProvider}
    BINDINGS: ClassVar[list[BindingType]] = bindings("probe")
    AUTO_FOCUS = "NothingMarked Button, #run"

    def __init__(self) -> None:
        super().__init__()
        self.probing = Probing()
        self.chosen: tuple[str, ...] | None = None
        """Ids of tasks, or paths of their files; None for those that suit the marked models."""
        self.changes: ProbeGrid | None = None
        """What differs from the preset."""
        self.planned: probe.ProbePlan | None = None
        """What would be asked now."""
        self.outlook: probe.ProbeOutlook | None = None
        self.problem = ""
        """Why there is no plan."""
        self.decode_tps: dict[str, float | None] = {}
        self._control: probe.Control | None = None
        self.old = True
        """Whether grid and charts are older than what is known."""
        self._drawn_at = 0.0

    def compose(self) -> ComposeResult:
        """Controls, what runs, pages."""
        yield Strip()
        yield UnfinishedOffer()
        yield NothingMarked("probe", offer_from(self.services.models()))
        with Vertical(id="probe"):
            with Horizontal(id="controls"):
                yield Choice([(name, name) for name in PRESETS])
                yield Button("Run", variant="primary", compact=True, id="run")
                yield Button("Tasks …", compact=True, id="tasks")
                yield Button("Plan …", compact=True, id="plan")
            yield Static(id="outlook")
            yield PlanProgress()
            yield ProbePages()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Follow the marks, and paint at a fixed pace."""
        self.watch(self.lab_app, "marked", self._follow_marks)
        self.set_interval(1 / PAINT_HZ, self.paint)

    def on_screen_resume(self) -> None:
        """Something may have been finished, measured or deleted in the meantime."""
        self.read_store()

    @property
    def running(self) -> bool:
        """Whether a probe runs."""
        return self._control is not None

    @property
    def preset(self) -> str:
        """Name of the chosen preset."""
        return self.query_one(Choice).value

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is asked: the chosen tasks, or those that suit the marked models."""
        if self.chosen is not None:
            return self.chosen
        return DEMO_TASKS if all(model.demo for model in self.marked) else USUAL_TASKS

    @property
    def pages(self) -> ProbePages:
        """Grid and charts."""
        return self.query_one(ProbePages)

    # -- what is shown

    def _follow_marks(self) -> None:
        if not self.running:
            self.think()

    def _show_all(self) -> None:
        something = bool(self.marked or self.running or self.probing.batches)
        self.query_one(NothingMarked).display = not something
        self.query_one("#probe").display = something
        self.query_one(PlanProgress).display = self.running
        self.query_one("#outlook").display = not self.running
        self.query_one("#run", Button).label = "Stop" if self.running else "Run"
        for name in ("#tasks", "#plan"):
            self.query_one(name).disabled = self.running
        self.query_one(Choice).disabled = self.running
        self._say_plan()
        self.refresh_bindings()
        self.old, self._drawn_at = True, 0.0
        self.call_later(self.paint)

    def _say_plan(self) -> None:
        found = (self.planned, self.outlook, self.problem)
        words = plan_words((self.preset, self.changes), self.tasks, found, self.size.width - 4)
        self.query_one("#outlook", Static).update(words)

    def on_resize(self) -> None:
        """Say more where there is more room."""
        self._say_plan()

    async def paint(self) -> None:
        """Paint progress each time, grid and charts once a second while something is asked."""
        if not self.is_mounted:
            return
        if self.running:
            self.query_one(PlanProgress).progress = progress_of(self.probing)
        now = time.monotonic()
        if self.old and (not self.running or now - self._drawn_at >= DRAW_S):
            self.old, self._drawn_at = False, now
            await self.pages.show(self.probing, self.decode_tps)

    # -- the plan to come

    @on(Choice.Changed)
    def _another_preset(self) -> None:
        self.changes = None
        self.think()

    def think(self) -> None:
        """Work out the plan for what is marked; answers stay in sight until it runs."""
        self.planned, self.outlook, self.problem = None, None, ""
        if not self.probing.batches:
            self.probing.show(None)
        if self.marked and self.tasks:
            self.think_plan()
        self._show_all()

    @work(exclusive=True, group="plan")
    async def think_plan(self) -> None:
        """Make the plan and ask how long it will take and what will not do."""
        try:
            plan = await self._make_plan()
            self.post_message(ProbeThought(plan))
            self.post_message(ProbeThought(plan, await probe.outlook(self.services, plan)))
        except (PlanError, StoreError, TaskError) as error:
            self.post_message(ProbeThought(None, problem=str(error)))

    async def _make_plan(self) -> probe.ProbePlan:
        return await probe.make_plan(self.preset, self.marked, self.tasks, self.changes)

    @on(ProbeThought)
    def _take_plan(self, message: ProbeThought) -> None:
        if self.running:
            return
        if not self.probing.batches and message.plan is not self.planned:
            self.probing.show(message.plan)
        self.planned, self.outlook, self.problem = message.plan, message.outlook, message.problem
        self._show_all()

    @work(exclusive=True, group="store")
    async def read_store(self) -> None:
        """Ask for unfinished probes and for the models' speeds."""
        try:
            speeds = {model: decode for model, (_, decode) in (await self.services.speeds()).items()}
            self.post_message(ProbesRead(await probe.kept(self.services), speeds))
        except StoreError as error:
            self.post_message(Problem(str(error)))

    @on(ProbesRead)
    def _take_store(self, message: ProbesRead) -> None:
        unfinished = next((kept for kept in message.kept if kept.unfinished), None)
        self.query_one(UnfinishedOffer).unfinished = None if self.running else unfinished
        self.decode_tps = dict(message.decode_tps)
        self._show_all()

    # -- the probe that runs

    @work(exclusive=True, group="probe")
    async def ask(self, control: probe.Control, began: ProbeBegan | None = None) -> None:
        """Run a plan, that of the moment unless another is given, and pass on what it reports."""
        try:
            began = began or ProbeBegan(await self._make_plan())
            self.post_message(began)
            async with aclosing(probe.run(self.services, began.plan, control)) as stream:
                async for event in stream:
                    self.post_message(ProbeHeard(event))
        except (PlanError, StoreError, TaskError) as error:
            self.post_message(Problem(f"The probe was stopped: {error}"))
        finally:
            self.post_message(ProbeClosed())

    @on(ProbeBegan)
    def _begin(self, message: ProbeBegan) -> None:
        self.probing.begin(message.plan, message.earlier)
        self._show_all()

    @on(ProbeHeard)
    def _take(self, message: ProbeHeard) -> None:
        self.probing.take(message.event)
        self.old = True

    @on(ProbeClosed)
    def _probe_closed(self) -> None:
        self._control = None
        self.probing.ended()
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

    @on(Button.Pressed, "#tasks")
    def tasks_pressed(self) -> None:
        """Open the sheet."""
        self._do("tasks")

    @on(Button.Pressed, "#plan")
    def plan_pressed(self) -> None:
        """Open the sheet."""
        self._do("plan")

    @on(UnfinishedOffer.Continued)
    def continue_pressed(self) -> None:
        """Go on with the offered probe."""
        self._do("resume")

    @on(UnfinishedOffer.Dropped)
    def drop_pressed(self) -> None:
        """Forget the offered probe."""
        self._do("drop")

    def _do(self, action: str) -> None:
        if (reason := self.reason(action)) is not None:
            self.say(reason, "warning")
        else:
            self.call_later(self.run_action, action)

    def _start(self, began: ProbeBegan | None = None) -> None:
        self._control = probe.Control()
        self.query_one(UnfinishedOffer).unfinished = None
        self.ask(self._control, began)
        self._show_all()

    def action_run(self) -> None:
        """Ask the marked models."""
        self.probing.show(None)
        self._start()

    async def action_resume(self) -> None:
        """Go on with an unfinished probe; what it has answered is shown at once."""
        found = self.query_one(UnfinishedOffer).unfinished
        if isinstance(found, probe.KeptProbe):
            self._start(ProbeBegan(found.plan, await probe.batches(self.services, found.plan.id)))

    async def action_drop(self) -> None:
        """Offer an unfinished probe no more; its answers stay in their session."""
        if (found := self.query_one(UnfinishedOffer).unfinished) is not None:
            await probe.forget(self.services, found.plan.id)
            self.say("The probe is dropped; its answers stay in their session.")
            self.read_store()

    def action_stop(self) -> None:
        """Close the field for words, or else stop; answers are kept."""
        if self.pages.finding:
            self.pages.close_finder()
        elif self._control is not None:
            self._control.stop()
            self.probing.stopping = True
            self._show_all()

    def action_skip(self) -> None:
        """Leave out the cell that is shown as asked now."""
        if self._control is not None:
            asking = self.probing.asking
            self._control.skip(asking.key if asking else None)

    def action_preset(self) -> None:
        """Change to the next preset."""
        self.query_one(Choice).action_move(1)

    def action_tasks(self) -> None:
        """Choose tasks."""
        from slmtui.ui.screens.probe_tasks import TasksSheet

        self.app.push_screen(TasksSheet(self.tasks), self._take_tasks)

    def _take_tasks(self, chosen: tuple[str, ...] | None) -> None:
        if chosen is not None:
            self.chosen = chosen
            self.think()

    def action_plan(self) -> None:
        """Edit the plan in a side sheet."""
        from slmtui.ui.screens.probe_sheet import ProbeSheet

        self.app.push_screen(ProbeSheet(self.preset, PRESETS[self.preset], self.changes), self._take_wish)

    def _take_wish(self, wish: Wish | None) -> None:
        if wish is not None:
            self.changes = wish.changes
            self.think()

    def action_look(self) -> None:
        """Read the questions of the highlighted row."""
        from slmtui.ui.screens.probe_questions import QuestionsScreen

        if (row := self.pages.chosen) is not None:
            self.app.push_screen(QuestionsScreen(row, self.probing.scores_like(row)))

    def action_export(self) -> None:
        """Ask where to, and write the session."""
        from slmtui.ui.widgets.pick import ExportSheet

        if (session := self.services.session) is not None:
            self.app.push_screen(ExportSheet(self.services, session))

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        name = action.partition("(")[0]
        if name in _TO_START and self.running:
            return "A probe runs already; esc stops it."
        if name in _TO_START and (self.services.talks or self.services.benchmarks):
            return "Models are busy in Chat or Compare; stop them there first."
        return self._own_reason(name)

    def _own_reason(self, action: str) -> str | None:
        if not self.is_mounted:
            return None
        unfinished = self.query_one(UnfinishedOffer).unfinished
        row = self.pages.chosen
        facts = {
            "run": (not self.marked or not self.tasks, "Mark a model and choose a task first."),
            "stop": (not self.running and not self.pages.finding, "Nothing runs."),
            "skip": (not self.running, "Nothing runs."),
            "preset": (self.running, "The running probe keeps its plan."),
            "tasks": (self.running, "The running probe keeps its plan."),
            "plan": (self.running, "The running probe keeps its plan."),
            "resume": (unfinished is None, "No probe is unfinished."),
            "drop": (unfinished is None, "No probe is unfinished."),
            "look": (row is None or not row.levels, "Nothing was answered in this row yet."),
            "table": (self.pages.at_first, "This page is a table already."),
            "export": (self.services.session is None, "Nothing was measured yet."),
        }
        lacking, words = facts.get(action, (False, ""))
        return words if lacking else None
