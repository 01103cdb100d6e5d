"""What was said to one model, in order, and the view of it that scrolls."""

from __future__ import annotations

from textual.containers import Vertical, VerticalScroll

from slmtui.ui.widgets.laid_out import laid_out


class Transcript(VerticalScroll):
    """A view of turns; its bar has its place from the beginning, for text would be wrapped anew when it comes."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr; overflow-y: scroll;
        scrollbar-size-vertical: 1; scrollbar-background: $background;
    }
    """

    virtual_size = laid_out()


class Turns(Vertical):
    """Questions, answers and failures in order."""

    DEFAULT_CSS = "Turns { height: auto; min-height: 100%; padding: 0 1; }"
    BLANK = True  # has nothing of its own to draw

    virtual_size = laid_out()
