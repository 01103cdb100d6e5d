from __future__ import annotations

import math

import pytest
from textual.app import App, ComposeResult

from slmtui.ui.widgets.axes import Axis, Scale, scale_for, tick_words
from slmtui.ui.widgets.canvas import Canvas
from slmtui.ui.widgets.plot_chart import SIGNS, Legend, Line, Plot, PlotChart, Point, Series, drawing, legend_lines
from tests.ui.steps import steered

SPEED = Axis(label="decode", unit="tok/s", from_zero=True)
DEPTH = Axis(label="depth", unit="tokens", from_zero=True)


def texts(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def one(*points: tuple[float | None, float | None], x: Axis = DEPTH, y: Axis = SPEED, line: bool = True) -> Plot:
    series = Series(label="one", points=tuple(Point(*point) for point in points), line=line)
    return Plot(x=x, y=y, series=(series,))


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield PlotChart()
        yield Legend()


@pytest.mark.parametrize(
    ("values", "axis", "expected"),
    [
        ((0.0, 100.0), Axis(label=""), (0, 25, 50, 75, 100)),
        ((3.0, 97.0), Axis(label=""), (0, 25, 50, 75, 100)),
        ((37.0, 97.0), Axis(label="", from_zero=True), (0, 25, 50, 75, 100)),
        ((-3.0, 4.0), Axis(label="", from_zero=True), (-4, -2, 0, 2, 4)),
        ((500.0,), Axis(label=""), (200, 400, 600, 800)),
        ((0.0,), Axis(label=""), (-0.5, -0.25, 0.0, 0.25, 0.5)),
        ((2e6, 5e6, 1.2e9), Axis(label="", log=True), (1e7, 1e8, 1e9)),
        ((1.0, 8.0), Axis(label="", log=True), (1, 2, 5)),
        ((1.0, 2.0, 8.0), Axis(label="", marks=(1.0, 2.0, 8.0)), (1, 2, 8)),
    ],
)
def test_ticks_stand_at_round_values(values: tuple[float, ...], axis: Axis, expected: tuple[float, ...]) -> None:
    found = scale_for(values, axis, 5)
    assert found is not None
    assert found.ticks == pytest.approx(expected)
    assert all(found.at(value) is not None for value in values)


def test_a_scale_ignores_what_has_no_place_on_it() -> None:
    values = (None, math.nan, math.inf, -math.inf, 0.0, 10.0, 1000.0)
    found = scale_for(values, Axis(label="", log=True), 5)
    assert found is not None
    assert [found.at(value) is None for value in values] == [True] * 5 + [False] * 2
    assert scale_for((None, math.nan, 0.0, -1.0), Axis(label="", log=True), 5) is None
    assert scale_for((), Axis(label=""), 5) is None


def test_equal_factors_are_equal_distances_on_a_logarithmic_axis() -> None:
    found = Scale(low=1.0, high=10_000.0, log=True)
    assert [found.at(value) for value in (1.0, 10.0, 100.0, 1000.0, 10_000.0)] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("value", "ticks", "words"),
    [
        (0.0, (0.0, 0.5, 1.0), "0.0"),
        (0.25, (0.0, 0.25, 0.5), "0.25"),
        (4000.0, (0.0, 2000.0, 4000.0), "4,000"),
        (20_000.0, (), "20k"),
        (5_246_208.0, (), "5.246M"),
        (1e9, (), "1B"),
        (0.001, (), "0.001"),
    ],
)
def test_ticks_are_short_words(value: float, ticks: tuple[float, ...], words: str) -> None:
    assert tick_words(value, ticks) == words


def test_the_canvas_puts_corners_into_corners() -> None:
    canvas = Canvas(10, 5)
    assert [canvas.cell(x, y) for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))] == [(0, 4), (9, 4), (0, 0), (9, 0)]
    canvas.line((0, 0), (1, 0), 1)
    canvas.mark(0, 1, "●", 2)
    assert canvas.runs(0) == [("●", 2), (" " * 9, -1)]
    assert canvas.runs(4) == [("⣀" * 10, 1)]


