"""Speeds of a model in words: what was measured here, what is expected, and how far the two are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slmtui.core.text import NOT_MEASURED, rate

if TYPE_CHECKING:
    from slmtui.core.estimate import Range


def range_words(expected: Range) -> str:
    """The interval of an estimate: 48–60."""
    low, high = rate(expected.low, 2), rate(expected.high, 2)
    return low if low == high else f"{low}–{high}"


def likely_words(expected: Range) -> str:
    """The likeliest figure of an estimate: ~54."""
    return f"~{rate(expected.likely, 2)}"


def error_words(measured: float | None, expected: float | None) -> str:
    """How much more or less was measured than expected, in percent."""
    if measured is None or not expected:
        return NOT_MEASURED
    return f"{measured / expected - 1:+.0%}".replace("-", "−").replace("%", " %")
