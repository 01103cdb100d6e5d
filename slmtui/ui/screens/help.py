"""Help for the screen that one is on: its keys, the keys that work everywhere, and what the words mean."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.ui.commands import Command, Place, commands_of, key_words

_TITLES: dict[Place, str] = {
    "models": "Models",
    "chat": "Chat",
    "probe": "Probe",
    "compare": "Compare",
    "sessions": "Sessions",
    "app": "slmtui",
}
_GENERAL = (
    ("↑ ↓", "Move through a table; home and end go to its ends."),
    ("tab", "Go to the next field."),
    ("esc", "Stop what runs, or close what is open."),
)
_WORDS = (
    ("model", "What somebody trained and named: Pocket 5M, Qwen3 0.6B."),
    ("variant", "One quantization of it in one file: Q4_K_M, Q8_0, F16."),
    ("prefill", "Reading the prompt, many tokens at once; limited by arithmetic."),
    ("decode", "Writing the answer, one token at a time; limited by memory bandwidth."),
    ("TTFT", "Time to first token: from the request until its text is there."),
    ("ITL", "Inter-token latency: the time between two tokens of an answer."),
    ("depth", "Tokens that are in the context before the measured part."),
    ("probe", "Questions asked without and with examples, to see whether a model learns from them."),
    ("task", "Questions of one kind with their answers: a file, ours or your own."),
    ("shot", "An example, question and answer, that stands in the prompt before the question."),
    ("chance", "The accuracy of choosing blindly among the options."),
    ("KV cache", "What the model keeps of the tokens that it has read."),
    ("session", "One run of slmtui that measured something; the unit of export."),
)


class HelpScreen(ModalScreen[None]):
    """Keys and words; any of esc, enter, ? and F1 closes it."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,question_mark,f1,q", "dismiss", "Close")]

    def __init__(self, place: Place) -> None:
        """`place` is the screen to help with."""
        super().__init__()
        self._place = place

    def compose(self) -> ComposeResult:
        """Three lists under each other."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = f"Help: {_TITLES[self._place]}"
            sheet.border_subtitle = "↑ ↓ scroll · esc closes"
            with VerticalScroll():
                if self._place != "app":
                    yield from self._section("Here", [_entry(each) for each in commands_of(self._place)])
                everywhere = [_entry(command) for command in commands_of("app")]
                yield from self._section("Everywhere", [*everywhere, *_GENERAL])
                yield from self._section("Words", list(_WORDS))

    def _section(self, title: str, entries: list[tuple[str, str]]) -> ComposeResult:
        yield Static(Content.styled(title, "bold $secondary"))
        with Grid():
            for term, meaning in entries:
                yield Static(Content.styled(term, "bold $primary"))
                yield Static(Content(meaning))


def _entry(command: Command) -> tuple[str, str]:
    return key_words(command.key), command.help
