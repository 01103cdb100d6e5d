"""Where a person writes to the models."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea


class Prompt(TextArea):
    """A text field that grows with its text: enter sends, ctrl+j breaks the line, up recalls what was sent."""

    DEFAULT_CSS = """
    Prompt, Prompt:focus {
        height: auto;
        max-height: 8;
        padding: 0 1;
        & .text-area--cursor-line { background: transparent; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", show=False),
        Binding("up", "earlier", "Earlier prompt", show=False),
        Binding("down", "later", "Later prompt", show=False),
    ]

    class Sent(Message):
        """Enter was pressed on a text that is not blank."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, placeholder: str = "") -> None:
        super().__init__(placeholder=placeholder, soft_wrap=True, show_line_numbers=False)
        self._sent: list[str] = []
        self._draft = ""
        self._at = 0
        """Position in `_sent`; its length means the draft."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave F6, with which a text area selects a line, to the screens."""
        return action != "select_line" and super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Send on enter, in the order of the keys: a binding with priority would overtake letters typed before."""
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            if self.text.strip():
                self.post_message(self.Sent(self.text))

    def accept(self, sent: str) -> None:
        """Remember what was sent and take it from the field; for whoever handled `Sent`. What came after it stays."""
        if not self._sent or self._sent[-1] != sent:
            self._sent.append(sent)
        self._at = len(self._sent)
        self.text = self.text.removeprefix(sent)
        self.move_cursor(self.document.end)

    def action_newline(self) -> None:
        """Break the line where the cursor is."""
        self.insert("\n")

    def action_earlier(self) -> None:
        """Move up, and from the first line to the prompt before."""
        if not self.cursor_at_first_line or not self._at:
            self.action_cursor_up()
            return
        if self._at == len(self._sent):
            self._draft = self.text
        self._recall(self._at - 1)

    def action_later(self) -> None:
        """Move down, and from the last line to the prompt after."""
        if not self.cursor_at_last_line or self._at >= len(self._sent):
            self.action_cursor_down()
            return
        self._recall(self._at + 1)

    def _recall(self, position: int) -> None:
        self._at = position
        self.text = self._sent[position] if position < len(self._sent) else self._draft
        self.move_cursor(self.document.end)
