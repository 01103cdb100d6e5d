"""One table of commands: keys, palette, footer, help and the README's table all come from here."""

from __future__ import annotations

from textual.binding import BindingType

from slmtui.ui.keys import app, chat, compare, models, probe, sessions
from slmtui.ui.keys.command import Command, Place

__all__ = ["COMMANDS", "Command", "Place", "bindings", "commands_of", "key_words", "markdown_table"]

COMMANDS: tuple[Command, ...] = (
    *app.COMMANDS,
    *models.COMMANDS,
    *chat.COMMANDS,
    *probe.COMMANDS,
    *compare.COMMANDS,
    *sessions.COMMANDS,
)
_KEYS = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "delete": "del",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


def bindings(place: Place) -> list[BindingType]:
    """The bindings of one screen, or of the app."""
    return [command.binding() for command in COMMANDS if command.place == place]


def commands_of(*places: Place) -> tuple[Command, ...]:
    """The commands of these places, in the order of the table."""
    return tuple(command for command in COMMANDS if command.place in places)


def markdown_table() -> str:
    """The table of all keys that stands in the README, without a line break at its end."""
    rows = [
        f"| {'everywhere' if command.place == 'app' else command.place.capitalize()} "
        f"| {' '.join(f'`{_key_cap(key)}`' for key in command.key.split(','))} | {command.help} |"
        for command in COMMANDS
    ]
    return "\n".join(["| where | key | what |", "| --- | --- | --- |", *rows])


def _key_cap(key: str) -> str:
    """A key as it is written on keyboards: `ctrl+p` is Ctrl+P, `S` is Shift+S."""
    *modifiers, name = key.split("+")
    if len(name) == 1 and name.isupper():
        modifiers.append("shift")
    symbol = {"question_mark": "?", "slash": "/", "escape": "esc", "delete": "del"}.get(name, name)
    if len(symbol) > 1 or modifiers:
        symbol = symbol.capitalize()
    return "+".join([*(modifier.capitalize() for modifier in modifiers), symbol])


def key_words(key: str) -> str:
    """Textual's key names as a person knows them: `f2,1` is `F2 1`."""
    return " ".join(_one_key(name.strip()) for name in key.split(","))


def _one_key(name: str) -> str:
    if name in _KEYS:
        return _KEYS[name]
    if len(name) > 1 and name[0] == "f" and name[1:].isdigit():
        return name.upper()
    return name
