from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from slmtui.core.events import ProcessMemory
from slmtui.core.live import Live
from slmtui.core.stats import Summary, summarize
from slmtui.ui.widgets.chart import Bar, BarChart, plot
from slmtui.ui.widgets.gauges import Gauge, Gauges
from slmtui.ui.widgets.memory_chart import Charge, EngineKind, MemoryChart, MemoryUse
from tests.ui.steps import steered

MIB = 1024**2


def summary(*values: float) -> Summary:
    found = summarize(values)
    assert found is not None
    return found


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield BarChart("Decode, tok/s")
        yield MemoryChart()
        yield Gauges()


def lines(widget: BarChart | MemoryChart) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.size.height)]


@pytest.mark.parametrize("cells", [0, 1, 8, 40])
@pytest.mark.parametrize("values", [(10.0,), (8.0, 10.0, 12.0), (0.1, 10.0, 19.0)])
def test_a_plot_is_as_wide_as_its_room(cells: int, values: tuple[float, ...]) -> None:
    drawn = plot(summary(*values), summary(*values).q3, cells)
    assert sum(len(text) for text, _ in drawn) == cells


def test_the_bar_ends_at_the_median() -> None:
    drawn = plot(summary(10.0), 20.0, 40)
    assert "".join(text for text, _ in drawn) == "█" * 20 + " " * 20


def test_whiskers_reach_from_quartile_to_quartile() -> None:
    found = Summary(n=4, median=10, q1=5, q3=20, mean=10, sd=1, minimum=1, maximum=30)
    drawn = plot(found, 20.0, 40)
    text = "".join(text for text, _ in drawn)
    assert (text.index("├"), text.index("┤")) == (10, 39)
    assert drawn[10][1] == "inside"
    assert drawn[39][1] == "whisker"


def test_what_was_not_measured_has_no_bar() -> None:
    assert plot(None, 10.0, 5) == [("     ", "")]


async def test_the_chart_has_a_line_for_each_bar_and_follows_the_theme() -> None:
    app = Host()
    async with steered(app, (60, 20)) as pilot:
        chart = app.query_one(BarChart)
        chart.bars = (
            Bar("Pocket 5M", summary(100.0)),
            Bar("A very long name of a model file", summary(50.0)),
            Bar("x", None),
        )
        await pilot.pause()
        text = lines(chart)
        assert [len(line) for line in text] == [60] * 4
        assert text[0].startswith("Decode, tok/s")
        assert text[1].count("█") == pytest.approx(2 * text[2].count("█"), abs=1)
        assert text[1].rstrip().endswith("100")
        assert "…" in text[2]
        assert text[3].rstrip().endswith("—")
        before = {segment.style.color for segment in chart.render_line(1) if segment.style and "█" in segment.text}
        app.theme = "textual-light"
        await pilot.pause()
        after = {segment.style.color for segment in chart.render_line(1) if segment.style and "█" in segment.text}
        assert before != after


def use(label: str, weights: int, cache: int | None, compute: int, *charges: Charge) -> MemoryUse:
    engine: tuple[tuple[EngineKind, int | None], ...]
    engine = (("weights", weights), ("KV cache", cache), ("state", None), ("compute", compute), ("output", None))
    return MemoryUse(label=label, engine=engine, process=charges)


async def test_memory_is_drawn_to_scale() -> None:
    app = Host()
    async with steered(app, (120, 20)) as pilot:
        chart = app.query_one(MemoryChart)
        chart.uses = (
            use("one", 60 * MIB, 20 * MIB, 20 * MIB, Charge("PSS", 50 * MIB, 100 * MIB), Charge("RSS", 80 * MIB, None)),
            use("two", 30 * MIB, None, 20 * MIB),
        )
        await pilot.pause()
        title, one, engine, pss, rss, two, small = lines(chart)
        assert title.rstrip() == "Memory  █ weights  ▓ KV cache  ░ compute  ━ now  ┄ peak"
        assert (one.rstrip(), two.rstrip()) == ("one", "two")
        assert engine.rstrip().endswith("100 MiB  weights 60 MiB + KV cache 20 MiB + compute 20 MiB")
        assert small.rstrip().endswith("50 MiB  weights 30 MiB + compute 20 MiB")
        assert engine.count("█") == pytest.approx(2 * small.count("█"), abs=1)
        assert engine.count("▓") == pytest.approx(engine.count("░"), abs=1)
        assert "▓" not in small
        assert pss.count("━") == pytest.approx(pss.count("┄"), abs=1)
        assert pss.count("━") + pss.count("┄") == engine.count("█") + engine.count("▓") + engine.count("░")
        assert pss.rstrip().endswith("50 MiB  peak 100 MiB")
        assert rss.rstrip().endswith("80 MiB")


@pytest.mark.parametrize("width", [30, 76, 200])
async def test_memory_fits_any_width(width: int) -> None:
    app = Host()
    async with steered(app, (width, 20)) as pilot:
        chart = app.query_one(MemoryChart)
        chart.uses = (use("a" * 300, 60 * MIB, 20 * MIB, 20 * MIB, Charge("PSS", None, None)),)
        await pilot.pause()
        assert [len(line) for line in lines(chart)] == [width] * 4


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_gauges_fit_their_width(width: int) -> None:
    app = Host()
    async with steered(app, (width, 20)) as pilot:
        gauges = app.query_one(Gauges)
        gauges.rows = (
            Gauge(name="Pocket 5M Q4_K_M", state="measuring", words="repetition 10 of 10", live=Live(), running=True),
            Gauge(name="a" * 80, state="failed", words="failed"),
        )
        await pilot.pause()
        text = str(gauges.render()).split("\n")
        assert len(text) == 3
        assert len({len(line) for line in text}) == 1
        assert len(text[0]) <= width
        video = Live(memory=ProcessMemory(pss_bytes=60 * MIB, gpu_bytes=1200 * MIB))
        gauges.rows = (*gauges.rows, Gauge(name="b", live=video))
        await pilot.pause()
        text = str(gauges.render()).split("\n")
        assert ("1.17 GiB" in text[-1]) == (width >= 76)
        assert len({len(line) for line in text}) == 1
        assert len(text[0]) <= width
