"""Speed along the clock with the processor's temperature, and the time between the tokens of one answer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import datetime

from slmtui.core.measurement import Measurement
from slmtui.core.stats import quantile
from slmtui.core.text import rate
from slmtui.ui.pages.entry import Entry, Exhibit, Page, View
from slmtui.ui.pages.figures import MODEL, SETUP, TEST, celsius, milliseconds, names, number, speed
from slmtui.ui.pages.speed import NOTHING
from slmtui.ui.widgets.axes import Axis
from slmtui.ui.widgets.fit_table import Figure, TableColumn
from slmtui.ui.widgets.plot_chart import Plot, Point, Series

_FEWEST = 2
_MINUTES_FROM_S = 300.0


def began_s(measurement: Measurement) -> float:
    """When a repetition began, in seconds of the calendar's clock; it is stamped when it ends."""
    try:
        ended = datetime.fromisoformat(measurement.measured_at).timestamp()
    except ValueError:
        return 0.0
    return ended - (measurement.wall_s or 0.0)


def along(view: View) -> Exhibit:
    """Decode speed of each repetition where it stands on the clock; temperature beside it."""
    ours = [entry for entry in view.entries if not entry.result.source]
    every = [each for entry in ours for each in entry.result.measurements]
    if not view.entries:
        return Exhibit(missing=NOTHING)
    if not every:
        return Exhibit(missing="Nothing of this was measured here, so it has no place on this machine's clock.")
    begin = min(map(began_s, every))
    rows: dict[str, dict[str, Figure]] = {}
    for entry in ours:
        for place, each in enumerate(entry.result.measurements):
            rows[f"{entry.number} {place}"] = names(entry) | _repetition(len(rows), each, began_s(each) - begin)
    if len(every) < _FEWEST:
        return Exhibit(missing="There is one repetition so far; speed in time needs two.", rows=rows)
    span = max(map(began_s, every)) - begin
    unit, scale = ("min", 60.0) if span >= _MINUTES_FROM_S else ("s", 1.0)
    phase = view.phases[-1]
    series = tuple(
        Series(
            label=entry.label,
            number=entry.number,
            points=tuple(
                Point(
                    (began_s(each) - begin) / scale,
                    each.timing.decode_tps if phase == "decode" else each.timing.prefill_tps,
                )
                for each in entry.result.measurements
            ),
        )
        for entry in ours
    )
    clock = Axis(label="since the first repetition", unit=unit, tight=True)
    heat = _heat(every, begin, scale)
    speeds = Plot(x=clock, y=Axis(label=phase, unit="tok/s", from_zero=True), series=series, legend=not heat)
    if not heat:
        return Exhibit(charts=(speeds,), note="No temperature can be read on this machine.", rows=rows)
    warmth = Plot(
        x=clock,
        y=Axis(label="processor", unit="°C"),
        series=(Series(label="temperature", points=heat, number=3),),
        legend=False,
    )
    return Exhibit(charts=(speeds, warmth), rows=rows)


def _heat(every: Sequence[Measurement], begin: float, scale: float) -> tuple[Point, ...]:
    found = []
    for each in every:
        at = began_s(each) - begin
        if each.temperature_c is not None:
            found.append((at / scale, each.temperature_c))
        if each.temperature_after_c is not None:
            found.append(((at + (each.wall_s or 0.0)) / scale, each.temperature_after_c))
    return tuple(Point(*pair) for pair in sorted(found))


def _repetition(place: int, each: Measurement, at_s: float) -> dict[str, Figure]:
    return {
        "order": Figure("", place),
        "repetition": number(each.repetition + 1),
        "at": Figure(f"{at_s:,.1f} s", at_s),
        "prefill": speed(each.timing.prefill_tps),
        "decode": speed(each.timing.decode_tps),
        "before": celsius(each.temperature_c),
        "after": celsius(each.temperature_after_c),
        "load": Figure(rate(each.load_average), each.load_average),
    }


CLOCK = Page(
    key="clock",
    title="Clock",
    help="Speed of each repetition along the clock, with the temperature: throttling shows here.",
    build=along,
    columns=(
        MODEL,
        TEST,
        SETUP,
        TableColumn("repetition", "#", 3, right=True),
        TableColumn("at", "at", 9, right=True),
        TableColumn("prefill", "prefill", 7, rank=1, right=True, unit="tok/s"),
        TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
        TableColumn("before", "before", 6, rank=3, right=True),
        TableColumn("after", "after", 6, rank=3, right=True),
        TableColumn("load", "load", 6, rank=4, right=True),
    ),
)


def between_tokens(view: View) -> Exhibit:
    """The time before each token, the median over the repetitions of a cell."""
    curves = [(entry, steps) for entry in view.entries if (steps := latencies(entry))]
    if not view.entries:
        return Exhibit(missing=NOTHING)
    if not curves:
        return Exhibit(missing="No token has its own time: these cells decode fewer than two tokens.")
    series = tuple(
        Series(
            label=entry.label,
            number=entry.number,
            points=tuple(Point(float(place), step * 1000) for place, step in enumerate(steps, 2)),
        )
        for entry, steps in curves
    )
    rows: dict[str, dict[str, Figure]] = {}
    for entry, _ in curves:
        for each in entry.result.measurements:
            if each.timing.itl_s:
                rows[f"{entry.number} {each.id}"] = names(entry) | _steps(len(rows), each)
    plot = Plot(
        x=Axis(label="token", tight=True),
        y=Axis(label="time since the token before", unit="ms", from_zero=True),
        series=series,
    )
    return Exhibit(charts=(plot,), note="Each point is the median over the repetitions of its cell.", rows=rows)


def latencies(entry: Entry) -> list[float]:
    """Seconds before the second, third … token: the median over those repetitions that came so far."""
    runs = [steps for each in entry.result.measurements if (steps := each.timing.itl_s)]
    longest = max(map(len, runs), default=0)
    return [statistics.median(run[place] for run in runs if place < len(run)) for place in range(longest)]


def _steps(place: int, each: Measurement) -> dict[str, Figure]:
    steps = [step for step in each.timing.itl_s if math.isfinite(step)]
    slowest = max(steps, default=None)
    return {
        "order": Figure("", place),
        "repetition": number(each.repetition + 1),
        "n": number(len(steps) + 1),
        "p50": milliseconds(quantile(steps, 0.50) if steps else None),
        "p95": milliseconds(quantile(steps, 0.95) if steps else None),
        "max": milliseconds(slowest),
        "where": number(steps.index(slowest) + 2 if slowest is not None else None),
    }


TOKENS = Page(
    key="tokens",
    title="Tokens",
    help="Inter-token latency: the time before each token of a repetition.",
    build=between_tokens,
    columns=(
        MODEL,
        TEST,
        SETUP,
        TableColumn("repetition", "#", 3, right=True),
        TableColumn("n", "tokens", 6, rank=3, right=True),
        TableColumn("p50", "median", 8, right=True, unit="ms"),
        TableColumn("p95", "p95", 8, right=True, unit="ms"),
        TableColumn("max", "slowest", 8, right=True, unit="ms"),
        TableColumn("where", "at token", 8, rank=2, right=True),
    ),
)
