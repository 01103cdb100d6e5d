"""A table that never scrolls sideways: columns that matter least go first, numbers sort as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable

from slmtui.core.text import one_line

Tone = Literal["", "strong", "muted", "good", "warn", "bad", "accent"]
SortValue = float | str | None


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column: where it stands is its place in the table, whether it is shown depends on the width."""

    key: str
    label: str
    width: int
    """Cells that it needs at least."""
    rank: int = 0
    """0 is always shown; the higher, the sooner it goes when the terminal is narrow."""
    unit: str = ""
    """Second line of the head."""
    right: bool = False
    sortable: bool = True
    room: int = 0
    """Cells up to which it grows when there is space left; 0 keeps its width."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a cell shows and what it sorts by."""

    text: str
    value: SortValue = None
    """None sorts last in either direction."""
    tone: Tone = ""
    short: str = ""
    """What to show where `text` does not fit; empty cuts `text` instead."""


_NOTHING = Figure("")


class _Cell:
    """One cell as Rich draws it: aligned, cut to its column, coloured by the theme of the moment."""

    def __init__(self, table: FitTable, row: str, column: TableColumn) -> None:
        self.table = table
        self.row = row
        self.column = column

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        figure, width = self.table.figure(self.row, self.column.key), options.max_width
        shown = Text(one_line(figure.text), no_wrap=True, end="")
        if shown.cell_len > width and figure.short:
            shown = Text(figure.short, no_wrap=True, end="")
        shown.truncate(width, overflow="ellipsis")
        shown.align("right" if self.column.right else "left", width)
        if figure.tone:
            shown.stylize(self.table.get_component_rich_style(f"fit-table--{figure.tone}", partial=True))
        yield shown

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, 1)


