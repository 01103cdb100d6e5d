"""The items of a task in a file: JSONL, one object a line, or CSV with the same names as columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from slmtui.core.task import Item
from slmtui.core.task_checks import explained, quoted
from slmtui.core.text import counted

if TYPE_CHECKING:
    import _csv

NumberedItems = tuple[tuple[int, Item], ...]
"""Items with the line of the file that each begins in."""
Fault = tuple[int, str]
"""A line, and what is wrong there."""
COLUMNS = Item.__struct_fields__
OPTION_SEPARATOR = "|"
"""What stands between options in a CSV cell."""
_DECODER = msgspec.json.Decoder(Item)
_DELIMITERS = ",;\t"


def from_jsonl(text: str) -> tuple[NumberedItems, tuple[Fault, ...]]:
    """Items of JSONL, and what is wrong with its lines; empty lines are skipped."""
    items: list[tuple[int, Item]] = []
    faults: list[Fault] = []
    for line, words in enumerate(text.split("\n"), 1):
        if not words.strip():
            continue
        try:
            items.append((line, _DECODER.decode(words)))
        except msgspec.ValidationError as error:
            faults.append((line, explained(str(error), COLUMNS)))
        except (msgspec.DecodeError, RecursionError) as error:
            faults.append((line, f"it is not one JSON object ({error}); write one object a line"))
    return tuple(items), tuple(faults)


def from_csv(text: str) -> tuple[NumberedItems, tuple[Fault, ...]]:
    """Items of CSV, names in its first line, and what is wrong with its lines; a comma, semicolon or tab divides."""
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    items: list[tuple[int, Item]] = []
    faults: list[Fault] = []
    try:
        names = [name.strip() for name in next(reader, [])]
        if wrong := _wrong_names(names):
            return (), ((1, wrong),)
        for line, cells in _rows(reader):
            if len(cells) == len(names):
                items.append((line, _item(dict(zip(names, cells, strict=True)))))
            else:
                counts = f"it has {counted(len(cells), 'cell')} under {len(names)} names"
                faults.append((line, f"{counts}; put a cell that holds {delimiter!r} in double quotes"))
    except csv.Error as error:
        faults.append((reader.line_num, f"it is not CSV ({error}); the rest was not read"))
    return tuple(items), tuple(faults)


def _rows(reader: _csv.Reader) -> Iterator[tuple[int, list[str]]]:
    line = reader.line_num + 1
    for cells in reader:
        if cells:
            yield line, cells
        line = reader.line_num + 1


def _wrong_names(names: Sequence[str]) -> str | None:
    if not {"input", "target"} <= set(names):
        return f"the first line must name the columns input and target; it has {quoted(names)}"
    if unknown := [name for name in names if name not in COLUMNS]:
        return f"there is no column {quoted(unknown)}; known here: {', '.join(COLUMNS)}"
    if len(set(names)) < len(names):
        return "a column stands there twice; remove one"
    return None


def _item(cells: dict[str, str]) -> Item:
    options = cells.get("options", "").strip()
    return Item(
        input=cells["input"].strip(),
        target=cells["target"].strip(),
        options=tuple(option.strip() for option in options.split(OPTION_SEPARATOR)) if options else None,
        category=cells.get("category", "").strip() or None,
    )
