"""The line of keys at the bottom: what can be pressed here, what matters most first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from slmtui.ui.commands import COMMANDS

_MORE = "…"
"""Stands for keys that found no room: help and the palette list them all."""
_RIGHT = ("app.help", "app.quit", "app.palette")
"""Commands at the right edge, the last to go first."""
_SHY = frozenset(command.id for command in COMMANDS if command.shy)
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Key:
    """One key that can be pressed, or could if something were otherwise."""

    key: str
    """Textual's name of it; empty for the sign that there are more."""
    cap: str
    """As it is written on keyboards."""
    title: str
    on: bool = True
    """Whether it can act now."""
    words: str = ""
    """What it does, or why it can't."""
    id: str = ""

    @property
    def cells(self) -> int:
        """How wide it is."""
        return cell_len(f"{self.cap} {self.title}".strip())


class KeyBar(Widget):
    """Keys with their names; a click presses one, and under the pointer it says what it does or why it is grey.

    One widget, where Textual's footer has one for each key and makes them all anew whenever one changes.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; padding: 0 1; background: $footer-background; pointer: pointer; }
    """

    keys: reactive[tuple[Key, ...]] = reactive(())
    """Keys of the screen in the order of the command table, then those of the app."""

    def on_mount(self) -> None:
        """Follow what the screen can do."""
        self.screen.bindings_updated_signal.subscribe(self, self._read)

    def on_unmount(self) -> None:
        """Follow it no more."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _read(self, screen: Screen[object]) -> None:
        found: dict[str, Key] = {}
        for active in screen.active_bindings.values() if self.is_attached else ():
            binding = active.binding
            if binding.show and binding.action not in found and (active.enabled or binding.id not in _SHY):
                cap = self.app.get_key_display(binding)
                words = active.tooltip or binding.description
                found[binding.action] = Key(
                    binding.key, cap, binding.description, active.enabled, words, binding.id or ""
                )
        self.keys = tuple(found.values())

    def render(self) -> Content:
        """The keys that there is room for."""
        left, right = self._shown()
        blank = self.content_size.width - _cells(left) - _cells(right)
        return Content.assemble(_drawn(left), " " * max(0, blank), _drawn(right))

    def on_click(self, event: events.Click) -> None:
        """Press the key under the pointer, or say why it can't be pressed."""
        key = self._at(event.get_content_offset_capture(self).x)
        if key is not None and key.on:
            self.app.simulate_key(key.key)
        elif key is not None:
            self.notify(key.words, severity="warning", markup=False)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Have what is under the pointer explained."""
        key = self._at(event.get_content_offset_capture(self).x)
        words = Content(key.words) if key is not None else None
        if words != self.tooltip:
            self.tooltip = words

    def _at(self, x: int) -> Key | None:
        left, right = self._shown()
        for keys, begin in ((left, 0), (right, self.content_size.width - _cells(right))):
            at = begin
            for key in keys:
                if at <= x < at + key.cells:
                    return key
                at += key.cells + len(_GAP)
        return None

    def _shown(self) -> tuple[Sequence[Key], Sequence[Key]]:
        return fitting(self.keys, self.content_size.width)


def fitting(keys: Sequence[Key], width: int) -> tuple[Sequence[Key], Sequence[Key]]:
    """The keys at the left and at the right edge of `width` cells, with a sign where some had to go.

    The palette goes first, then the screen's keys, the last of them first; help never does.
    """
    right = sorted((key for key in keys if key.id in _RIGHT), key=lambda key: _RIGHT.index(key.id))
    left = [key for key in keys if key.id not in _RIGHT]
    more = [Key(right[0].key, _MORE, "", words="More keys: see the help.")] if right else []
    gone: list[Key] = []
    while _cells([*left, *gone]) + len(_GAP) + _cells(right) > width and (left or len(right) > 1):
        if len(right) > 2 or not left:
            right.pop()
        else:
            left.pop()
            gone = more
    return [*left, *gone], right


def _cells(keys: Sequence[Key]) -> int:
    return sum(key.cells for key in keys) + len(_GAP) * max(0, len(keys) - 1)


def _drawn(keys: Sequence[Key]) -> Content:
    return Content(_GAP).join(
        Content.assemble(
            (key.cap, "bold $footer-key-foreground" if key.on else "dim $footer-description-foreground"),
            (f" {key.title}" if key.title else "", f"{'' if key.on else 'dim '}$footer-description-foreground"),
        )
        for key in keys
    )
