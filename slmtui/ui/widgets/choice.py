"""A choice between a few things, all of them in sight on one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

_GAP = 3


class Choice(Widget, can_focus=True):
    """One line of options, of which one is chosen: by a click, or with the arrow keys while it has the focus."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Choice {
        width: auto; height: 1; pointer: pointer;
        &:focus { background: $boost; text-style: bold; }
        &:disabled { opacity: 60%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "move(1)", "Next", show=False),
        Binding("left", "move(-1)", "Previous", show=False),
    ]

    class Changed(Message):
        """Another option was chosen."""

        def __init__(self, value: str) -> None:
            super().__init__()
            self.value = value

    value: reactive[str] = reactive("", init=False, layout=True)

    def __init__(self, options: Sequence[tuple[str, str]], *, id: str | None = None) -> None:  # noqa: A002
        """`options` are pairs of value and label; the first is chosen."""
        super().__init__(id=id)
        self.options = tuple(options)
        self.set_reactive(Choice.value, self.options[0][0])

    def render(self) -> Content:
        """The options, each with a filled or an empty circle."""
        return Content(" " * _GAP).join([self._option(value, label) for value, label in self.options])

    def watch_value(self, value: str) -> None:
        """Say so."""
        self.post_message(self.Changed(value))

    def action_move(self, step: int) -> None:
        """Choose the next option, or the one before."""
        values = [value for value, _ in self.options]
        self.value = values[(values.index(self.value) + step) % len(values)]

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked."""
        left = 0
        for value, label in self.options:
            right = left + len(label) + 2
            if left <= event.get_content_offset_capture(self).x < right + _GAP:
                self.value = value
                return
            left = right + _GAP

    def _option(self, value: str, label: str) -> Content:
        if value == self.value:
            return Content.assemble(("● ", "$text-primary"), label)
        return Content.styled(f"○ {label}", "$text-muted")
