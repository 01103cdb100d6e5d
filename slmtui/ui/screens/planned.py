"""A screen that makes a plan for the marked models and runs it: what Compare and Probe have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.command import Provider
from textual.message import Message
from textual.widgets import Button, Static

from slmtui.lab.control import Control
from slmtui.sources.store import StoreError
from slmtui.ui.messages import Problem
from slmtui.ui.screens.paged import PagedScreen, PageProvider
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked
from slmtui.ui.widgets.progress import PlanProgress
from slmtui.ui.widgets.unfinished import UnfinishedOffer

if TYPE_CHECKING:
    from slmtui.core.plan import Grid
    from slmtui.core.probe_presets import ProbeGrid
    from slmtui.ui.pages.bench import Bench
    from slmtui.ui.pages.probing import Probing
    from slmtui.ui.screens import compare_sheet, probe_sheet

PAINT_HZ = 4
"""How often what runs is painted: faster painting would slow down what is measured."""
DRAW_S = 1.0
"""Seconds between two drawings of table or chart while a plan runs."""
_TO_START = ("run", "resume", "again")


class PlanScreen(PagedScreen):
    """Thinks a plan over when marks or preset change, steers the one that runs, offers one that was left unfinished."""

    NOUN: ClassVar[str]
    """What is run here, in a sentence."""
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {PageProvider}
    AUTO_FOCUS = "NothingMarked Button, #run"

    def __init__(self) -> None:
        super().__init__()
        self.changes: Grid | ProbeGrid | None = None
        """What differs from the preset."""
        self.problem = ""
        """Why there is no plan."""
        self.control: Control | None = None
        """Steers the plan that runs."""
        self.old = True
        """Whether table and charts are older than what is known."""
        self._drawn_at = 0.0

    def on_mount(self) -> None:
        """Follow the marks, and paint at a fixed pace."""
        self.watch(self.lab_app, "marked", self._follow_marks)
        self.set_interval(1 / PAINT_HZ, self.paint)

    def on_screen_resume(self) -> None:
        """Something may have been imported, finished, measured or deleted in the meantime."""
        self.read_store()

    @property
    def running(self) -> bool:
        """Whether a plan runs."""
        return self.control is not None

    @property
    def preset(self) -> str:
        """Name of the chosen preset."""
        return self.query_one(Choice).value

    @property
    def known(self) -> Bench | Probing:
        """The plan that is shown, and what came of it."""
        raise NotImplementedError

    @property
    def busy(self) -> str | None:
        """Why no plan can run beside what other screens do, in a sentence."""
        raise NotImplementedError

    async def paint(self) -> None:
        """Paint what is new."""
        raise NotImplementedError

    def think(self) -> None:
        """Work out the plan for what is marked; what is known stays in sight until it runs."""
        raise NotImplementedError

    def read_store(self) -> object:
        """Ask for unfinished plans, and for what else other screens may have changed."""
        raise NotImplementedError

    def say_plan(self) -> None:
        """Say what would run now."""
        raise NotImplementedError

    def show_all(self) -> None:
        """Show everything anew."""
        raise NotImplementedError

    def carry_out(self, control: Control, began: Message | None = None) -> object:
        """Run a plan in a worker: that of the moment unless another is told of."""
        raise NotImplementedError

    async def forget(self, plan_id: str) -> None:
        """Offer a plan no more."""
        raise NotImplementedError

    # -- what is shown

    def show_controls(self, something: bool) -> None:
        """Show what can be done now; with nothing to show, the offer to mark models."""
        self.query_one(NothingMarked).display = not something
        self.query_one("#body").display = something
        self.query_one(PlanProgress).display = self.running
        self.query_one("#outlook", Static).display = not self.running
        self.query_one("#run", Button).label = "Stop" if self.running else "Run"
        for each in self.query("#controls > *").exclude("#run"):
            each.disabled = self.running
        self.say_plan()
        self.refresh_bindings()

    def renew(self) -> None:
        """Draw everything anew as soon as there is time."""
        self.old, self._drawn_at = True, 0.0
        self.call_later(self.paint)

    def drawing(self) -> bool:
        """Whether table and charts are to be drawn now; while a plan runs that is once a second."""
        now = time.monotonic()
        if not self.old or (self.running and now - self._drawn_at < DRAW_S):
            return False
        self.old, self._drawn_at = False, now
        return True

    def on_resize(self) -> None:
        """Say more where there is more room."""
        self.say_plan()

    def _follow_marks(self) -> None:
        if not self.running:
            self.think()

    @on(Choice.Changed)
    def _another_preset(self) -> None:
        self.changes = None
        self.think()

    # -- the plan that runs

    def start(self, began: Message | None = None) -> None:
        """Run a plan, and offer no other."""
        self.control = Control()
        self.query_one(UnfinishedOffer).unfinished = None
        self.carry_out(self.control, began)
        self.show_all()

    def ended(self) -> None:
        """No worker of the plan is left."""
        self.control = None
        self.known.ended()
        self.read_store()
        self.think()

    # -- what a person can ask for

    @on(NothingMarked.Accepted)
    def accept_offer(self, message: NothingMarked.Accepted) -> None:
        """Mark the offered models."""
        self.lab_app.marked = message.models
        self.call_after_refresh(self.query_one("#run").focus)

    @on(Button.Pressed, "#controls > Button")
    def control_pressed(self, event: Button.Pressed) -> None:
        """The button does what its label says."""
        name = event.button.id or ""
        self.do("stop" if name == "run" and self.running else name)

    @on(UnfinishedOffer.Continued)
    def continue_pressed(self) -> None:
        """Go on with the offered plan."""
        self.do("resume")

    @on(UnfinishedOffer.Dropped)
    def drop_pressed(self) -> None:
        """Forget the offered plan."""
        self.do("drop")

    def do(self, action: str) -> None:
        """Do what a key does too, or say why that can't be done now."""
        if (reason := self.reason(action)) is not None:
            self.say(reason, "warning")
        else:
            self.call_later(self.run_action, action)

    def action_run(self) -> None:
        """Run the plan of the moment."""
        self.known.show(None)
        self.start()

    async def action_drop(self) -> None:
        """Offer an unfinished plan no more; what it found stays in its session."""
        if (found := self.query_one(UnfinishedOffer).unfinished) is not None:
            await self.forget(found.plan.id)
            self.say(f"The {self.NOUN} is dropped; what it found stays in its session.")
            self.read_store()

    def action_stop(self) -> None:
        """Close the field for words, or else stop; what is done is kept."""
        if self.pages.finding:
            self.pages.close_finder()
        elif self.control is not None:
            self.control.stop()
            self.known.stopping = True
            self.show_all()

    def action_preset(self) -> None:
        """Change to the next preset."""
        self.query_one(Choice).action_move(1)

    def take_wish(self, wish: compare_sheet.Wish | probe_sheet.Wish | None) -> None:
        """Make the plan as somebody wants it; None changes nothing."""
        if wish is not None:
            self.changes = wish.changes
            self.think()

    async def open_export(self, *, answers: bool) -> None:
        """Ask where to, and write the session; with `answers` a row for each question is offered first."""
        from slmtui.ui.widgets.pick import ExportSheet

        if (session := self.services.session) is None:
            return
        try:
            session = await self.services.stored(session.id)
        except StoreError as error:
            self.post_message(Problem(str(error)))
        else:
            self.app.push_screen(ExportSheet(self.services, session, answers=answers))

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        name = action.partition("(")[0]
        if name in _TO_START and self.running:
            return f"A {self.NOUN} runs already; esc stops it."
        if name in _TO_START and (busy := self.busy) is not None:
            return busy
        if not self.is_mounted:
            return None
        lacking, words = self.lacks().get(name, (False, ""))
        return words if lacking else None

    def lacks(self) -> Mapping[str, tuple[bool, str]]:
        """Of each action whether something is lacking for it, and what."""
        unfinished = self.query_one(UnfinishedOffer).unfinished
        keeps = (self.running, f"The running {self.NOUN} keeps its plan.")
        return {
            "stop": (not self.running and not self.pages.finding, "Nothing runs."),
            "skip": (not self.running, "Nothing runs."),
            "preset": keeps,
            "plan": keeps,
            "tasks": keeps,
            "resume": (unfinished is None, f"No {self.NOUN} is unfinished."),
            "drop": (unfinished is None, f"No {self.NOUN} is unfinished."),
            "table": (self.pages.at_first, "This page is a table already."),
            "export": (self.services.session is None, "Nothing was measured yet."),
        }
