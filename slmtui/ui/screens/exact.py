"""The exact text that each model read last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.core.text import clean, one_line
from slmtui.lab.talk import Seat


class ExactPrompts(ModalScreen[None]):
    """Shows what the chat template made of the conversation, special tokens included."""

    DEFAULT_CSS = """
    ExactPrompts {
        align: center middle;
        & > VerticalScroll {
            width: 90%; max-width: 110; height: auto; max-height: 90%; padding: 0 1;
            background: $surface; border: round $border;
            border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $text-muted;
        }
        & .name { margin-top: 1; text-style: bold; }
        & .source { color: $text-muted; }
        & .prompt { margin: 1 0; padding: 0 1; background: $boost; border-left: outer $primary; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f9", "dismiss(None)", "Close")]

    def __init__(self, seats: Sequence[Seat]) -> None:
        super().__init__()
        self._seats = tuple(seats)

    def compose(self) -> ComposeResult:
        """A chapter for each model."""
        with VerticalScroll() as scroll:
            scroll.border_title = "What each model read last"
            scroll.border_subtitle = "esc closes"
            for seat in self._seats:
                yield Static(one_line(seat.loaded.model.name), markup=False, classes="name")
                yield Static(_source(seat), markup=False, classes="source")
                if seat.prompted is not None:
                    yield Static(clean(seat.prompted.text), markup=False, classes="prompt")


def _source(seat: Seat) -> str:
    """Where the template comes from, and how much of the prompt was new."""
    prompted = seat.prompted
    if prompted is None:
        return "nothing yet"
    words = [f"chat template from the {seat.loaded.facts.template_source}" if seat.loaded.facts.template_source else ""]
    words.append(f"{prompted.tokens:,} tokens, {prompted.cached_tokens:,} of them cached")
    if prompted.seed is not None:
        words.append(f"seed {prompted.seed}")
    return " · ".join(filter(None, words))
