"""What a screen shows while no model is marked."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Button, Static

from slmtui.core.catalog import LocalModel
from slmtui.core.text import one_line


class NothingMarked(Vertical):
    """Says how to mark models, and offers some that are there."""

    DEFAULT_CSS = """
    NothingMarked {
        height: 1fr; align: center middle;
        & > Static { width: auto; max-width: 60; text-align: center; margin-bottom: 1; }
        & > .title { text-style: bold; }
        & > .how { color: $text-muted; }
        & > Button { margin-top: 1; }
    }
    """

    class Accepted(Message):
        """The offered models are wanted."""

        def __init__(self, models: tuple[LocalModel, ...]) -> None:
            super().__init__()
            self.models = models

    def __init__(self, purpose: str, offer: Sequence[LocalModel]) -> None:
        """`purpose` follows "Mark one to four models to …"."""
        super().__init__()
        self._purpose = purpose
        self._offer = tuple(offer)

    def compose(self) -> ComposeResult:
        """Title, how to mark, and the offer."""
        yield Static("No model is marked", markup=False, classes="title")
        yield Static(
            f"Mark one to four models to {self._purpose}: press F2 for Models, space on each, then come back.",
            markup=False,
            classes="how",
        )
        if self._offer:
            names = " and ".join(one_line(model.name) for model in self._offer)
            yield Static(f"Or begin with {names}.", markup=False, classes="how")
            yield Button("Begin with these", variant="primary", compact=True)

    @on(Button.Pressed)
    def accept(self, event: Button.Pressed) -> None:
        """Pass the offer on."""
        event.stop()
        self.post_message(self.Accepted(self._offer))


def offer_from(models: Sequence[LocalModel], count: int = 2) -> tuple[LocalModel, ...]:
    """The first models with different cards, then other variants of those, `count` at most."""
    first_of: dict[str, LocalModel] = {}
    for model in models:
        first_of.setdefault(model.card.id if model.card else model.id, model)
    distinct = list(first_of.values())
    rest = [model for model in models if model not in distinct]
    return tuple((distinct + rest)[:count])
