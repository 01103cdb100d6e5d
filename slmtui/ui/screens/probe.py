"""Probe: do the marked models learn from examples? Tasks are asked without and with examples, by a plan."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from slmtui.core.plan import PlanError
from slmtui.core.probe_presets import PRESETS, ProbeGrid
from slmtui.core.task import TaskError
from slmtui.lab import probe
from slmtui.lab.control import Control
from slmtui.sources.store import StoreError
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.pages.probe_pages import ProbePages
from slmtui.ui.pages.probing import Probing
from slmtui.ui.screens.planned import PlanScreen
from slmtui.ui.screens.probe_messages import ProbeBegan, ProbeClosed, ProbeHeard, ProbesRead, ProbeThought
from slmtui.ui.screens.probe_words import plan_words, progress_of
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.key_bar import KeyBar
from slmtui.ui.widgets.progress import PlanProgress
from slmtui.ui.widgets.strip import Strip
from slmtui.ui.widgets.unfinished import UnfinishedOffer

DEMO_TASKS = ("pocket-2-categories", "pocket-judgements")
"""What demo models are asked: tasks that they were made to be able to learn."""
USUAL_TASKS = ("sentiment", "topic", "antonyms")


class ProbeScreen(PlanScreen):
    """Choose tasks, watch the grid fill in, read what was asked."""

    PLACE: ClassVar[Place] = "probe"
    CSS_PATH = "probe.tcss"
    NOUN: ClassVar[str] = "probe"
    BINDINGS: ClassVar[list[BindingType]] = bindings("probe")

    def __init__(self) -> None:
        super().__init__()
        self.probing = Probing()
        self.chosen: tuple[str, ...] | None = None
        """Ids of tasks, or paths of their files; None for those that suit the marked models."""
        self.changes: ProbeGrid | None = None
        self.planned: probe.ProbePlan | None = None
        """What would be asked now."""
        self.outlook: probe.ProbeOutlook | None = None
        self.decode_tps: dict[str, float | None] = {}

    def compose(self) -> ComposeResult:
        """Controls, what runs, pages."""
        yield Strip()
        yield UnfinishedOffer()
        yield NothingMarked("probe", offer_from(self.services.models()))
        with Vertical(id="body"):
            with Horizontal(id="controls"):
                yield Choice([(name, name) for name in PRESETS])
                yield Button("Run", variant="primary", compact=True, id="run")
                yield Button("Tasks …", compact=True, id="tasks")
                yield Button("Plan …", compact=True, id="plan")
            yield Static(id="outlook")
            yield PlanProgress()
            yield ProbePages()
        yield KeyBar()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is asked: the chosen tasks, or those that suit the marked models."""
        if self.chosen is not None:
            return self.chosen
        return DEMO_TASKS if all(model.demo for model in self.marked) else USUAL_TASKS

    @property
    def known(self) -> Probing:
        """The plan that is shown, and what came of it."""
        return self.probing

    @property
    def pages(self) -> ProbePages:
        """Grid and charts."""
        return self.query_one(ProbePages)

    # -- what is shown

    def show_all(self) -> None:
        """Show everything anew as soon as there is time."""
        self.show_controls(bool(self.marked or self.running or self.probing.batches))
        self.renew()

    def say_plan(self) -> None:
        """Preset, tasks, questions, time."""
        found = (self.planned, self.outlook, self.problem)
        words = plan_words((self.preset, self.changes), self.tasks, found, self.size.width - 4)
        self.query_one("#outlook", Static).update(words)

    async def paint(self) -> None:
        """Paint progress each time, grid and charts once a second while something is asked."""
        if not self.is_mounted:
            return
        if self.running:
            self.query_one(PlanProgress).progress = progress_of(self.probing)
        if self.drawing():
            await self.pages.show(self.probing, self.decode_tps)

    # -- the plan to come

    def think(self) -> None:
        """Work out the plan for what is marked; answers stay in sight until it runs."""
        self.planned, self.outlook, self.problem = None, None, ""
        if not self.probing.batches:
            self.probing.show(None)
        if self.marked and self.tasks:
            self.think_plan()
        self.show_all()

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
        self.show_all()

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
        self.show_all()

    # -- the probe that runs

    @work(exclusive=True, group="probe")
    async def carry_out(self, control: Control, began: ProbeBegan | None = None) -> None:
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
        self.show_all()

    @on(ProbeHeard)
    def _take(self, message: ProbeHeard) -> None:
        self.probing.take(message.event)
        self.old = True

    @on(ProbeClosed)
    def _run_closed(self) -> None:
        self.ended()

    # -- what a person can ask for

    async def action_resume(self) -> None:
        """Go on with an unfinished probe; what it has answered is shown at once."""
        found = self.query_one(UnfinishedOffer).unfinished
        if isinstance(found, probe.KeptProbe):
            self.start(ProbeBegan(found.plan, await probe.batches(self.services, found.plan.id)))

    async def forget(self, plan_id: str) -> None:
        """Offer a probe no more."""
        await probe.forget(self.services, plan_id)

    def action_skip(self) -> None:
        """Leave out the cell that is shown as asked now."""
        if self.control is not None:
            asking = self.probing.asking
            self.control.skip(asking.key if asking else None)

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

        self.app.push_screen(ProbeSheet(self.preset, PRESETS[self.preset], self.changes), self.take_wish)

    def action_look(self) -> None:
        """Read the questions of the highlighted row."""
        from slmtui.ui.screens.probe_questions import QuestionsScreen

        if (row := self.pages.chosen) is not None:
            self.app.push_screen(QuestionsScreen(row, self.probing.scores_like(row)))

    async def action_export(self) -> None:
        """Ask where to, and write the session, a row for each question that was asked."""
        await self.open_export(answers=True)

    @property
    def busy(self) -> str | None:
        """Why nothing can be asked beside what other screens do."""
        if self.services.talks or self.services.benchmarks:
            return "Models are busy in Chat or Compare; stop them there first."
        return None

    def lacks(self) -> Mapping[str, tuple[bool, str]]:
        """Of each action whether something is lacking for it, and what."""
        row = self.pages.chosen
        return {
            **super().lacks(),
            "run": (not self.marked or not self.tasks, "Mark a model and choose a task first."),
            "look": (row is None or not row.levels, "Nothing was answered in this row yet."),
        }
