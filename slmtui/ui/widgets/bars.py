"""Thin bars made of text, for gauges that are one line high."""

from __future__ import annotations

from textual.content import Content

_FULL, _HALF_RIGHT, _HALF_LEFT = "━", "╸", "╺"


def bar(fraction: float, width: int, style: str = "$primary") -> Content:
    """A line of `width` cells, the first `fraction` (0 to 1) of it in `style`, in steps of half a cell."""
    if width <= 0:
        return Content("")
    halves = round(min(1.0, max(0.0, fraction)) * width * 2)
    full, half = divmod(halves, 2)
    rest = width - full - half
    return Content.assemble(
        (_FULL * full + (_HALF_RIGHT if half else ""), style),
        (
            _FULL * rest if half or not full or not rest else _HALF_LEFT + _FULL * (rest - 1),
            "$border-blurred",
        ),
    )
