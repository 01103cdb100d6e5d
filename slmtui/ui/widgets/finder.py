"""The field that filters a table."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Label


class Finder(Horizontal):
    """One line: what is typed filters at once, enter goes back to the table, esc gives up."""

    DEFAULT_CSS = """
    Finder {
        height: 2;
        padding: 0 2 0 1;
        & Label { width: auto; color: $primary; text-style: bold; padding-right: 1; }
        & Input { width: 1fr; background: $panel; padding: 0 1; }
    }
    """

    class Changed(Message):
        """Other words are looked for."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    class Left(Message):
        """The person is done typing."""

    words: reactive[str] = reactive("", init=False)
    """What is looked for. Who watches it draws in the same frame as the letter, while `Changed` comes a frame later."""

    def __init__(self, hint: str) -> None:
        super().__init__()
        self._hint = hint

    def compose(self) -> ComposeResult:
        """A slash and the field."""
        yield Label("/")
        yield Input(placeholder=self._hint, compact=True)

    def on_mount(self) -> None:
        """Typing begins at once."""
        self.query_one(Input).focus()
        self.watch(self.query_one(Input), "value", self._typed, init=False)

    def _typed(self, value: str) -> None:
        self.words = value.strip()

    def watch_words(self, words: str) -> None:
        """Say so."""
        self.post_message(self.Changed(words))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()

    @on(Input.Submitted)
    def _left(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Left())
