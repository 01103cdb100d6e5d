"""A table that never scrolls sideways: columns that matter least go first, numbers sort as numbers.

It draws its own lines: a row is one strip of a few segments, kept until something in it changes. Textual's DataTable
takes 85 to 200 ms to draw a screen of such rows anew, which every letter of a filter makes it do; this takes 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from slmtui.ui.widgets.table_columns import (
    NOTHING,
    PADDING,
    Figure,
    SortValue,
    TableColumn,
    Tone,
    column_at,
    fit_columns,
    head,
    segment,
    shown_in,
    sort_key,
)

__all__ = ["Figure", "FitTable", "SortValue", "TableColumn", "Tone", "fit_columns"]


class RowMessage(Message):
    """Something about a row of a table."""

    def __init__(self, table: FitTable, row: str | None) -> None:
        super().__init__()
        self.table = table
        self.row = row

    @property
    def control(self) -> FitTable:
        """The table."""
        return self.table


class FitTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows of figures, kept and updated by key; a row is highlighted, a click on a head sorts."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "fit-table--header",
        "fit-table--cursor",
        "fit-table--hover",
        "fit-table--strong",
        "fit-table--muted",
        "fit-table--good",
        "fit-table--warn",
        "fit-table--bad",
        "fit-table--accent",
    }
    DEFAULT_CSS = """
    FitTable {
        background: transparent;
        color: $foreground;
        height: 1fr;
        max-height: 100%;
        overflow: hidden scroll;
        scrollbar-size: 0 1;
        scrollbar-gutter: stable;

        & > .fit-table--header { color: $text-muted; }
        & > .fit-table--hover { background: $block-hover-background; }
        & > .fit-table--strong { text-style: bold; }
        & > .fit-table--muted { color: $text-muted; }
        & > .fit-table--good { color: $success; }
        & > .fit-table--warn { color: $warning; }
        & > .fit-table--bad { color: $error; }
        & > .fit-table--accent { color: $accent; }
        & > .fit-table--cursor {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
            text-style: $block-cursor-blurred-text-style;
        }
        &:focus > .fit-table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "end(0)", "Top", show=False),
        Binding("end,G", "end(-1)", "Bottom", show=False),
    ]

    class Highlighted(RowMessage):
        """Another row is highlighted, or none any more."""

    class Pressed(RowMessage):
        """A cell of a row was clicked."""

        def __init__(self, table: FitTable, row: str, column: str, *, twice: bool) -> None:
            super().__init__(table, row)
            self.row: str = row
            self.column = column
            self.twice = twice

    show_cursor: reactive[bool] = reactive(True, init=False)
    """Whether the highlighted row looks different from the others."""

    def __init__(self, *columns: TableColumn, sort: str, descending: bool = False) -> None:
        super().__init__()
        self.all_columns = columns
        self.sorted_by = sort
        self.descending = descending
        self.header_height = 2 if any(column.unit for column in columns) else 1
        self._figures: dict[str, Mapping[str, Figure]] = {}
        self._keys: list[str] = []
        self._at = 0
        self._hovered: str | None = None
        self._widths: dict[str, int] = {}
        self._told: str | None = None
        self._strips: dict[str, Strip] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the rows from top to bottom."""
        return tuple(self._keys)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self._keys)

    @property
    def highlighted(self) -> str | None:
        """Key of the highlighted row; None in an empty table."""
        return self._keys[self._at] if self._keys else None

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Keys of the columns that fit."""
        return tuple(self._widths)

    def figure(self, row: str, column: str) -> Figure:
        """What a cell shows; nothing where the row has no such figure."""
        return self._figures.get(row, {}).get(column, NOTHING)

    def __len__(self) -> int:
        return len(self._figures)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, row: object) -> bool:
        return row in self._figures

    # -- rows

    def put(self, row: str, figures: Mapping[str, Figure]) -> None:
        """Add a row, or change the cells of one that is there; the highlighted row stays highlighted."""
        known = self._figures.get(row)
        if known == figures:
            return
        self._strips.pop(row, None)
        self._figures[row] = figures
        if known is None or known.get(self.sorted_by) != figures.get(self.sorted_by):
            self._order(self.highlighted)
        else:
            self._redraw(row)

    def show_only(self, rows: Mapping[str, Mapping[str, Figure]]) -> None:
        """Have these rows and no others; the highlight stays on its row, or else at its height."""
        known = self._figures
        changed = {key for key, row in rows.items() if (old := known.get(key)) is not row and old != row}
        if not changed and rows.keys() == self._figures.keys():
            return
        kept = self.highlighted
        self._figures = dict(rows)
        for key in changed:
            self._strips.pop(key, None)
        self._order(kept)

    def drop(self, row: str) -> None:
        """Remove a row; the highlight stays on its row, or else at its height."""
        kept = self.highlighted
        del self._figures[row]
        self._order(kept)

    def highlight(self, row: str) -> None:
        """Move the highlight to a row."""
        self._move_to(self._keys.index(row))

    def sort_by(self, column: str, *, descending: bool | None = None) -> None:
        """Sort by a column; by the same one again, and without a direction, the other way round."""
        if descending is None:
            descending = not self.descending if column == self.sorted_by else self._column(column).right
        self.sorted_by, self.descending = column, descending
        self._order(self.highlighted)

    def next_sort(self) -> str:
        """Key of the shown column after the one that is sorted by."""
        shown = [column.key for column in self.all_columns if column.key in self._widths and column.sortable]
        at = shown.index(self.sorted_by) if self.sorted_by in shown else -1
        return shown[(at + 1) % len(shown)]

    def _order(self, highlighted: str | None) -> None:
        """Put the rows into order; the highlight stays on this one, or else at its height."""

        def key(row: str) -> tuple[bool, float | str]:
            return sort_key(self.figure(row, self.sorted_by).value, descending=self.descending)

        self._keys = sorted(self._figures, key=key, reverse=self.descending)
        if highlighted in self._figures:
            self._at = self._keys.index(highlighted)
        self._at = max(0, min(self._at, len(self._keys) - 1))
        width = sum(self._widths.values()) + 2 * PADDING * len(self._widths)
        size = Size(width, self.header_height + len(self._keys))
        if self.styles.height is None or self.styles.height.is_auto:
            self.virtual_size = size
        elif size != self.virtual_size:
            # What `virtual_size` does, without laying out the whole screen: a table that has its height keeps it.
            self.set_reactive(FitTable.virtual_size, size)
            self._scroll_update(size)
        self._show_highlight()
        self.refresh()
        self._tell()

    # -- moving

    def action_move(self, step: int) -> None:
        """Highlight the next row, or the one before."""
        self._move_to(self._at + step)

    def action_page(self, step: int) -> None:
        """Highlight a row a screen further."""
        self._move_to(self._at + step * max(1, self._room - 1))

    def action_end(self, end: int) -> None:
        """Highlight the first (0) or the last (-1) row."""
        self._move_to(len(self._keys) - 1 if end else 0)

    @property
    def _room(self) -> int:
        """How many rows are in sight."""
        return max(0, self.scrollable_content_region.height - self.header_height)

    def _move_to(self, at: int) -> None:
        before = self.highlighted
        self._at = max(0, min(at, len(self._keys) - 1))
        self._redraw(before, self.highlighted)
        self._show_highlight()
        self._tell()

    def _show_highlight(self) -> None:
        """Scroll as little as brings the highlighted row into sight."""
        top, room = round(self.scroll_target_y), self._room
        if not room:
            return
        if self._at < top:
            self.scroll_to(y=self._at, animate=False)
        elif self._at >= top + room:
            self.scroll_to(y=self._at - room + 1, animate=False)

    def _tell(self) -> None:
        if self.highlighted != self._told:
            self._told = self.highlighted
            self.post_message(self.Highlighted(self, self._told))

    # -- events

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns anew."""
        self._fit(self.scrollable_content_region.width)

    def on_click(self, event: events.Click) -> None:
        """Highlight the row and say what was clicked, or sort by the column."""
        at = event.get_content_offset(self)
        if at is None:
            return
        event.stop()
        column = column_at(self._widths, at.x)
        if at.y < self.header_height:
            if column and self._column(column).sortable:
                self.sort_by(column)
        elif (row := self._row_at(at.y)) is not None:
            self.highlight(row)
            self.post_message(self.Pressed(self, row, column, twice=event.chain == 2))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show which row a click would highlight."""
        at = event.get_content_offset(self)
        self._hover(self._row_at(at.y) if at is not None and at.y >= self.header_height else None)

    def on_leave(self, event: events.Leave) -> None:
        """The pointer is elsewhere."""
        self._hover(None)

    def notify_style_update(self) -> None:
        """Draw anew in the theme's colours."""
        super().notify_style_update()
        self._strips.clear()

    def watch_show_cursor(self) -> None:
        """Draw the highlighted row anew."""
        self._redraw(self.highlighted)

    # -- drawing

    def use_columns(self, columns: tuple[TableColumn, ...]) -> None:
        """Have these columns, as far as they fit."""
        self.all_columns = columns
        self._widths = {}
        if self.size.width:
            self._fit(self.scrollable_content_region.width)

    def _fit(self, width: int) -> None:
        widths = fit_columns(self.all_columns, width, 2 * PADDING)
        if widths == self._widths:
            self._show_highlight()
            return
        self._widths = widths
        self._strips.clear()
        self._order(self.highlighted)

    def render_line(self, y: int) -> Strip:
        """The head, or the row that is scrolled to this height."""
        width, rich = self.scrollable_content_region.width, self.rich_style
        shown = [(column, self._widths[column.key]) for column in self.all_columns if column.key in self._widths]
        if y < self.header_height:
            style, bold = rich + self._style("header"), Style(bold=True)
            heads = [(self._head(column)[y], column, cells) for column, cells in shown]
            return Strip(
                segment(text, column, cells, style + bold if column.key == self.sorted_by else style)
                for text, column, cells in heads
            ).adjust_cell_length(width, rich)
        if (row := self._row_at(y)) is None:
            return Strip.blank(width, rich)
        if self.show_cursor and row == self.highlighted:
            base = rich + self._style("cursor")
            return self._strip(row, shown, base, toned=False).adjust_cell_length(width, base)
        if row == self._hovered:
            base = rich + self._style("hover")
            return self._strip(row, shown, base).adjust_cell_length(width, base)
        if row not in self._strips:
            self._strips[row] = self._strip(row, shown, rich).adjust_cell_length(width, rich)
        return self._strips[row]

    def _strip(self, row: str, shown: list[tuple[TableColumn, int]], base: Style, *, toned: bool = True) -> Strip:
        figures = [(self.figure(row, column.key), column, cells) for column, cells in shown]
        return Strip(
            segment(
                shown_in(figure, cells),
                column,
                cells,
                base + self._style(figure.tone) if toned and figure.tone else base,
            )
            for figure, column, cells in figures
        )

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"fit-table--{name}", partial=True)

    def _head(self, column: TableColumn) -> list[str]:
        arrow = "▼" if self.descending else "▲"
        return head(column, self.header_height, arrow if column.key == self.sorted_by else "")

    def _redraw(self, *rows: str | None) -> None:
        """Draw rows anew, where they are in sight."""
        for row in filter(None, rows):
            self._strips.pop(row, None)
            y = self._keys.index(row) - self.scroll_offset.y + self.header_height
            if self.header_height <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def _hover(self, row: str | None) -> None:
        before, self._hovered = self._hovered, row
        if before != row:
            self._redraw(*(each for each in (before, row) if each in self._figures))

    def _row_at(self, y: int) -> str | None:
        at = y - self.header_height + self.scroll_offset.y
        return self._keys[at] if 0 <= at < len(self._keys) else None

    def _column(self, key: str) -> TableColumn:
        return next(column for column in self.all_columns if column.key == key)
