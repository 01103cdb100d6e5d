"""What a table that fits its terminal is made of: columns that know what they need, and figures that fill them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

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
    extra: bool = False
    """Whether it is shown only where the others have grown as far as they do."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a cell shows and what it sorts by."""

    text: str
    value: SortValue = None
    """None sorts last in either direction."""
    tone: Tone = ""
    short: str = ""
    """What to show where `text` does not fit; empty cuts `text` instead."""


NOTHING = Figure("")
PADDING = 1
"""Blank cells on either side of a column."""


def fit_columns(columns: Sequence[TableColumn], width: int, padding: int) -> dict[str, int]:
    """The columns that fit into `width` cells, in their order, with the width of each.

    `padding` is what each column takes beside its own width. What is left over goes to the columns that have
    room, the first of them first.
    """
    shown = [column for column in columns if not column.extra]
    for rank in sorted({column.rank for column in shown}, reverse=True):
        if rank == 0 or sum(column.width + padding for column in shown) <= width:
            break
        shown = [column for column in shown if column.rank < rank]
    spare = width - sum(max(column.width, column.room) + padding for column in shown)
    for column in sorted((column for column in columns if column.extra), key=lambda column: column.rank):
        spare -= column.width + padding
        if spare < 0:
            break
        shown.append(column)
    spare = max(0, width - sum(column.width + padding for column in shown))
    widths: dict[str, int] = {}
    for column in shown:
        more = min(spare, max(0, column.room - column.width))
        widths[column.key] = column.width + more
        spare -= more
    return {column.key: widths[column.key] for column in columns if column.key in widths}


def shown_in(figure: Figure, cells: int) -> str:
    """The text of a figure, or its short form where so many cells are too few."""
    text = one_line(figure.text)
    return figure.short if figure.short and cell_len(text) > cells else text


def head(column: TableColumn, lines: int, arrow: str) -> list[str]:
    """What stands over a column in so many lines; `arrow` marks the one that is sorted by, where it has a name."""
    arrow = arrow if column.label else ""
    if lines == 1:
        return [" ".join(filter(None, (column.label, arrow)))]
    return [column.label, " ".join(filter(None, (arrow, column.unit)))]


def segment(text: str, column: TableColumn, cells: int, style: Style) -> Segment:
    """Text as it stands in a column: aligned, or cut to its cells, with a blank on either side."""
    length = cell_len(text)
    if length > cells:
        shown = set_cell_size(text, cells - 1) + "…"
    else:
        blank = " " * (cells - length)
        shown = blank + text if column.right else text + blank
    return Segment(f" {shown} ", style)


def sort_key(value: SortValue, *, descending: bool) -> tuple[bool, float | str]:
    """A key that puts rows into order, those without a value last."""
    if value is None:
        return (not descending, 0)
    return (descending, value.casefold() if isinstance(value, str) else value)


def column_at(widths: Mapping[str, int], x: int) -> str:
    """Key of the column at a cell, of columns that stand side by side; empty beside all of them."""
    right = 0
    for key, width in widths.items():
        right += width + 2 * PADDING
        if x < right:
            return key
    return ""
