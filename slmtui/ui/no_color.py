"""NO_COLOR with the terminal's own colours: which of them is light or dark nobody knows, so that none is sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter, Monochrome

_PLAIN = RichColor.default()


class Plain(LineFilter):
    """Takes all colours away; what had a ground of its own, such as the highlighted row, is reversed instead."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments in the terminal's plain colours."""
        return [Segment(text, _plain(style) if style else style, control) for text, style, control in segments]


def without_colours(filters: Sequence[LineFilter]) -> list[LineFilter]:
    """The filters with `Plain` in the place of Textual's grey, which takes every colour without a value for black."""
    return [*(each for each in filters if not isinstance(each, Monochrome)), Plain()]


@lru_cache(1024)
def _plain(style: Style) -> Style:
    filled = style.bgcolor is not None and not style.bgcolor.is_default
    return style + Style(color=_PLAIN, bgcolor=_PLAIN, reverse=filled is not bool(style.reverse))
