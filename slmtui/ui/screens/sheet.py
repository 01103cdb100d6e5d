"""The side sheet of Chat: system prompt and sampling."""

from __future__ import annotations

from typing import ClassVar, get_args

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static, TextArea

from slmtui.core.sampling import Sampling, SamplingError, checked

_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("temperature", "Temperature", "0 takes the likeliest token"),
    ("top_k", "Top-k", "0 keeps all"),
    ("top_p", "Top-p", "1 keeps all"),
    ("min_p", "Min-p", "0 keeps all"),
    ("repeat_penalty", "Repeat penalty", "1 is off"),
    ("repeat_last_n", "… looks back", "tokens"),
    ("seed", "Seed", "empty: a new one each time"),
    ("max_tokens", "Limit", "tokens of an answer"),
)
_WHOLE = frozenset(
    field.name for field in msgspec.structs.fields(Sampling) if field.type is int or int in get_args(field.type)
)


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to every model with each question."""

    sampling: Sampling = Sampling()
    system: str = ""


class SettingsSheet(ModalScreen[ChatSettings | None]):
    """Edits the settings; the result is None when nothing shall change."""

    CSS_PATH = "sheet.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "apply", "Apply"),
    ]

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        """Fields on the right of the screen."""
        with Vertical(id="sheet") as sheet:
            sheet.border_title = "Settings of this chat"
            with VerticalScroll(can_focus=False):
                yield Label("System prompt", classes="heading")
                yield TextArea(self._settings.system, placeholder="none", compact=True, tab_behavior="focus")
                yield Label("Sampling", classes="heading")
                for name, label, hint in _FIELDS:
                    with Horizontal(classes="field"):
                        yield Label(label)
                        yield Input(_shown(self._settings.sampling, name), id=name, compact=True)
                        yield Label(hint, classes="hint")
            yield Static(markup=False, id="problem")
            with Horizontal(id="buttons"):
                yield Button("Apply", variant="primary", compact=True, id="apply")
                yield Button("Greedy", compact=True, id="greedy")
                yield Button("Defaults", compact=True, id="defaults")
                yield Button("Cancel", compact=True, id="cancel")

    def on_mount(self) -> None:
        """Begin where most changes are made."""
        self.query_one("#temperature", Input).focus()

    @on(Button.Pressed, "#apply")
    @on(Input.Submitted)
    def action_apply(self) -> None:
        """Return the new settings, or say what is wrong and stay."""
        texts = {name: self.query_one(f"#{name}", Input).value for name, _, _ in _FIELDS}
        try:
            sampling = parse(texts)
        except SamplingError as error:
            self.query_one("#problem", Static).update(f"{error}.")
            return
        self.dismiss(ChatSettings(sampling=sampling, system=self.query_one(TextArea).text.strip()))

    @on(Button.Pressed, "#greedy")
    def greedy(self) -> None:
        """Always the likeliest token."""
        self.query_one("#temperature", Input).value = "0"

    @on(Button.Pressed, "#defaults")
    def defaults(self) -> None:
        """Fill in llama.cpp's defaults."""
        for name, _, _ in _FIELDS:
            self.query_one(f"#{name}", Input).value = _shown(Sampling(), name)

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


def parse(texts: dict[str, str]) -> Sampling:
    """Sampling from what was typed; an empty field takes its default.

    Raises:
        SamplingError: a field is not a number or is out of its range.
    """
    values: dict[str, float | int] = {}
    for name, typed in texts.items():
        if not typed.strip():
            continue
        try:
            values[name] = int(typed) if name in _WHOLE else float(typed)
        except ValueError:
            kind = "a whole number" if name in _WHOLE else "a number"
            raise SamplingError(name, f"is {typed.strip()!r}; it must be {kind}") from None
    return checked(msgspec.convert(values, Sampling))


def summary(settings: ChatSettings) -> str:
    """The settings in a few words."""
    sampling = settings.sampling
    words = ["greedy" if sampling.temperature == 0 else f"temperature {sampling.temperature:g}"]
    words.append(f"limit {sampling.max_tokens:,}")
    if sampling.seed is not None:
        words.append(f"seed {sampling.seed}")
    if settings.system:
        words.append("system prompt")
    return " · ".join(words)


def _shown(sampling: Sampling, name: str) -> str:
    value = getattr(sampling, name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
