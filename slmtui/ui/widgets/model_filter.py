"""The line that narrows the models down: place, fit, size, licence, thinking, format."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from slmtui.core.wanted import Wanted

_FILTERS: tuple[tuple[str, tuple[tuple[Any, str], ...]], ...] = (
    ("here", ((None, "all models"), (True, "here"), (False, "not here"))),
    ("fits", ((None, "any fit"), (True, "fits"), (False, "does not fit"))),
    (
        "most_parameters",
        (
            (None, "any size"),
            *((round(billions * 10**9), f"≤ {billions:g}B") for billions in (0.5, 1, 2, 3, 5)),
        ),
    ),
    ("terms", ((None, "any licence"), ("open", "open licence"), ("own", "own terms"), ("unknown", "unknown terms"))),
    ("thinking", ((None, "any kind"), (True, "thinking"), (False, "not thinking"))),
    ("format", ((None, "any format"), ("GGUF", "GGUF"), ("MLX", "MLX"))),
)
_GAPS = ((" ▾   ", False), (" ▾  ", False), (" ▾  ", True), ("  ", True), (" ", True))
"""What stands after a filter, and whether one that admits anything is named briefly; the first that fits."""


def labels(wanted: Wanted) -> list[str]:
    """What is filtered for, in the words of the filters."""
    chosen = ((values, getattr(wanted, field)) for field, values in _FILTERS)
    return [label for values, value in chosen if value is not None for known, label in values if known == value]


class ModelFilter(Widget, can_focus=True):
    """Six filters side by side; each changes with a click, or with the arrow keys while the line has the focus."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "ModelFilter { height: 1; width: 1fr; pointer: pointer; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "choose(1)", "Next filter", show=False),
        Binding("left", "choose(-1)", "Filter before", show=False),
        Binding("down,space", "turn(1)", "Next value", show=False),
        Binding("up", "turn(-1)", "Value before", show=False),
        Binding("enter", "leave", "Back to the table", show=False),
        Binding("backspace,delete", "clear", "Any value", show=False),
    ]

    class Changed(Message):
        """Something else is wanted."""

        def __init__(self, wanted: Wanted) -> None:
            super().__init__()
            self.wanted = wanted

    class Left(Message):
        """The person is done choosing."""

    wanted: reactive[Wanted] = reactive(Wanted(), init=False)
    """What is chosen; its words are not this widget's business."""
    at: reactive[int] = reactive(0)
    """Which filter the arrow keys change."""

    def render(self) -> Content:
        """All filters; one that filters stands out."""
        mark = Content.styled(self._form()[0], "$text-muted")
        return Content.assemble(*(each for number in range(len(_FILTERS)) for each in (self._part(number), mark)))

    def action_choose(self, step: int) -> None:
        """Go to the next filter, or the one before."""
        self.at = (self.at + step) % len(_FILTERS)

    def action_turn(self, step: int) -> None:
        """Take the next value of the filter, or the one before."""
        field, values = _FILTERS[self.at]
        at = [value for value, _ in values].index(getattr(self.wanted, field))
        self._set(field, values[(at + step) % len(values)][0])

    def action_clear(self) -> None:
        """Let the filter admit anything."""
        self._set(_FILTERS[self.at][0], None)

    def action_leave(self) -> None:
        """Say that this was it."""
        self.post_message(self.Left())

    def on_click(self, event: events.Click) -> None:
        """Take the next value of what was clicked."""
        left, at, gap = 0, event.get_content_offset_capture(self).x, len(self._form()[0])
        for number in range(len(_FILTERS)):
            right = left + len(self._label(number))
            if left <= at < right + gap:
                self.at = number
                self.action_turn(1)
                return
            left = right + gap

    def _set(self, field: str, value: object) -> None:
        self.wanted = msgspec.structs.replace(self.wanted, **{field: value})
        self.post_message(self.Changed(self.wanted))

    def _label(self, number: int) -> str:
        return _named(self.wanted, number, brief=self._form()[1])

    def _form(self) -> tuple[str, bool]:
        width = self.content_size.width + 2  # the last gap needs no blanks at its end
        return next((form for form in _GAPS if _cells(self.wanted, *form) <= width), _GAPS[-1])

    def _part(self, number: int) -> Content:
        label = self._label(number)
        if self.has_focus and number == self.at:
            return Content.styled(label, "$block-cursor-foreground on $block-cursor-background")
        chosen = getattr(self.wanted, _FILTERS[number][0]) is not None
        return Content.styled(label, "bold $primary" if chosen else "$text-muted")


def _named(wanted: Wanted, number: int, *, brief: bool) -> str:
    """A filter in words: its value, or, where it admits anything, briefly what it is about."""
    field, values = _FILTERS[number]
    label = next(label for value, label in values if value == getattr(wanted, field))
    return label.rpartition(" ")[2] if brief and getattr(wanted, field) is None else label


def _cells(wanted: Wanted, gap: str, brief: bool) -> int:
    return sum(len(_named(wanted, number, brief=brief)) + len(gap) for number in range(len(_FILTERS)))
