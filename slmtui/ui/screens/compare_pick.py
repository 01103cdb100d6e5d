"""The sheet in which a person picks what charts and tables of Compare show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, SelectionList
from textual.widgets.selection_list import Selection

from slmtui.core.text import one_line
from slmtui.ui.pages.entry import PHASES, Entry, View

Group = Literal["figure", "model", "test", "settings"]


class Choice(msgspec.Struct, frozen=True):
    """Something that can be shown or hidden."""

    group: Group
    value: str


class PickSheet(ModalScreen[frozenset[Choice] | None]):
    """Ticks for each figure, model, test and setting; the result is what is hidden, None for no change."""

    DEFAULT_CSS = """
    PickSheet {
        align: center middle;
        & > .sheet { width: 72; }
        & SelectionList { height: auto; max-height: 16; border: none; padding: 0; background: transparent; }
        & Horizontal { height: 1; margin-top: 1; }
        & Button { width: auto; min-width: 0; margin-right: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("enter", "apply", "Apply", priority=True),
    ]

    def __init__(self, choices: Sequence[Choice], hidden: frozenset[Choice]) -> None:
        super().__init__()
        self._choices = tuple(choices)
        self._hidden = hidden

    def compose(self) -> ComposeResult:
        """The list and its buttons."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "What charts and tables show"
            sheet.border_subtitle = "space picks · enter shows · esc cancels"
            yield SelectionList(
                *(
                    Selection(
                        Content.assemble((f"{choice.group:<10}", "$text-muted"), one_line(choice.value)),
                        choice,
                        choice not in self._hidden,
                    )
                    for choice in self._choices
                ),
                compact=True,
            )
            with Horizontal():
                yield Button("Show", variant="primary", compact=True, id="apply")
                yield Button("All", compact=True, id="all")
                yield Button("None", compact=True, id="none")

    @on(Button.Pressed, "#apply")
    def action_apply(self) -> None:
        """Return what is hidden."""
        if isinstance(self.focused, Button) and self.focused.id != "apply":
            self.focused.press()
            return
        picked = set(self.query_one(SelectionList).selected)
        self.dismiss(frozenset(choice for choice in self._choices if choice not in picked))

    @on(Button.Pressed, "#all")
    def all(self) -> None:
        """Tick everything."""
        self.query_one(SelectionList).select_all()

    @on(Button.Pressed, "#none")
    def none(self) -> None:
        """Tick nothing."""
        self.query_one(SelectionList).deselect_all()


def choices(entries: Iterable[Entry]) -> list[Choice]:
    """What there is to pick from: both figures, then whatever several cells differ in."""
    entries = tuple(entries)
    found = [Choice("figure", phase) for phase in PHASES]
    for group in ("model", "test", "settings"):
        values = dict.fromkeys(_value(entry, group) for entry in entries)
        if len(values) > 1:
            found += [Choice(group, value) for value in values]
    return found


def picked(entries: Iterable[Entry], hidden: frozenset[Choice]) -> View:
    """What is left to show; a figure is always shown."""
    phases = tuple(phase for phase in PHASES if Choice("figure", phase) not in hidden)
    return View(
        entries=tuple(
            entry
            for entry in entries
            if not any(Choice(group, _value(entry, group)) in hidden for group in ("model", "test", "settings"))
        ),
        phases=phases or PHASES,
    )


def _value(entry: Entry, group: str) -> str:
    match group:
        case "model":
            return entry.model
        case "test":
            return entry.result.shape
        case _:
            return entry.setup or "as usual"
