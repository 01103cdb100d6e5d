"""A chart of points and lines with two axes, drawn line by line in the colours of the theme."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from slmtui.core.text import one_line, shorten
from slmtui.ui.widgets.axes import Axis, Scale, drawable, scale_for
from slmtui.ui.widgets.canvas import NO_INK, Canvas

SIGNS = "●■▲◆○□△◇"
"""Marks of the series, so that nobody needs colours to tell them apart."""
INKS = 6
"""How many colours the series take in turn."""
_FAINT = INKS
_MARK_CELLS = 10
"""Cells between two marks of a line of many points."""
_LEGEND_LINES = 3
_LEGEND_CELLS = 46


class Point(msgspec.Struct, frozen=True):
    """One value with its spread; None, or what is not finite, is not drawn."""

    x: float | None
    y: float | None
    low: float | None = None
    high: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points under one name."""

    label: str
    points: tuple[Point, ...]
    number: int = 0
    """Which mark and colour it has; the same series keeps its number when others are hidden."""
    line: bool = True
    """Whether successive points are joined."""
    fitted: tuple[Point, ...] = ()
    """Points of a line that was fitted through the others."""

    @property
    def sign(self) -> str:
        """Its mark."""
        return SIGNS[self.number % len(SIGNS)]


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart shows."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    legend: bool = True
    """Whether it names its series itself; of two charts side by side neither does."""


class Drawing(Widget):
    """Lines of cells in the theme's colours, drawn once for each size and theme."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "plot--title",
        "plot--muted",
        "plot--grid",
        *(f"plot--{number}" for number in range(INKS)),
    }
    DEFAULT_CSS = """
    Drawing {
        & > .plot--title { text-style: bold; }
        & > .plot--muted { color: $text-muted; }
        & > .plot--grid { color: $border-blurred 60%; }
        & > .plot--0 { color: $primary; }
        & > .plot--1 { color: $accent; }
        & > .plot--2 { color: $secondary; }
        & > .plot--3 { color: $success; }
        & > .plot--4 { color: $foreground; }
        & > .plot--5 { color: $error; }
    }
    """

    def __init__(self, *, style: str = "") -> None:
        """`style` names a CSS class for the drawing."""
        super().__init__(classes=style or None)
        self._drawn: dict[tuple[int, int], list[Strip]] = {}

    def lines(self, width: int, height: int) -> list[Line]:
        """What to draw in so many cells."""
        raise NotImplementedError

    def forget(self) -> None:
        """Draw anew when it is asked for next."""
        self._drawn.clear()

    def notify_style_update(self) -> None:
        """Draw anew in the theme's colours."""
        super().notify_style_update()
        self.forget()

    def render_line(self, y: int) -> Strip:
        """One line of the drawing."""
        size = (self.content_size.width, self.content_size.height)
        if size not in self._drawn:
            self._drawn = {size: self._draw(*size)}
        lines = self._drawn[size]
        return lines[y] if y < len(lines) else Strip.blank(size[0], self.rich_style)

    def _draw(self, width: int, height: int) -> list[Strip]:
        known: dict[str | int, Style] = {"": self.rich_style, NO_INK: self.rich_style}
        known |= {kind: self.get_component_rich_style(f"plot--{kind}") for kind in ("muted", "title")}
        known |= {number: self.get_component_rich_style(f"plot--{number}") for number in range(INKS)}
        known[_FAINT] = self.get_component_rich_style("plot--grid")
        return [
            Strip([Segment(text, known[kind]) for text, kind in line]).adjust_cell_length(width, self.rich_style)
            for line in self.lines(width, height)
        ]


class PlotChart(Drawing):
    """Points, lines, axes with round ticks, and a legend where there is more than one series."""

    DEFAULT_CSS = "PlotChart { height: 1fr; min-height: 7; }"

    plot: reactive[Plot | None] = reactive(None)

    def watch_plot(self) -> None:
        """Draw anew."""
        self.forget()

    def lines(self, width: int, height: int) -> list[Line]:
        """The chart; nothing while there is no plot."""
        return drawing(self.plot, width, height) if self.plot else []


