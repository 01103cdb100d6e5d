"""Compare: prefill, decode and memory of the marked models, measured by a plan, in a table and in charts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from slmtui.core.plan import Grid, Plan, PlanError, Unfinished
from slmtui.core.presets import PRESETS
from slmtui.lab import speed
from slmtui.lab.control import Control
from slmtui.sources.store import StoreError
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.pages.bench import plan_again
from slmtui.ui.pages.pages import Pages
from slmtui.ui.screens.compare_messages import BenchBegan, BenchClosed, BenchHeard, PlanThought, StoreRead
from slmtui.ui.screens.compare_paged import ComparePagedScreen
from slmtui.ui.screens.compare_words import plan_words
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.gauges import Gauges
from slmtui.ui.widgets.key_bar import KeyBar
from slmtui.ui.widgets.progress import PlanProgress
from slmtui.ui.widgets.strip import Strip
from slmtui.ui.widgets.unfinished import UnfinishedOffer

IMPORTS = 8
"""How many of the newest imports are laid beside what was measured here."""


class CompareScreen(ComparePagedScreen):
    """Choose a plan, watch it run, look at what came of it."""

    PLACE: ClassVar[Place] = "compare"
    CSS_PATH = "compare.tcss"
    NOUN: ClassVar[str] = "benchmark"
    BINDINGS: ClassVar[list[BindingType]] = bindings("compare")

    def __init__(self) -> None:
        super().__init__()
        self.changes: Grid | None = None
        self.planned: Plan | None = None
        """What would be measured now."""
        self.outlook: speed.Outlook | None = None

    def compose(self) -> ComposeResult:
        """Controls, what runs, pages."""
        yield Strip()
        yield UnfinishedOffer()
        yield NothingMarked("measure", offer_from(self.services.models()))
        with Vertical(id="body"):
            with Horizontal(id="controls"):
                yield Choice([(name, name) for name in PRESETS])
                yield Button("Run", variant="primary", compact=True, id="run")
                yield Button("Plan …", compact=True, id="plan")
            yield Static(id="outlook")
            yield PlanProgress()
            yield Gauges()
            yield Pages()
        yield KeyBar()

    # -- what is shown

    def show_all(self) -> None:
        """Show everything anew as soon as there is time."""
        self.show_controls(bool(self.marked or self.running or self.bench.measured or self.imported))
        self.query_one(Gauges).display = self.running
        self.pages.say(self.bench.notes)
        self.renew()

    def say_plan(self) -> None:
        """Preset, cells, time."""
        chosen, width = (self.preset, self.changes), self.size.width - 4
        words = plan_words(chosen, self.planned, self.outlook, self.problem, width)
        self.query_one("#outlook", Static).update(words)

    # -- the plan to come

    def think(self) -> None:
        """Work out the plan for what is marked; what was measured stays in sight until it runs."""
        self.planned, self.outlook, self.problem = None, None, ""
        if not self.bench.measured:
            self.bench.show(None)
        if self.marked:
            self.think_plan()
        self.show_all()

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
        self.show_all()

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
        self.show_all()

    # -- the plan that runs

    @work(exclusive=True, group="bench")
    async def carry_out(self, control: Control, began: BenchBegan | None = None) -> None:
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
        self.show_all()

    @on(BenchHeard)
    def _take(self, message: BenchHeard) -> None:
        self.bench.take(message.event)
        self.stale = True
        match message.event:
            case speed.Noticed() | speed.Released():
                self.pages.say(self.bench.notes)
            case speed.CellProgress() | speed.TimeLeft() | speed.Cooling() | speed.Hashing():
                pass
            case _:
                self.old = True

    @on(BenchClosed)
    def _run_closed(self) -> None:
        self.ended()

    # -- what a person can ask for

    async def action_resume(self) -> None:
        """Go on with an unfinished plan; what it has measured is shown at once."""
        found = self.query_one(UnfinishedOffer).unfinished
        if isinstance(found, Unfinished):
            self.start(BenchBegan(found.plan, await speed.measured(self.services, found.plan.id)))

    async def forget(self, plan_id: str) -> None:
        """Offer a plan no more."""
        await speed.forget(self.services, plan_id)

    def action_again(self) -> None:
        """Add repetitions to the noisy cells, by a plan of those cells."""
        if (plan := self.bench.plan) is not None:
            self.start(BenchBegan(plan_again(plan, self.bench.noisy), again=True))

    def action_skip(self) -> None:
        """Leave out the cells that are shown as running; between two of their runs too."""
        if self.control is not None:
            for key in self.bench.running_cells:
                self.control.skip(key)

    def action_plan(self) -> None:
        """Edit the plan in a side sheet."""
        from slmtui.ui.screens.compare_sheet import PlanSheet

        self.app.push_screen(PlanSheet(self.preset, PRESETS[self.preset], self.changes), self.take_wish)

    async def action_export(self) -> None:
        """Ask where to, and write the session."""
        await self.open_export(answers=False)

    @property
    def busy(self) -> str | None:
        """Why nothing can be measured beside what other screens do."""
        if self.services.talks:
            return "Models are answering in Chat, which would spoil the figures; stop them there first."
        return None

    def lacks(self) -> Mapping[str, tuple[bool, str]]:
        """Of each action whether something is lacking for it, and what."""
        return {
            **super().lacks(),
            "run": (not self.marked, "No model is marked."),
            "again": (not self.bench.noisy, "No cell is noisy."),
        }
