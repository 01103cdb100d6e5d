"""The side sheet of Compare: a plan of one's own, as changes to a preset."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Static

from slmtui.core.offload import SPLIT_MODES, layers_of, shares_of
from slmtui.core.plan import Grid, PlanError
from slmtui.core.presets import SWEEP

FLASH_ATTENTION = ("auto", "on", "off")


class Field(msgspec.Struct, frozen=True):
    """One line of the sheet: a field of `Grid`, what it is called, and a hint."""

    name: str
    label: str
    hint: str


LISTS = (
    Field("prompt_tokens", "Prompt lengths", "tokens: 128, 512"),
    Field("generated_tokens", "Generation lengths", "tokens; 0: prefill only"),
    Field("depths", "Depths", "tokens in the context before"),
    Field("threads", "Threads", "1, 2, 4"),
    Field("batches", "Batch sizes", "tokens"),
    Field("micro_batches", "Micro-batch sizes", "tokens"),
    Field("kv_types", "KV cache types", "f16, q8_0, q8_0/f16"),
    Field("flash_attention", "Flash attention", "auto, on, off"),
    Field("devices", "Devices", "cpu, gpu"),
    Field("gpu_layers", "Layers offloaded", "all, fit, 0, 12"),
    Field("split_modes", "Split over GPUs", "layer, row, none"),
    Field("tensor_splits", "Shares of GPUs", "3/1; empty: as free"),
)
SINGLES = (
    Field("context", "Context", "tokens; empty: enough"),
    Field("repetitions", "Repetitions", "of each cell"),
    Field("cool_down_s", "Pause", "s before each repetition"),
)
FLAGS = (
    Field("after_prompt", "Decode goes on from the prompt", ""),
    Field("together", "Models run at the same time (contended, and marked so)", ""),
)
FIELDS = (*LISTS, *SINGLES)
_USUAL = {
    "depths": "0",
    "threads": "the machine's",
    "batches": "2048",
    "micro_batches": "512",
    "kv_types": "f16",
    "flash_attention": "auto",
    "devices": "the best here",
    "gpu_layers": "all",
    "split_modes": "layer",
    "cool_down_s": "0",
}
"""What a field stands for that neither the preset nor the person fills in."""


class Wish(msgspec.Struct, frozen=True):
    """The changes that a person wants; None for the preset as it is."""

    changes: Grid | None


class PlanSheet(ModalScreen[Wish | None]):
    """Edits the plan; an empty field is what the preset says. The result is None when nothing shall change."""

    CSS_PATH = "compare_sheet.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "apply", "Apply"),
    ]

    def __init__(self, preset: str, grid: Grid, changes: Grid | None) -> None:
        """`grid` is the preset's own, `changes` what it was changed by so far."""
        super().__init__()
        self._preset = preset
        self._grid = grid
        self._changes = changes or Grid()

    def compose(self) -> ComposeResult:
        """Fields on the right of the screen."""
        with Vertical(id="sheet") as sheet:
            sheet.border_title = f"Plan, from {self._preset}"
            with VerticalScroll(can_focus=False):
                yield Static("Lists with commas are combined, each with each. Empty: as it is.", classes="intro")
                yield from self._fields("Cells", LISTS)
                yield from self._fields("How they run", SINGLES)
                for field in FLAGS:
                    yield Checkbox(field.label, self._flag(field.name), id=field.name, compact=True)
            yield Static(markup=False, id="problem")
            with Horizontal(id="buttons"):
                yield Button("Apply", variant="primary", compact=True, id="apply")
                yield Button("As the preset", compact=True, id="defaults")
                yield Button("Cancel", compact=True, id="cancel")

    def _fields(self, title: str, fields: tuple[Field, ...]) -> ComposeResult:
        yield Label(title, classes="heading")
        for field in fields:
            with Horizontal(classes="field"):
                yield Label(field.label)
                usual = shown(getattr(self._grid, field.name)) or _USUAL.get(field.name, "")
                if self._preset == SWEEP and field.name in ("depths", "threads"):
                    usual = "several"
                if self._grid.pairs and field.name in ("prompt_tokens", "generated_tokens"):
                    usual = f"{len(self._grid.pairs)} pairs"
                typed = shown(getattr(self._changes, field.name))
                yield Input(typed, placeholder=usual, id=field.name, compact=True)
                yield Label(field.hint, classes="hint")

    def _flag(self, name: str) -> bool:
        wanted = getattr(self._changes, name)
        return self._usual_flag(name) if wanted is None else bool(wanted)

    def _usual_flag(self, name: str) -> bool:
        """What the preset says; in its pairs of lengths decode goes on from the prompt."""
        return bool(getattr(self._grid, name)) or (name == "after_prompt" and self._grid.pairs is not None)

    def on_mount(self) -> None:
        """Begin where most changes are made."""
        self.query_one("#prompt_tokens", Input).focus()

    @on(Button.Pressed, "#apply")
    @on(Input.Submitted)
    def action_apply(self) -> None:
        """Return the changes, or say what is wrong and stay."""
        texts = {field.name: self.query_one(f"#{field.name}", Input).value for field in FIELDS}
        ticks = {field.name: self.query_one(f"#{field.name}", Checkbox).value for field in FLAGS}
        flags = {name: tick for name, tick in ticks.items() if tick != self._usual_flag(name)}
        try:
            changes = parse(texts, flags)
            self._grid.changed_by(changes).checked()
        except PlanError as error:
            self.query_one("#problem", Static).update(f"{error}.")
            return
        self.dismiss(Wish(None if changes == Grid() else changes))

    @on(Button.Pressed, "#defaults")
    def defaults(self) -> None:
        """Take all changes back."""
        for field in FIELDS:
            self.query_one(f"#{field.name}", Input).value = ""
        for field in FLAGS:
            self.query_one(f"#{field.name}", Checkbox).value = self._usual_flag(field.name)

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


