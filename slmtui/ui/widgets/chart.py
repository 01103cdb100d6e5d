"""A small bar chart with whiskers, drawn line by line in the colours of the theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from slmtui.core.stats import Summary
from slmtui.core.text import one_line, rate, shorten

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_VALUE_CELLS = 8
_LABEL_CELLS = 44


class Bar(msgspec.Struct, frozen=True):
    """One bar: its label and what it stands for; None is a bar that was not measured."""

    label: str
    summary: Summary | None


class Chart(Widget):
    """A title and lines with labels; what stands beside a label is for the kinds of chart to draw."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--title", "chart--muted", "chart--bar", "chart--whisker"}
    DEFAULT_CSS = """
    Chart {
        height: auto;
        & > .chart--title { text-style: bold; }
        & > .chart--muted { color: $text-muted; }
        & > .chart--bar { color: $primary; }
        & > .chart--whisker { color: $foreground; }
    }
    """

    def __init__(self, title: str, remark: str, *, style: str = "") -> None:
        """`style` names a CSS class for the chart."""
        super().__init__(classes=style or None)
        self._title = title
        self.remark = remark
        """Muted words after the title."""

    @property
    def labels(self) -> list[str]:
        """One label a line, without line breaks."""
        raise NotImplementedError

    def heading(self, line: int) -> str | None:
        """The words of a line that is a heading and has neither label nor drawing."""
        return None

    def draw(self, line: int, cells: int) -> list[Segment]:
        """What stands beside the label of a line, in at most `cells` cells."""
        raise NotImplementedError

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A line for the title and one for each label."""
        return len(self.labels) + 1

    def render_line(self, y: int) -> Strip:
        """The title, then the lines."""
        width, labels = self.content_size.width, self.labels
        if y == 0:
            parts = [
                Segment(self._title, self.style("chart--title")),
                Segment(f"  {self.remark}", self.style("chart--muted")),
            ]
        elif y <= len(labels) and (heading := self.heading(y - 1)) is not None:
            parts = [Segment(shorten(heading, width), self.style("chart--title"))]
        elif y <= len(labels):
            cells = min(max(map(len, labels)), _LABEL_CELLS, max(8, width // 2))
            label = Segment(shorten(labels[y - 1], cells).ljust(cells) + " ", self.rich_style)
            parts = [label, *self.draw(y - 1, max(0, width - cells - 1))]
        else:
            parts = []
        return Strip(parts).adjust_cell_length(width, self.rich_style)

    def style(self, name: str) -> Style:
        """The theme's style for a part of the chart."""
        return self.get_component_rich_style(name)


class BarChart(Chart):
    """Medians as bars from zero, the quartiles as whiskers, one line a bar under a title."""

    bars: reactive[tuple[Bar, ...]] = reactive((), layout=True)

    def __init__(self, title: str, *, style: str = "") -> None:
        """`style` names a CSS class for the chart."""
        super().__init__(title, "median and quartiles", style=style)

    @property
    def labels(self) -> list[str]:
        """One label a line."""
        return [one_line(bar.label) for bar in self.bars]

    def draw(self, line: int, cells: int) -> list[Segment]:
        """The bar with its whiskers, and the median as a figure."""
        bar = self.bars[line]
        room = max(0, cells - _VALUE_CELLS - 1)
        top = max((each.summary.q3 for each in self.bars if each.summary), default=0.0)
        value = rate(bar.summary.median if bar.summary else None)
        plotted = [Segment(text, self._plot_style(kind)) for text, kind in plot(bar.summary, top, room)]
        return [*plotted, Segment(value.rjust(_VALUE_CELLS + 1), self.style("chart--title"))]

    def _plot_style(self, kind: str) -> Style:
        bar, ground = self.style("chart--bar"), self.rich_style
        match kind:
            case "bar":
                return bar
            case "inside":
                return Style(color=ground.bgcolor, bgcolor=bar.color)
            case "whisker":
                return self.style("chart--whisker")
            case _:
                return ground


def plot(summary: Summary | None, top: float, cells: int) -> list[tuple[str, str]]:
    """A bar of at most `cells` cells where `top` is the full length, as pairs of text and kind.

    Kinds: "bar" is the bar itself, "inside" a whisker on top of it, "whisker" one beside it, "" nothing.
    """
    if summary is None or top <= 0 or cells <= 0:
        return [(" " * max(0, cells), "")]
    length = summary.median / top * cells
    full, eighths = int(length), round(length % 1 * 8)
    texts = ["█" if cell < full else _EIGHTHS[eighths] if cell == full else " " for cell in range(cells)]
    kinds = ["bar" if cell < full + (eighths > 0) else "" for cell in range(cells)]
    for cell, sign in _whisker(summary, top, cells):
        texts[cell], kinds[cell] = sign, "inside" if cell < full else "whisker"
    return list(zip(texts, kinds, strict=True))


def _whisker(summary: Summary, top: float, cells: int) -> Sequence[tuple[int, str]]:
    """Cells and signs from the lower to the upper quartile; none where they fall into one cell."""
    first = max(0, math.floor(summary.q1 / top * cells))
    last = min(cells - 1, math.ceil(summary.q3 / top * cells) - 1)
    if last <= first:
        return ()
    return [(first, "├"), *((cell, "─") for cell in range(first + 1, last)), (last, "┤")]
