"""The columns of a chat, side by side, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import HorizontalScroll

from slmtui.ui.widgets.column import Column

NARROWEST_COLUMN = 40
"""Cells below which the figures of a column would be cut."""


class Columns(HorizontalScroll):
    """As many columns as can be read side by side; the others are a scroll away."""

    BLANK = True  # has nothing of its own to draw

    @property
    def columns(self) -> list[Column]:
        """The columns from left to right."""
        return list(self.query_children(Column))

    def on_resize(self) -> None:
        """Share the width anew."""
        self.share_width()

    def share_width(self) -> None:
        """Give every column the same width, so that whole columns fill the screen."""
        columns = self.columns
        shown = max(1, min(len(columns), self.size.width // NARROWEST_COLUMN))
        for column in columns:
            column.styles.width = "1fr" if shown == len(columns) else self.size.width // shown


def why_not(action: str, columns: Sequence[Column], *, asking: bool) -> str | None:
    """Why a chat with these columns can't do something now."""
    match action:
        case "stop" | "stop_column" if not any(column.active for column in columns):
            return "Nothing runs."
        case "order" if len(columns) < 2:
            return "There is only one model."
        case "again" | "clear" | "copy" | "exact" | "save" if not any(each.exchanges for each in columns):
            return "Nothing was said yet."
        case "again" | "clear" if asking:
            return "The models are still answering; esc stops them."
        case "reload" if not columns or all(each.seat.loaded.ready or each.active for each in columns):
            return "Every model is loaded."
        case _:
            return None
