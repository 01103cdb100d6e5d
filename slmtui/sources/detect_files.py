"""Small readers for /proc and /sys: a file that is missing or odd is None, never an exception."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The file without surrounding blanks and NUL bytes; None where it is missing, unreadable or empty."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    return text.strip(" \t\r\n\0") or None


def read_int(path: Path) -> int | None:
    """The file as a decimal number; None where it isn't one ("max", missing, …)."""
    return as_int(read_text(path))


def as_int(text: str | None) -> int | None:
    """Text as a decimal number; None where it isn't one."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def cpu_numbers(ranges: str | None) -> frozenset[int]:
    """The CPU numbers in the kernel's list format: "0-3,8" is 0, 1, 2, 3 and 8; odd parts are skipped."""
    numbers: set[int] = set()
    for part in (ranges or "").split(","):
        first, _, last = part.strip().partition("-")
        low, high = as_int(first), as_int(last or first)
        if low is not None and high is not None and high - low < 65536:
            numbers.update(range(low, high + 1))
    return frozenset(numbers)


def first_line_with(text: str, start: str) -> str | None:
    """What follows `start` on the first line that begins with it, without blanks."""
    for line in text.splitlines():
        if line.startswith(start):
            return line[len(start) :].strip()
    return None
