"""What a screen shows while no model is marked."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Center, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from slmtui.core.catalog import LocalModel
from slmtui.core.text import one_line


class NothingMarked(Vertical):
    """Says how to mark models, and offers some that are there."""

    DEFAULT_CSS = """
    NothingMarked {
        height: 1fr; align: center middle;
        & > Vertical { width: 64; max-width: 100%; height: auto; padding: 0 2; align-horizontal: center; }
        & Static { width: 1fr; text-align: center; margin-bottom: 1; }
        & .title { text-style: bold; }
        & .how { color: $text-muted; }
        & .offer { margin: 1 0 0 0; }
        & Center { height: auto; }
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
        with Vertical():
            yield Static("No model is marked", markup=False, classes="title")
            yield Static(_how(self._purpose), classes="how")
            if self._offer:
                with Center():
                    yield Button("Begin with what is here", variant="primary", compact=True)
                names = " and ".join(one_line(model.name) for model in self._offer)
                yield Static(names, markup=False, classes="how offer")

    @on(Button.Pressed)
    def accept(self, event: Button.Pressed) -> None:
        """Pass the offer on."""
        event.stop()
        self.post_message(self.Accepted(self._offer))


def _how(purpose: str) -> Content:
    return Content.assemble(
        f"Mark one to four models to {purpose}:\n",
        ("F2", "bold $primary"),
        " lists them, ",
        ("space", "bold $primary"),
        " marks, then come back here.",
    )


def offer_from(models: Sequence[LocalModel], count: int = 2) -> tuple[LocalModel, ...]:
    """The first models with different cards, then other variants of those, `count` at most."""
    first_of: dict[str, LocalModel] = {}
    for model in models:
        first_of.setdefault(model.card.id if model.card else model.id, model)
    distinct = list(first_of.values())
    rest = [model for model in models if model not in distinct]
    return tuple((distinct + rest)[:count])
