"""One thing that a person can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding

Place = Literal["app", "models", "chat", "probe", "compare", "sessions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that a person can ask for, wherever they ask for it."""

    id: str
    """Stable name, `place.verb`; users remap keys by it."""
    place: Place
    key: str
    """Textual key names, alternatives separated by commas."""
    action: str
    """Action method, without `action_`, of the app or of the screen."""
    title: str
    """One or two words for the footer."""
    help: str
    """A sentence for palette and help."""
    footer: bool = True
    shy: bool = False
    """Whether the footer has it only while it can act."""
    priority: bool = False
    """Whether the key acts even where a focused widget would take it."""

    def binding(self) -> Binding:
        """The Textual binding of this command."""
        return Binding(
            self.key,
            self.action,
            self.title,
            show=self.footer,
            tooltip=self.help,
            id=self.id,
            priority=self.priority,
        )
