"""What was said to one model, in order, and the view of it that scrolls."""

from __future__ import annotations

from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from slmtui.ui.widgets.laid_out import laid_out


class Transcript(VerticalScroll):
    """A view of turns; its bar has its place from the beginning, for text would be wrapped anew when it comes."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr; overflow-y: scroll;
        scrollbar-size-vertical: 1; scrollbar-background: $background;
    }
    """

    BLANK = True  # has nothing of its own to draw
    virtual_size = laid_out()


class Turns(Vertical):
    """Questions, answers and failures in order."""

    DEFAULT_CSS = "Turns { height: auto; min-height: 100%; padding: 0 1; }"
    BLANK = True  # has nothing of its own to draw

    virtual_size = laid_out()


class Said(Static):
    """A question, a failure or a remark as it is; never markup."""

    virtual_size = laid_out()

    def __init__(self, text: str = "", *, classes: str) -> None:
        super().__init__(text, markup=False, classes=classes)
