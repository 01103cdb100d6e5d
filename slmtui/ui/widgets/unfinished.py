"""The offer to go on with a plan that an earlier run did not finish."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button

from slmtui.core.plan import Unfinished
from slmtui.core.probe import KeptProbe
from slmtui.core.text import one_line
from slmtui.ui.widgets.brief import Brief
from slmtui.ui.widgets.result_table import local_time


class UnfinishedOffer(Horizontal):
    """Names the plan; one button goes on with it, the other drops it."""

    DEFAULT_CSS = """
    UnfinishedOffer {
        height: 1; display: none; background: $boost;
        & > Brief { text-align: left; color: $foreground; padding-left: 1; }
        & > Button { width: auto; min-width: 0; margin-left: 1; }
    }
    """

    class Continued(Message):
        """The plan shall go on."""

    class Dropped(Message):
        """The plan shall be forgotten."""

    unfinished: reactive[Unfinished | KeptProbe | None] = reactive(None)

    def compose(self) -> ComposeResult:
        """Words and two buttons."""
        yield Brief()
        yield Button("Continue", variant="primary", compact=True, id="continue")
        yield Button("Drop", compact=True, id="drop")

    def watch_unfinished(self, unfinished: Unfinished | KeptProbe | None) -> None:
        """Show it, or nothing."""
        self.display = unfinished is not None
        if unfinished is not None and self.is_mounted:
            self.query_one(Brief).variants = words_for(unfinished)

    def on_mount(self) -> None:
        """Show what was known before there was anything to show it in."""
        self.watch_unfinished(self.unfinished)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Continued() if event.button.id == "continue" else self.Dropped())


def words_for(unfinished: Unfinished | KeptProbe) -> tuple[str, ...]:
    """The plan in words, the fullest account first."""
    preset = unfinished.plan.preset
    match unfinished:
        case KeptProbe():
            when, names = unfinished.plan.created_at, [model.name for model in unfinished.plan.models]
            done, noun = f"{unfinished.answered} of {unfinished.total}", "questions"
        case _:
            when, names = unfinished.when, list(unfinished.models)
            done, noun = f"{unfinished.done} of {unfinished.total}", "repetitions"
    models = ", ".join(one_line(name) for name in names)
    return (
        f"Unfinished: {preset} of {local_time(when)} with {models}, {done} {noun} done",
        f"Unfinished: {preset} of {local_time(when)}, {done} {noun} done",
        f"Unfinished: {preset}, {done} {noun}",
        f"Unfinished: {done}",
    )