def test_points_stand_where_their_values_say() -> None:
    text = texts(drawing(one((0, 0), (50, 50), (100, 100), line=False), 47, 14))
    assert text[0] == "↑ decode, tok/s                 depth, tokens →"
    canvas = text[1:12]
    rows = {line: row.index("●") for line, row in enumerate(canvas) if "●" in row}
    gutter = len("100") + 1
    assert rows == {10: gutter, 5: gutter + (47 - gutter) // 2, 0: 46}
    assert canvas[0].startswith("100┤")
    assert canvas[5].startswith(" 50┤")
    assert canvas[10].startswith("  0┤")
    assert text[12].startswith("   └┬")
    assert text[13].split() == ["0", "50", "100"]


def test_lines_join_points_and_a_gap_stays_a_gap() -> None:
    joined = "".join(texts(drawing(one((0, 50), (100, 50)), 60, 12)))
    apart = "".join(texts(drawing(one((0, 50), (50, None), (100, 50)), 60, 12)))
    braille = [chr(code) for code in range(0x2801, 0x2900)]
    assert any(sign in joined for sign in braille)
    assert not any(sign in apart for sign in braille)
    assert apart.count("●") == 2


def test_the_spread_is_a_line_through_the_point() -> None:
    plot = Plot(x=DEPTH, y=SPEED, series=(Series(label="one", points=(Point(50, 50, 0, 100),)),))
    column = [row[47] for row in texts(drawing(plot, 56, 14))[1:12]]
    drawn = [place for place, sign in enumerate(column) if sign not in " ┈"]
    assert len(drawn) == 11


@pytest.mark.parametrize(
    "points",
    [
        ((math.nan, 1.0), (1.0, math.nan)),
        ((None, None),),
        (),
        ((math.inf, 5.0), (5.0, -math.inf)),
    ],
)
def test_without_a_value_there_are_no_axes(points: tuple[tuple[float | None, float | None], ...]) -> None:
    assert drawing(one(*points), 60, 12) == []


@pytest.mark.parametrize("axis", [SPEED, Axis(label="y", log=True), Axis(label="y")])
def test_one_point_is_drawn_in_the_middle_of_its_axes(axis: Axis) -> None:
    text = texts(drawing(one((5, 500), y=axis), 60, 12))
    assert sum(row.count("●") for row in text) == 1
    assert len(text) == 12


@pytest.mark.parametrize("width", [12, 20, 38, 76, 200])
@pytest.mark.parametrize("height", [4, 7, 11, 45])
def test_it_is_never_larger_than_its_room(width: int, height: int) -> None:
    series = tuple(
        Series(label=f"Pocket {n}", number=n, points=tuple(Point(x, 10.0**n + x) for x in range(100))) for n in range(9)
    )
    plot = Plot(x=DEPTH, y=Axis(label="decode", unit="tok/s", log=True), series=series)
    text = texts(drawing(plot, width, height))
    assert len(text) <= height
    assert all(len(row) <= width for row in text)


def test_words_below_the_axis_do_not_touch() -> None:
    axis = Axis(label="threads", marks=(1.0, 2.0, 3.0, 4.0, 128.0))
    feet = texts(drawing(one((1, 1), (2, 2), (3, 3), (4, 4), (128, 5), x=axis), 40, 10))[-1]
    assert feet.split()[0] == "1"
    assert feet.split()[-1] == "128"
    assert len(feet.split()) < 5


def test_series_are_told_apart_by_their_marks_and_colours() -> None:
    series = tuple(Series(label=f"s{n}", number=n, points=(Point(n, n),)) for n in range(8))
    drawn = drawing(Plot(x=DEPTH, y=SPEED, series=series), 76, 16)
    body = "".join(texts(drawn[:-2]))
    assert all(sign in body for sign in SIGNS)
    assert texts(drawn)[-1].split() == [part for n in range(8) for part in (SIGNS[n], f"s{n}")]
    inks = {text: kind for line in drawn for text, kind in line if text.strip() and text.strip() in SIGNS}
    assert len(set(inks.values())) == 6


def test_a_dense_line_has_few_marks_at_other_places_for_each_series() -> None:
    def dense(number: int) -> Series:
        return Series(label=str(number), number=number, points=tuple(Point(x, 1.0 + number) for x in range(200)))

    text = texts(drawing(Plot(x=DEPTH, y=SPEED, series=(dense(0), dense(1))), 76, 12))
    marks = {sign: next(row.index(sign) for row in text[1:9] if sign in row) for sign in SIGNS[:2]}
    assert sum(row.count("●") for row in text[1:9]) == 8
    assert marks["●"] != marks["■"]


def test_the_legend_says_how_many_more_there_are() -> None:
    series = tuple(Series(label=f"Pocket number {n}", points=()) for n in range(20))
    lines = texts(legend_lines(series, 40))
    assert len(lines) == 3
    assert all(len(line) <= 40 for line in lines)
    assert lines[-1].endswith("more")
    assert legend_lines(series[:1], 40) == []


async def test_the_chart_is_drawn_once_and_follows_theme_size_and_plot() -> None:
    app = Host()
    async with steered(app, (60, 20)) as pilot:
        chart = app.query_one(PlotChart)
        assert chart.render_line(0).text.strip() == ""
        chart.plot = one((0, 10), (10, 20))
        app.query_one(Legend).series = (Series(label="a", points=()), Series(label="b", points=(), number=1))
        await pilot.pause()
        before = chart.render_line(0)
        assert chart.render_line(0) is before
        assert before.text.startswith("↑ decode")
        assert app.query_one(Legend).render_line(0).text.startswith("● a   ■ b")
        line = next(y for y in range(20) if "●" in chart.render_line(y).text)
        colours = {each.style.color for each in chart.render_line(line) if each.style and "●" in each.text}
        app.theme = "textual-light"
        await pilot.pause()
        after = {each.style.color for each in chart.render_line(line) if each.style and "●" in each.text}
        assert colours != after
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert chart.render_line(0).cell_length == 100
        chart.plot = one((0, None))
        await pilot.pause()
        assert chart.render_line(0).text.strip() == ""
