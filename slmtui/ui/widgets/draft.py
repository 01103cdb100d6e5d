"""Text that is being written: lines are only ever added, so that a paint costs a few lines and no layout."""

from __future__ import annotations

import re
import time

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from textual import events
from textual.containers import VerticalScroll
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from slmtui.ui.widgets.laid_out import laid_out

ROOM_SHARE = 3
"""The text gets new room for this part of the screen at once: it stands still while it is read, and a line that is
added costs no layout of the whole screen."""
STOCK_SCREENS = 8
"""Text that is written fast gets so many screens of empty rows above it, into which it moves up without a layout."""
FAST_S = 3.0
"""Text that fills its room again within this time is written fast."""

_EMPTY = -1
"""Stands for all rows above and below the text, which are alike."""
_WORD = re.compile(r"\S+\s*|\s+")


class Draft(Widget):
    """Plain text, wrapped at words; `add` to it."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Draft { height: auto; }"

    virtual_size = laid_out()

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        """All that was added."""
        self._lines = [""]
        self._strips: dict[int, Strip] = {}
        self._wrapped_at = 0
        self._room = 0
        """Rows, with the empty ones above and below the text."""
        self._above = 0
        """Empty rows above the text; out of sight, for there are some only while the end of a long text is shown."""
        self._full_at_s = time.monotonic()
        self.settled = False
        """Whether nothing more will come."""

    def add(self, text: str) -> None:
        """Show more text after what is there."""
        self.text += text
        if not self._wrapped_at:  # its width is not known yet
            return
        first = len(self._lines) - 1
        self._strips.pop(first, None)
        add_wrapped(self._lines, text, self._wrapped_at)
        if self._above + len(self._lines) > self._room:
            self._make_room()
        else:
            self.refresh(Region(0, self._above + first, self.size.width, len(self._lines) - first))

    def settle(self) -> None:
        """Nothing more will come: leave no room above and under the text."""
        self.settled = True
        self._above, self._room = 0, len(self._lines)
        self.refresh(layout=True)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap anew at another width."""
        if event.size.width != self._wrapped_at:
            self._wrapped_at = event.size.width
            self._lines = [""]
            self._strips.clear()
            add_wrapped(self._lines, self.text, self._wrapped_at)
            if self.settled:
                self.settle()
            elif self._above or len(self._lines) > self._room:
                self._above, self._room = 0, len(self._lines)
                self._make_room()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The lines there are and the room around them."""
        if not self._room:
            self._room = max(1, viewport.height // ROOM_SHARE)
        return self._room

    def notify_style_update(self) -> None:
        """Draw all lines anew, in other colours."""
        super().notify_style_update()
        self._strips.clear()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in a region; what was drawn once is drawn no more, wherever it is scrolled to."""
        return [self._strip(y).crop(crop.x, crop.right) for y in crop.line_range]

    def _strip(self, y: int) -> Strip:
        at = y - self._above
        if not 0 <= at < len(self._lines):
            at = _EMPTY
        if at not in self._strips:
            line, width = "" if at == _EMPTY else self._lines[at].rstrip(), self.size.width
            segment = Segment(line + " " * (width - cell_len(line)), self.visual_style.rich_style)
            self._strips[at] = Strip([segment], width)
        return self._strips[at]

    def _make_room(self) -> None:
        """Get room under the text: by a layout, or, where text is written fast and its end is shown, by moving up."""
        screen, now_s = self.screen.size.height, time.monotonic()
        filled = len(self._lines) + screen // ROOM_SHARE
        lacking = self._above + filled - self._room
        fast, self._full_at_s = now_s - self._full_at_s < FAST_S, now_s
        if not (fast and self._followed(filled)):
            self._room += lacking
            self.refresh(layout=True)
            return
        stock = screen * STOCK_SCREENS + lacking if self._above < lacking else 0
        self._room += stock
        self._above += stock - lacking
        self.refresh(layout=stock > 0)

    def _followed(self, rows: int) -> bool:
        """Whether whoever reads sees the end of the text, and so many rows are all that can be seen."""
        transcript = next((each for each in self.ancestors if isinstance(each, VerticalScroll)), None)
        return (
            transcript is not None and transcript.scroll_y >= transcript.max_scroll_y and rows >= transcript.size.height
        )


def add_wrapped(lines: list[str], text: str, width: int) -> None:
    """Add text to lines of at most `width` cells (blanks at their ends aside): only the last can still change."""
    paragraphs = (lines.pop() + text.expandtabs(4)).split("\n")
    for paragraph in paragraphs:
        lines += _wrapped(paragraph, width)


def _wrapped(paragraph: str, width: int) -> list[str]:
    lines, line, used = [], "", 0
    for word in _WORD.findall(paragraph):
        wide = cell_len(word.rstrip())
        if used and used + wide > width:
            lines.append(line)
            line, used = "", 0
        parts = chop_cells(word, width) if wide > width else [word]
        lines += parts[:-1]
        line += parts[-1]
        used += cell_len(parts[-1])
    return [*lines, line]