def parse(texts: Mapping[str, str], flags: Mapping[str, bool]) -> Grid:
    """The changes that were typed; an empty field changes nothing.

    Raises:
        PlanError: something is no number or not known; the message names the field.
    """
    values: dict[str, Any] = dict(flags)
    for field in FIELDS:
        items = [item.strip() for item in texts.get(field.name, "").split(",") if item.strip()]
        if items and field in LISTS:
            values[field.name] = tuple(dict.fromkeys(_item(field, item) for item in items))
        elif len(items) > 1:
            raise PlanError(f"{field.label}: {', '.join(items)} is a list; give one number")
        elif items:
            values[field.name] = _seconds(field, items[0]) if field.name == "cool_down_s" else _whole(field, items[0])
    return Grid(**values)


def _item(field: Field, text: str) -> object:
    match field.name:
        case "kv_types":
            from slmtui.engine.llama_checks import KV_TYPES

            keys, _, types = text.partition("/")
            return _known(field, keys.strip(), KV_TYPES), _known(field, types.strip() or keys.strip(), KV_TYPES)
        case "flash_attention":
            return _known(field, text, FLASH_ATTENTION)
        case "devices":
            return text.casefold()
        case "gpu_layers":
            return _layers(field, text)
        case "split_modes":
            return _known(field, text, SPLIT_MODES)
        case "tensor_splits":
            return _shares(field, text)
        case _:
            return _whole(field, text)


def _whole(field: Field, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise PlanError(f"{field.label}: {text!r} is no whole number") from None


def _layers(field: Field, text: str) -> int:
    try:
        return layers_of(text)
    except ValueError:
        raise PlanError(f"{field.label}: {text!r} is neither all, fit nor a whole number") from None


def _shares(field: Field, text: str) -> tuple[float, ...]:
    try:
        return shares_of(text)
    except ValueError:
        raise PlanError(f"{field.label}: {text!r} are no shares such as 3/1") from None


def _seconds(field: Field, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PlanError(f"{field.label}: {text!r} is no number of seconds") from None


def _known(field: Field, text: str, known: Collection[str]) -> str:
    if text.casefold() not in known:
        raise PlanError(f"{field.label}: {text!r} is none of {', '.join(known)}")
    return text.casefold()


def shown(value: object) -> str:
    """A value of a grid as a person types it."""
    match value:
        case None:
            return ""
        case tuple():
            return ", ".join("/".join(dict.fromkeys(each)) if isinstance(each, tuple) else str(each) for each in value)
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def change_words(changes: Grid | None) -> str:
    """What was changed, in the sheet's words: `depths 0, 512 · threads 1, 2`."""
    if changes is None:
        return ""
    said = [
        f"{field.label.lower()} {shown(value)}"
        for field in FIELDS
        if (value := getattr(changes, field.name)) is not None
    ]
    flags = {"after_prompt": ("decode at the depth", "decode after the prompt"), "together": ("in turn", "together")}
    said += [words[bool(value)] for name, words in flags.items() if (value := getattr(changes, name)) is not None]
    return " · ".join(said)
