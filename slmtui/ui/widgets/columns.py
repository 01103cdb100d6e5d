"""The columns of a chat, side by side."""

from __future__ import annotations

from textual.containers import HorizontalScroll

from slmtui.ui.widgets.column import Column

NARROWEST_COLUMN = 40
"""Cells below which the figures of a column would be cut."""


class Columns(HorizontalScroll):
    """As many columns as can be read side by side; the others are a scroll away."""

    def on_resize(self) -> None:
        """Share the width anew."""
        self.share_width()

    def share_width(self) -> None:
        """Give every column the same width, so that whole columns fill the screen."""
        columns = self.query_children(Column)
        shown = max(1, min(len(columns), self.size.width // NARROWEST_COLUMN))
        for column in columns:
            column.styles.width = "1fr" if shown == len(columns) else self.size.width // shown
