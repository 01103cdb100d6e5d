"""How far a plan is: a bar with words, and one sign for each cell."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from slmtui.core.text import shorten
from slmtui.ui.widgets.bars import bar

_BAR_CELLS = 30


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the two lines show."""

    done: int = 0
    total: int = 0
    variants: tuple[str, ...] = ()
    """Words beside the bar, the fullest first."""
    signs: tuple[tuple[str, str], ...] = ()
    """A sign and a style for each cell."""
    running: str = ""
    """The running cell in words."""


class PlanProgress(Widget):
    """Two lines: bar and words, then the cells and the one that runs."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "PlanProgress { height: 2; }"

    progress: reactive[Progress] = reactive(Progress())

    def render(self) -> Content:
        """Bar, words, signs."""
        width, progress = self.content_size.width, self.progress
        cells = min(_BAR_CELLS, width // 3)
        words = next((each for each in progress.variants if len(each) + cells + 2 <= width), "")
        fraction = progress.done / progress.total if progress.total else 0.0
        first = Content.assemble(bar(fraction, cells), f"  {words}")
        running = shorten(progress.running, max(0, width * 2 // 3))
        room = width - len(running) - (2 if running else 0)
        return Content("\n").join(
            [first, Content.assemble(*fitting(progress.signs, room), ("  " if running else "", ""), (running, "bold"))]
        )


def fitting(signs: Sequence[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """As many signs as fit, and how many more there are."""
    if len(signs) <= room:
        return list(signs)
    kept = max(0, room - 5)
    return [*signs[:kept], (f" +{len(signs) - kept}", "$text-muted")]
