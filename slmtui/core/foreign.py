"""What other programs print about their measurements, as rows: llama-bench's JSON, JSONL and CSV, told by content."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from slmtui.core.text import one_line, shorten

_LARGEST = 2**63 - 1
_TRUE_FALSE = {"1": True, "0": False, "true": True, "false": False}


class ForeignError(ValueError):
    """The text can't be read; the message names the line or row and says what to do."""


class ForeignRow(msgspec.Struct, frozen=True):
    """One test of llama-bench, with helpers that read and check its fields."""

    where: str
    """Where it stands in its file: "row 2", "line 5"."""
    fields: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        """A field of text without control characters; None when it is missing or empty.

        Raises:
            ForeignError: it is something else.
        """
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self.refuse(name, "is not text")
        return one_line(value) or None

    def whole(self, name: str, lowest: int = 0) -> int | None:
        """A whole number; None when it is missing or empty.

        Raises:
            ForeignError: it is something else, or below `lowest`.
        """
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,19}", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, "is not a whole number")
        if not lowest <= value <= _LARGEST:
            self.refuse(name, f"is not from {lowest} to {_LARGEST}")
        return value

    def real(self, name: str) -> float | None:
        """A number of 0 or more; None when it is missing or empty.

        Raises:
            ForeignError: it is something else.
        """
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not 0 <= number < math.inf:
            self.refuse(name, "is not a number of 0 or more")
        return number

    def flag(self, name: str) -> bool | None:
        """Yes or no, which CSV writes as 1 and 0; None when it is missing or empty.

        Raises:
            ForeignError: it is something else.
        """
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        known = _TRUE_FALSE.get(str(value).strip().lower())
        if known is None:
            self.refuse(name, "is neither true nor false")
        return known

    def wholes(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers over 0; empty when it is missing.

        Raises:
            ForeignError: it is something else.
        """
        values = self.fields.get(name)
        if values is None:
            return ()
        if not isinstance(values, list):
            self.refuse(name, "is not a list")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
                self.refuse(name, f"holds {_shown(value)}, which is not a whole number over 0")
        return tuple(values)

    def refuse(self, name: str, why: str) -> NoReturn:
        """Say what is wrong with a field.

        Raises:
            ForeignError: always.
        """
        value = self.fields.get(name)
        shown = f" {_shown(value)}" if value is not None and not isinstance(value, list) else ""
        raise ForeignError(f"{self.where}: {name}{shown} {why}")


def read_rows(text: str) -> tuple[ForeignRow, ...]:
    """The rows of llama-bench's JSON, JSONL or CSV; which of them it is shows in the text itself.

    Raises:
        ForeignError: it is none of them, damaged, or empty.
    """
    begun = text.lstrip()
    first = begun.partition("\n")[0].strip()
    if not begun:
        raise ForeignError("it is empty")
    if begun[0] == "[":
        return _from_array(document(text))
    if begun[0] == "{":
        return _from_lines(text) if _is_object(first) else (_row("row 1", document(text)),)
    if begun[0] == "|" or first.startswith(("CREATE TABLE", "INSERT INTO")):
        kind = "Markdown table, which holds rounded means only" if begun[0] == "|" else "SQL"
        raise ForeignError(f"it is llama-bench's {kind}; run llama-bench again with -o json, -o jsonl or -o csv")
    return _from_csv(begun, skipped=text[: len(text) - len(begun)].count("\n"))


def document(text: str, line: int = 0) -> object:
    """A JSON document; `line` is the number of the lines above it in its file.

    Raises:
        ForeignError: it is damaged; the message names the line.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        ended = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        cut = "; perhaps the program was stopped while it wrote" if ended else ""
        raise ForeignError(f"line {line + error.lineno}: it is no JSON ({error.msg}){cut}") from error
    except RecursionError as error:
        raise ForeignError(f"{_place(text, line)}its lists are nested too deeply") from error
    except ValueError as error:  # NaN, or a number of thousands of digits; nobody says where
        raise ForeignError(f"{_place(text, line)}it is no JSON ({error})") from error


def _place(text: str, line: int) -> str:
    return "" if "\n" in text.strip() else f"line {line + 1}: "


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _from_array(values: object) -> tuple[ForeignRow, ...]:
    if not isinstance(values, list) or not values:
        raise ForeignError("it holds no rows; llama-bench may have failed before its first test")
    return tuple(_row(f"row {number}", value) for number, value in enumerate(values, 1))


def _from_lines(text: str) -> tuple[ForeignRow, ...]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return tuple(_row(f"line {number}", document(line, number - 1)) for number, line in lines)


def _from_csv(text: str, skipped: int) -> tuple[ForeignRow, ...]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[ForeignRow] = []
    try:
        names = next(reader)
        if not {"n_prompt", "n_gen", "avg_ts"} <= set(names):
            raise ForeignError("it is none of llama-bench's JSON, JSONL or CSV, nor an export of slmtui")
        if len(set(names)) < len(names):
            raise ForeignError(f"line {skipped + 1}: a column stands there twice")
        for values in reader:
            where = f"line {skipped + reader.line_num}"
            if len(values) not in (0, len(names)):
                raise ForeignError(f"{where}: it has {len(values)} values under {len(names)} names; it may be cut off")
            if values:
                rows.append(_row(where, dict(zip(names, values, strict=True))))
    except csv.Error as error:
        raise ForeignError(f"line {skipped + reader.line_num}: it is no CSV ({error})") from error
    if not rows:
        raise ForeignError("it holds no rows; llama-bench may have failed before its first test")
    return tuple(rows)


def _row(where: str, fields: object) -> ForeignRow:
    if not isinstance(fields, dict):
        raise ForeignError(f"{where}: it is not an object with fields")
    row = ForeignRow(where, fields)
    missing = [name for name in ("model_filename", "n_prompt", "n_gen", "test_time") if fields.get(name) in (None, "")]
    if missing:
        raise ForeignError(f"{where}: it has no {' and no '.join(missing)}, so it is not llama-bench's")
    return row


def _shown(value: object) -> str:
    return shorten(one_line(repr(value)), 60)