class FitTable(DataTable[_Cell], inherit_bindings=False):
    """Rows of figures, kept and updated by key; a row is highlighted, a click on a head sorts."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
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
        height: 1fr;
        max-height: 100%;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;

        & > .datatable--header, &:ansi > .datatable--header {
            background: transparent;
            color: $text-muted;
            text-style: none;
        }
        & > .datatable--header-hover, & > .datatable--hover { background: $block-hover-background; }
        & > .fit-table--strong { text-style: bold; }
        & > .fit-table--muted { color: $text-muted; }
        & > .fit-table--good { color: $success; }
        & > .fit-table--warn { color: $warning; }
        & > .fit-table--bad { color: $error; }
        & > .fit-table--accent { color: $accent; }

        &:focus {
            background-tint: transparent;
            & > .datatable--header { background-tint: transparent; }
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "Up", show=False),
        Binding("down,j", "cursor_down", "Down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home,g", "scroll_top", "Top", show=False),
        Binding("end,G", "scroll_bottom", "Bottom", show=False),
    ]

    class Highlighted(Message):
        """Another row is highlighted, or none any more."""

        def __init__(self, table: FitTable, row: str | None) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> FitTable:
            """The table."""
            return self.table

    class Pressed(Message):
        """A cell of a row was clicked."""

        def __init__(self, table: FitTable, row: str, column: str, *, twice: bool) -> None:
            super().__init__()
            self.table = table
            self.row = row
            self.column = column
            self.twice = twice

        @property
        def control(self) -> FitTable:
            """The table."""
            return self.table

    def __init__(self, *columns: TableColumn, sort: str, descending: bool = False) -> None:
        super().__init__(
            cursor_type="row",
            show_row_labels=False,
            header_height=2 if any(column.unit for column in columns) else 1,
        )
        self.all_columns = columns
        self.sorted_by = sort
        self.descending = descending
        self._figures: dict[str, dict[str, Figure]] = {}
        self._widths: dict[str, int] = {}
        self._told: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the rows from top to bottom."""
        return tuple(row.key.value or "" for row in self.ordered_rows)

    @property
    def highlighted(self) -> str | None:
        """Key of the highlighted row; None in an empty table."""
        if not self.is_valid_coordinate(self.cursor_coordinate):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Keys of the columns that fit."""
        return tuple(self._widths)

    def figure(self, row: str, column: str) -> Figure:
        """What a cell shows; nothing where the row has no such figure."""
        return self._figures.get(row, {}).get(column, _NOTHING)

    def __len__(self) -> int:
        return len(self._figures)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, row: object) -> bool:
        return row in self._figures

    def put(self, row: str, figures: Mapping[str, Figure]) -> None:
        """Add a row, or change the cells of one that is there; the highlighted row stays highlighted."""
        known, self._figures[row] = self._figures.get(row), dict(figures)
        if not self._widths:
            return  # The first resize tells which columns there are, and adds the rows.
        if known is None:
            self.add_row(*self._cells(row), key=row)
        elif known != figures:
            for cell in self._cells(row):
                if known.get(cell.column.key) != figures.get(cell.column.key):
                    self.update_cell(row, cell.column.key, cell)
        if known is None or known.get(self.sorted_by) != figures.get(self.sorted_by):
            self.put_in_order()

    def show_only(self, rows: Mapping[str, Mapping[str, Figure]]) -> None:
        """Put these rows, and drop all others; where there was none, the first is highlighted."""
        kept = self.highlighted
        for row in tuple(self._figures):
            if row not in rows:
                self.drop(row)
        for row, figures in rows.items():
            self.put(row, figures)
        if kept is None and self.row_count:
            self._order(None)
            self._tell()

    def drop(self, row: str) -> None:
        """Remove a row; the highlight stays at its height."""
        del self._figures[row]
        if self._widths:
            self.remove_row(row)
            self._tell()

    def highlight(self, row: str) -> None:
        """Move the highlight to a row."""
        self.move_cursor(row=self.get_row_index(row), animate=False)

    def sort_by(self, column: str, *, descending: bool | None = None) -> None:
        """Sort by a column; by the same one again, and without a direction, the other way round."""
        if descending is None:
            descending = not self.descending if column == self.sorted_by else self._column(column).right
        self.sorted_by, self.descending = column, descending
        self.put_in_order()

    def next_sort(self) -> str:
        """Key of the shown column after the one that is sorted by."""
        shown = [column.key for column in self.all_columns if column.key in self._widths and column.sortable]
        at = shown.index(self.sorted_by) if self.sorted_by in shown else -1
        return shown[(at + 1) % len(shown)]

    def put_in_order(self) -> None:
        """Put the rows into order and mark the column that they are sorted by; the highlight stays on its row."""
        self._order(self.highlighted)
        self._tell()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns anew."""
        self._fit(self.scrollable_content_region.width)

    def on_click(self, event: events.Click) -> None:
        """Highlight the row, and say what was clicked."""
        meta = event.style.meta
        if "row" not in meta or "column" not in meta or not 0 <= meta["row"] < self.row_count:
            return
        event.prevent_default()
        event.stop()
        row = self.keys[meta["row"]]
        self.highlight(row)
        column = "" if meta.get("out_of_bounds") else tuple(self._widths)[meta["column"]]
        self.post_message(self.Pressed(self, row, column, twice=event.chain == 2))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Tell it by key, and only when it is another row."""
        event.stop()
        self._tell()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the column."""
        event.stop()
        if event.column_key.value and self._column(event.column_key.value).sortable:
            self.sort_by(event.column_key.value)

    def _fit(self, width: int) -> None:
        widths = fit_columns(self.all_columns, width, 2 * self.cell_padding)
        if widths == self._widths:
            return
        kept, top = self.highlighted, self.scroll_y
        self._widths = widths
        with self.prevent(DataTable.RowHighlighted), self.app.batch_update():
            self.clear(columns=True)
            for column in self.all_columns:
                if column.key in widths:
                    self.add_column(self._label(column), width=widths[column.key], key=column.key)
            for row in self._figures:
                self.add_row(*self._cells(row), key=row)
            self._order(kept)
            self.scroll_to(y=top, animate=False)
        self._tell()

    def _order(self, highlighted: str | None) -> None:
        """Sort; highlight this row, or the first one when it is not here."""
        for key, column in self.columns.items():
            column.label = self._label(self._column(key.value or ""))
        with self.prevent(DataTable.RowHighlighted):
            self.sort(key=self._sort_key, reverse=self.descending)
            here = highlighted is not None and highlighted in self._figures
            self.move_cursor(row=self.get_row_index(highlighted or "") if here else 0, animate=False)

    def _tell(self) -> None:
        if self.highlighted != self._told:
            self._told = self.highlighted
            self.post_message(self.Highlighted(self, self._told))

    def _cells(self, row: str) -> list[_Cell]:
        return [_Cell(self, row, column) for column in self.all_columns if column.key in self._widths]

    def _column(self, key: str) -> TableColumn:
        return next(column for column in self.all_columns if column.key == key)

    def _label(self, column: TableColumn) -> Text:
        arrow = ("▼" if self.descending else "▲") if column.key == self.sorted_by else ""
        lines = [column.label, " ".join(filter(None, (arrow, column.unit)))]
        if self.header_height == 1:
            lines = [" ".join(filter(None, (column.label, arrow)))]
        label = Text("\n".join(lines), justify="right" if column.right else "left")
        if arrow:
            label.stylize("bold")
        return label

    def _sort_key(self, cells: tuple[_Cell, ...]) -> tuple[bool, float | str]:
        value = self.figure(cells[0].row, self.sorted_by).value
        if value is None:
            return (not self.descending, 0)
        return (self.descending, value.casefold() if isinstance(value, str) else value)


def fit_columns(columns: Sequence[TableColumn], width: int, padding: int) -> dict[str, int]:
    """The columns that fit into `width` cells, in their order, with the width of each.

    `padding` is what each column takes beside its own width. What is left over goes to the columns that have
    room, the first of them first.
    """
    shown = list(columns)
    for rank in sorted({column.rank for column in columns}, reverse=True):
        if rank == 0 or sum(column.width + padding for column in shown) <= width:
            break
        shown = [column for column in shown if column.rank < rank]
    spare = max(0, width - sum(column.width + padding for column in shown))
    widths: dict[str, int] = {}
    for column in shown:
        more = min(spare, max(0, column.room - column.width))
        widths[column.key] = column.width + more
        spare -= more
    return widths
