"""The strip on top of every screen: where you are, and what the machine has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from slmtui.core.machine import Cpu, Machine, Memory, strip_words
from slmtui.core.text import memory, one_line

if TYPE_CHECKING:
    from slmtui.ui.app import SlmtuiApp
    from slmtui.ui.base import LabScreen

SMALLEST = (60, 15)
"""Columns and rows below which the strip says that the terminal is too small."""
_TABS = (
    ("models", "Models", "F2"),
    ("chat", "Chat", "F3"),
    ("probe", "Probe", "F4"),
    ("compare", "Compare", "F5"),
    ("sessions", "Sessions", "F6"),
)


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What changes while the program runs."""

    memory: Memory = Memory()
    loaded: tuple[tuple[str, int | None], ...] = ()
    """Name and memory in bytes of each model that is loaded."""


class Tab(Static):
    """The name of a screen; a click goes there."""

    ALLOW_SELECT = False

    def __init__(self, mode: str, title: str, key: str) -> None:
        super().__init__(markup=False)
        self.mode = mode
        self.title = title
        self.key = key
        self._key_shown: bool | None = None
        self.tooltip = f"{title} ({key})"

    def show_key(self, shown: bool) -> None:
        """Show the name with or without the key that goes there."""
        if shown == self._key_shown:
            return
        self._key_shown = shown
        muted = "" if self.has_class("-here") else "$text-muted"
        self.update(Content.assemble((f"{self.key} " if shown else "", muted), self.title))

    def on_click(self) -> None:
        """Ask to go there."""
        self.post_message(Strip.Chosen(self.mode))


class Strip(Horizontal):
    """Name, screens, machine, free memory and loaded models, on one line."""

    DEFAULT_CSS = """
    Strip {
        height: 1;
        width: 1fr;
        background: $surface;
        & > .strip--name { width: auto; padding: 0 2 0 1; text-style: bold; color: $primary; }
        & > Tab { width: auto; padding: 0 1; color: $foreground; pointer: pointer; }
        & > Tab:hover { text-style: underline; }
        & > Tab.-here {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        & > .strip--machine {
            width: 1fr; height: 1; padding: 0 1; color: $text-muted;
            text-align: right; text-wrap: nowrap; text-overflow: ellipsis;
        }
        &.-too-small > Tab, &.-too-small > .strip--name { display: none; }
        &.-too-small > .strip--machine { text-align: left; }
    }
    """

    _words = ""

    class Chosen(Message):
        """The person asked for a screen."""

        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def compose(self) -> ComposeResult:
        """Name, tabs, machine."""
        yield Static("slmtui", classes="strip--name")
        for tab in _TABS:
            yield Tab(*tab)
        yield Static(markup=False, classes="strip--machine")

    def on_mount(self) -> None:
        """Follow the app's machine and memory."""
        app = cast("SlmtuiApp", self.app)
        here = cast("LabScreen", self.screen).PLACE
        for tab in self.query(Tab):
            tab.set_class(tab.mode == here, "-here")
        self.watch(app, "machine", self._show)
        self.watch(app, "live", self._show)

    def on_resize(self, event: events.Resize) -> None:
        """Say less when there is less room."""
        self._show()

    def _show(self) -> None:
        app = cast("SlmtuiApp", self.app)
        size = app.size
        too_small = size.width < SMALLEST[0] or size.height < SMALLEST[1]
        self.set_class(too_small, "-too-small")
        for tab in self.query(Tab):
            tab.show_key(size.width >= 110)
        tabs = sum(len(title) + 2 + (3 if size.width >= 110 else 0) for _, title, _ in _TABS)
        words = (
            f"slmtui needs {SMALLEST[0]}×{SMALLEST[1]}"
            if too_small
            else words_for(app.machine, app.live, size.width - tabs - 11)
        )
        if words != self._words:
            self._words = words
            self.query_one(".strip--machine", Static).update(words, layout=False)  # it has the rest of the line


def words_for(machine: Machine, live: Live, width: int) -> str:
    """The fullest account of machine, memory and loaded models that fits into `width` cells."""
    accounts = _accounts(machine, live)
    return next((words for words in accounts if len(words) <= width), accounts[-1])


def _accounts(machine: Machine, live: Live) -> list[str]:
    full = msgspec.structs.replace(machine, memory=live.memory if live.memory.total_bytes else machine.memory)
    free = Memory(available_bytes=full.memory.available_bytes)
    name = msgspec.structs.replace(full.cpu, physical_cores=None, logical_cores=None, usable_cores=None)
    brief = msgspec.structs.replace(full, cpu=name, memory=free)
    bare = msgspec.structs.replace(brief, cpu=Cpu(), apple_chip=None, product=None)
    machines = [strip_words(each) for each in (full, brief, bare, Machine(memory=free))]
    if machines[-1]:
        machines.append(memory(full.memory.available_bytes))
    if not live.loaded:
        return machines
    each = " · ".join(f"{one_line(name)} {memory(used)}" for name, used in live.loaded)
    number = len(live.loaded)
    total = sum(used or 0 for _, used in live.loaded)
    all_of_them = f"{number} {'model' if number == 1 else 'models'} {memory(total or None)}"
    return [f"{loaded} · {words}" for loaded in (each, all_of_them) for words in machines] + machines[-2:]