class Legend(Drawing):
    """The names of series that more than one chart shows."""

    DEFAULT_CSS = "Legend { height: auto; }"

    series: reactive[tuple[Series, ...]] = reactive((), layout=True)

    def watch_series(self) -> None:
        """Draw anew."""
        self.forget()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the names need."""
        return len(legend_lines(self.series, width))

    def lines(self, width: int, height: int) -> list[Line]:
        """Signs and names."""
        return legend_lines(self.series, width)


Line = list[tuple[str, str | int]]
"""Texts of one line with their kinds: "", "muted", "title", or the number of an ink."""


def drawing(plot: Plot, width: int, height: int) -> list[Line]:
    """The chart in at most `width` × `height` cells: title, canvas with its axes, legend; nothing without a value."""
    legend = legend_lines(plot.series, width) if plot.legend else []
    rows = height - 3 - len(legend)
    scales = _scales(plot, width, rows)
    if scales is None or rows < 1 or width < 12:
        return []
    across, up = scales
    labels = _by_line(up, rows)
    gutter = max(map(len, labels.values()))
    canvas = Canvas(width - gutter - 1, rows)
    for each in plot.series:
        _ink(canvas, each, across, up)
    for tick in up.ticks:
        canvas.rule(up.at(tick) or 0.0, _FAINT)
    return [
        _title(plot, width),
        *(_row(canvas, line, labels.get(line, ""), gutter) for line in range(rows)),
        *_feet(across, gutter, canvas.cells),
        *legend,
    ]


def _title(plot: Plot, width: int) -> Line:
    """What the two axes stand for, the upright one at the left."""
    up = shorten(f"↑ {plot.y.words}", width)
    across = f"{plot.x.words} →"
    room = width - len(up)
    return [(up, "title"), (across.rjust(room) if len(across) + 2 <= room else "", "muted")]


def _scales(plot: Plot, width: int, rows: int) -> tuple[Scale, Scale] | None:
    points = [
        point
        for each in plot.series
        for point in (*each.points, *each.fitted)
        if drawable(point.x, log=plot.x.log) and drawable(point.y, log=plot.y.log)
    ]
    across = scale_for((point.x for point in points), plot.x, max(2, width // 12))
    ends = (value for point in points for value in (point.y, point.low, point.high))
    up = scale_for(ends, plot.y, max(2, min(rows // 2 + 1, 4 + rows // 8)))
    return None if across is None or up is None else (across, up)


def _ink(canvas: Canvas, series: Series, across: Scale, up: Scale) -> None:
    ink = series.number % INKS
    ends = [
        (x, y) for each in series.fitted if (x := across.at(each.x)) is not None and (y := up.at(each.y)) is not None
    ]
    for begin, end in pairwise(ends):
        canvas.line(begin, end, ink)
    before: tuple[float, float] | None = None
    marks: list[tuple[float, float]] = []
    for point in series.points:
        x, y = across.at(point.x), up.at(point.y)
        if x is None or y is None:
            before = None  # a gap stays a gap
            continue
        low, high = up.at(point.low), up.at(point.high)
        if low is not None and high is not None:
            canvas.line((x, low), (x, high), ink)
        if series.line and before is not None:
            canvas.line(before, (x, y), ink)
        before = (x, y)
        marks.append(before)
    for x, y in _sparse(marks, canvas.cells, series.number):
        canvas.mark(x, y, series.sign, ink)


def _sparse(marks: Sequence[tuple[float, float]], cells: int, number: int) -> Sequence[tuple[float, float]]:
    """All marks of a few points; of a dense line only some, each series at other places."""
    if len(marks) * 3 <= cells:
        return marks
    gap = _MARK_CELLS / cells
    kept, due = [], number % 4 / 4 * gap
    for place in marks:
        if place[0] >= due:
            kept.append(place)
            due = place[0] + gap
    return kept


def _by_line(up: Scale, rows: int) -> dict[int, str]:
    """The words of the ticks of the upright axis, by line from above; one tick a line at most."""
    canvas = Canvas(1, rows)
    labels: dict[int, str] = {}
    for tick in up.ticks:
        labels.setdefault(canvas.cell(0.0, up.at(tick) or 0.0)[1], up.words(tick))
    return labels


def _row(canvas: Canvas, line: int, label: str, gutter: int) -> Line:
    return [(f"{label:>{gutter}}{'┤' if label else '│'}", "muted"), *canvas.runs(line)]


def _feet(across: Scale, gutter: int, cells: int) -> list[Line]:
    """The axis below: its line with ticks, and their words as far as they do not touch."""
    rule, words = ["─"] * cells, [" "] * (gutter + 1 + cells)
    canvas, free = Canvas(cells, 1), 0
    for tick in across.ticks:
        column, _ = canvas.cell(across.at(tick) or 0.0, 0.0)
        text = across.words(tick)
        begin = min(max(free, gutter + 1 + column - len(text) // 2), len(words) - len(text))
        if begin < free or abs(begin + len(text) // 2 - gutter - 1 - column) > 1 + len(text) // 2:
            continue
        rule[column] = "┬"
        words[begin : begin + len(text)] = text
        free = begin + len(text) + 2
    return [[(" " * gutter + "└" + "".join(rule), "muted")], [("".join(words), "muted")]]


def legend_lines(series: Sequence[Series], width: int) -> list[Line]:
    """Signs and labels, in at most three lines; how many more there are is said. A single series needs none."""
    if len(series) < 2:
        return []
    lines: list[Line] = [[]]
    used = 0
    for number, each in enumerate(series):
        label = shorten(one_line(each.label), min(_LEGEND_CELLS, width - 4))
        rest = len(series) - number
        keep = 14 if len(lines) == _LEGEND_LINES and rest > 1 else 0
        if used and used + len(label) + 5 > width - keep:
            if len(lines) == _LEGEND_LINES:
                more = f"   and {rest} more"
                lines[-1].append((more if used + len(more) <= width else "", "muted"))
                break
            lines.append([])
            used = 0
        lines[-1] += [("   " if used else "", ""), (f"{each.sign} ", each.number % INKS), (label, "")]
        used += len(label) + (5 if used else 2)
    return lines
