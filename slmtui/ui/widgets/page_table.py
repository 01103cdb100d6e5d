"""The table behind a chart: any number of rows at once, filtered by words, without columns that nothing fills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from slmtui.core.text import NOT_MEASURED
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn


class PageTable(FitTable):
    """Rows that are replaced as a whole; columns in which no row has anything are left out."""

    def __init__(self, columns: Sequence[TableColumn], sort: str) -> None:
        super().__init__(*columns, sort=sort)
        self.every_column = tuple(columns)
        self.wanted = ""
        """The words that a row must have to be shown."""
        self._rows: Mapping[str, Mapping[str, Figure]] = {}

    def show_rows(self, rows: Mapping[str, Mapping[str, Figure]]) -> None:
        """Show these rows as far as they match, and no others; the highlighted one stays highlighted."""
        self._rows = rows
        matching = {key: dict(figures) for key, figures in rows.items() if matches(figures, self.wanted)}
        columns = filled(self.every_column, rows.values())
        if columns != self.all_columns:
            self.use_columns(columns)
        self.show_only(matching)

    def find(self, words: str) -> None:
        """Show only the rows that have all of these words."""
        self.wanted = words
        self.show_rows(self._rows)


def matches(figures: Mapping[str, Figure], words: str) -> bool:
    """Whether each of the words stands somewhere in the row."""
    text = " ".join(f"{figure.text} {figure.value}" for figure in figures.values()).casefold()
    return all(word in text for word in words.casefold().split())


def filled(columns: Sequence[TableColumn], rows: Iterable[Mapping[str, Figure]]) -> tuple[TableColumn, ...]:
    """The columns in which a row shows something, as wide as that needs; all of them while there is no row."""
    rows = tuple(rows)
    if not rows:
        return tuple(columns)
    return tuple(_fitted(column, rows) for column in columns if any(_says(row.get(column.key)) for row in rows))


def _fitted(column: TableColumn, rows: Sequence[Mapping[str, Figure]]) -> TableColumn:
    """The column, where it can grow, no wider than what stands in it; its short words are what it needs at least."""
    if not column.room:
        return column
    figures = [figure for row in rows if (figure := row.get(column.key)) is not None]
    longest = max(len(column.label), *(len(figure.text) for figure in figures))
    least = max(len(column.label), *(len(figure.short or figure.text) for figure in figures))
    return replace(column, width=min(column.width, least), room=min(column.room, longest))


def _says(figure: Figure | None) -> bool:
    return figure is not None and figure.text not in ("", NOT_MEASURED)
