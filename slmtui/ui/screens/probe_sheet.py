"""The side sheet of Probe: a plan of one's own, as changes to a preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Static

from slmtui.core.plan import PlanError
from slmtui.core.probe import LABELS, SCORERS, STYLES, Scorer, Style
from slmtui.core.probe_presets import ProbeGrid
from slmtui.ui.widgets.choice import Choice

FIELDS = (
    ("shots", "Shots", "examples before a question"),
    ("questions", "Questions", "of each task, the same everywhere"),
    ("seeds", "Seeds", "draws of examples"),
    ("threads", "Threads", "empty: what suits the machine"),
)
TICKS = {
    "calibrated": "by how much likelier than after an empty question",
    "exact": "32-bit cache; the last digits hold, and it is slower",
}


class Wish(msgspec.Struct, frozen=True):
    """The changes that a person wants; None for the preset as it is."""

    changes: ProbeGrid | None


class ProbeSheet(ModalScreen[Wish | None]):
    """Edits the plan; an empty field is what the preset says. The result is None when nothing shall change."""

    DEFAULT_CSS = """
    ProbeSheet {
        align: right top;
        & > .sheet { width: 76; height: 100%; padding: 0 1; }
        & VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
        & .heading { margin-top: 1; text-style: bold; }
        & .field { height: 1; }
        & .field > Label { width: 12; }
        & .field > Input { width: 20; padding: 0 1; background: $panel; }
        & .field > .hint { width: 1fr; padding-left: 2; color: $text-muted; }
        & Checkbox { width: 1fr; background: transparent; }
        & .says { color: $text-muted; height: auto; }
        & #problem { height: auto; min-height: 1; color: $text-error; }
        & #buttons { height: 1; margin: 1 0; }
        & #buttons > Button { width: auto; min-width: 0; margin-right: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "apply", "Apply"),
    ]

    def __init__(self, preset: str, grid: ProbeGrid, changes: ProbeGrid | None) -> None:
        """`grid` is the preset's own, `changes` what it was changed by so far."""
        super().__init__()
        self._preset = preset
        self._grid = grid
        self._changes = changes or ProbeGrid()

    def compose(self) -> ComposeResult:
        """Fields on the right of the screen."""
        now = self._grid.changed_by(self._changes)
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = f"Probe, from {self._preset}"
            with VerticalScroll(can_focus=False):
                yield Label("How much", classes="heading")
                for name, label, hint in FIELDS:
                    with Horizontal(classes="field"):
                        yield Label(label)
                        typed, usual = shown(getattr(self._changes, name)), shown(getattr(self._grid, name))
                        yield Input(typed, placeholder=usual, id=name, compact=True)
                        yield Label(hint, classes="hint")
                yield Label("Answers in the examples", classes="heading")
                for name, words in LABELS.items():
                    yield Checkbox(f"{name}: {words}", name in (now.labels or ("true",)), id=name, compact=True)
                yield Label("Prompt", classes="heading")
                yield _choice("style", tuple(STYLES), now.style)
                yield Static("raw: plain text · turns: chat template, a turn for each example · turn: all in one turn",
                             markup=False, classes="says")  # fmt: skip
                yield Label("Options are compared by", classes="heading")
                yield _choice("scorer", tuple(SCORERS), now.scorer)
                yield Static("sum: log-probability · token, byte: that per token or byte", markup=False, classes="says")
                for name, words in TICKS.items():
                    yield Checkbox(f"{name}: {words}", bool(getattr(now, name)), id=name, compact=True)
            yield Static(markup=False, id="problem")
            with Horizontal(id="buttons"):
                yield Button("Apply", variant="primary", compact=True, id="apply")
                yield Button("As the preset", compact=True, id="defaults")
                yield Button("Cancel", compact=True, id="cancel")

    def on_mount(self) -> None:
        """Begin where most changes are made."""
        self.query_one("#shots", Input).focus()

    @on(Button.Pressed, "#apply")
    @on(Input.Submitted)
    def action_apply(self) -> None:
        """Return the changes, or say what is wrong and stay."""
        try:
            changes = parse({name: self.query_one(f"#{name}", Input).value for name, _, _ in FIELDS})
            labels = tuple(name for name in LABELS if self.query_one(f"#{name}", Checkbox).value)
            if not labels:
                raise PlanError("tick at least one kind of answers in the examples")
            style, scorer = (self.query_one(f"#{name}", Choice).value for name in ("style", "scorer"))
            changes = msgspec.structs.replace(
                changes,
                labels=None if labels == ("true",) else labels,
                style=None if style == (self._grid.style or "raw") else cast("Style", style),
                scorer=None if scorer == (self._grid.scorer or "sum") else cast("Scorer", scorer),
                **{name: self.query_one(f"#{name}", Checkbox).value or None for name in TICKS},
            )
            self._grid.changed_by(changes).checked()
        except PlanError as error:
            self.query_one("#problem", Static).update(f"{error}.")
            return
        self.dismiss(Wish(None if changes == ProbeGrid() else changes))

    @on(Button.Pressed, "#defaults")
    def defaults(self) -> None:
        """Take all changes back."""
        self.dismiss(Wish(None))

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


def parse(texts: Mapping[str, str]) -> ProbeGrid:
    """The numbers that were typed; an empty field changes nothing.

    Raises:
        PlanError: something is no whole number; the message names the field.
    """
    values: dict[str, object] = {}
    for name, label, _ in FIELDS:
        items = [item.strip() for item in texts.get(name, "").split(",") if item.strip()]
        try:
            numbers = tuple(dict.fromkeys(map(int, items)))
        except ValueError:
            raise PlanError(f"{label}: {', '.join(items)} is not made of whole numbers") from None
        if len(numbers) > 1 and name != "shots":
            raise PlanError(f"{label}: {', '.join(items)} is a list; give one number")
        if numbers:
            values[name] = numbers if name == "shots" else numbers[0]
    return msgspec.convert(values, ProbeGrid)


def shown(value: object) -> str:
    """A value of a grid as a person types it."""
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _choice(name: str, values: tuple[str, ...], now: str | None) -> Choice:
    choice = Choice([(value, value) for value in values], id=name)
    choice.set_reactive(Choice.value, now or values[0])
    return choice
