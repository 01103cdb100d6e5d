"""Speed by model with its spread, and speed against the number of parameters."""

from __future__ import annotations

from collections.abc import Sequence

from slmtui.core.intervals import PowerLaw, power_law
from slmtui.core.text import count
from slmtui.ui.pages.entry import PHASES, Bars, Entry, Exhibit, Page, Phase, View, source_words
from slmtui.ui.pages.figures import MODEL, SETUP, TEST, median, names, number, quartiles, size, speed, summary_of
from slmtui.ui.widgets.axes import Axis
from slmtui.ui.widgets.chart import Bar
from slmtui.ui.widgets.fit_table import Figure, TableColumn
from slmtui.ui.widgets.plot_chart import Plot, Point, Series

NOTHING = "Nothing is measured yet. r runs the plan; every repetition appears here when it ends."
_FIT_POINTS = 2


def speeds(view: View) -> Exhibit:
    """Prefill and decode of each cell."""
    if not view.entries:
        return Exhibit(missing=NOTHING)
    charts = tuple(
        Bars(
            title=f"{phase.capitalize()}, tok/s",
            bars=tuple(Bar(entry.label, summary_of(entry, phase)) for entry in view.entries),
        )
        for phase in view.phases
    )
    rows = {
        f"{entry.number} {phase}": names(entry) | _spread(entry, phase)
        for entry in view.entries
        for phase in view.phases
        if summary_of(entry, phase) is not None
    }
    noisy = sum(entry.result.noisy for entry in view.entries)
    note = f"{noisy} of {len(view.entries)} cells are noisy: a measures them again." if noisy else ""
    return Exhibit(charts=charts, note=note, rows=rows)


def _spread(entry: Entry, phase: Phase) -> dict[str, Figure]:
    summary = summary_of(entry, phase)
    if summary is None:
        return {}
    return {
        "phase": Figure(phase, phase),
        "median": speed(summary.median),
        "quartiles": quartiles(entry, phase),
        "least": speed(None if entry.result.averaged else summary.minimum),
        "most": speed(None if entry.result.averaged else summary.maximum),
        "mean": speed(summary.mean),
        "sd": speed(summary.sd) if summary.n > 1 else speed(None),
        "n": number(summary.n),
    }


SPEED = Page(
    key="speed",
    title="Speed",
    help="Prefill and decode of each cell: median and quartiles.",
    build=speeds,
    columns=(
        MODEL,
        TEST,
        SETUP,
        TableColumn("phase", "phase", 7),
        TableColumn("median", "median", 7, right=True, unit="tok/s"),
        TableColumn("quartiles", "q1–q3", 13, rank=1, right=True),
        TableColumn("least", "lowest", 7, rank=3, right=True),
        TableColumn("most", "highest", 7, rank=3, right=True),
        TableColumn("mean", "mean", 7, rank=4, right=True),
        TableColumn("sd", "± sd", 7, rank=4, right=True),
        TableColumn("n", "n", 3, rank=1, right=True),
    ),
)


def against_size(view: View) -> Exhibit:
    """Speed against parameters on logarithmic axes, with a line through each test that has several sizes."""
    known = [entry for entry in view.entries if entry.result.measurements[0].facts.parameters]
    rows = {str(entry.number): names(entry) | _sized(entry) for entry in known}
    if not view.entries:
        return Exhibit(missing=NOTHING)
    if not known:
        return Exhibit(missing="None of these files says how many parameters its model has.")
    if len({parameters(entry) for entry in known}) < _FIT_POINTS:
        words = count(parameters(known[0]))
        missing = f"All cells have one size, {words} parameters. Mark models of other sizes to see how speed falls."
        return Exhibit(missing=missing, rows=rows)
    series: list[Series] = []
    notes: list[str] = []
    tests = _tests(known)
    for test, entries in tests.items():
        for phase in view.phases:
            points = _points(entries, phase)
            number_of = len(series)
            fit = power_law([each.x or 0.0 for each in points], [each.y or 0.0 for each in points])
            power = f" ∝ n^{_signed(fit.slope)}" if fit else ""
            name = " · ".join(filter(None, (phase, test)))
            ends = _line(fit, points) if fit else ()
            series.append(Series(label=f"{name}{power}", points=points, number=number_of, line=False, fitted=ends))
            if fit is not None:
                notes.append(f"{phase} {slope_words(fit)}")
    plot = Plot(
        x=Axis(label="parameters", log=True),
        y=Axis(label="speed", unit="tok/s", log=True),
        series=tuple(series),
    )
    note = (
        "\n".join(notes) if len(tests) == 1 else "∝ n^x: speed goes with the parameters to the power x. v picks tests."
    )
    return Exhibit(charts=(plot,), note=note, rows=rows)


def slope_words(fit: PowerLaw) -> str:
    """A fitted power law in words: the exponent, how sure it is, and what twice the parameters do to the speed."""
    sure = "two points only"
    if fit.slope_low is not None and fit.slope_high is not None:
        sure = f"95 % from {_signed(fit.slope_low)} to {_signed(fit.slope_high)}"
    return f"∝ parameters^{_signed(fit.slope)} ({sure}): twice as many, {2**fit.slope:.2f} × the speed"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def parameters(entry: Entry) -> int:
    """Number of the model's weights; 0 where the file does not say."""
    return entry.result.measurements[0].facts.parameters or 0


def _tests(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Cells that differ in the model only, under what they share where there are several such groups."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        foreign = source_words(entry.result.source)
        groups.setdefault(" · ".join(filter(None, (entry.test, foreign))), []).append(entry)
    return groups


def _points(entries: Sequence[Entry], phase: Phase) -> tuple[Point, ...]:
    found = []
    for entry in sorted(entries, key=parameters):
        summary = summary_of(entry, phase)
        if summary is not None:
            found.append(Point(float(parameters(entry)), summary.median, summary.q1, summary.q3))
    return tuple(found)


def _line(fit: PowerLaw, points: Sequence[Point]) -> tuple[Point, ...]:
    ends = [point.x for point in points if point.x is not None]
    return tuple(Point(x, fit.at(x)) for x in (min(ends), max(ends)))


def _sized(entry: Entry) -> dict[str, Figure]:
    facts = entry.result.measurements[0].facts
    return {
        "parameters": Figure(count(facts.parameters), facts.parameters),
        "weights": size(facts.weights_bytes),
        "prefill": median(entry.result.prefill_tps),
        "decode": median(entry.result.decode_tps),
    }


SIZE = Page(
    key="size",
    title="Size",
    help="Speed against the number of parameters, with a fitted line.",
    build=against_size,
    columns=(
        MODEL,
        TEST,
        SETUP,
        TableColumn("parameters", "params", 7, right=True),
        TableColumn("weights", "weights", 8, rank=1, right=True),
        *(TableColumn(phase, phase, 7, right=True, unit="tok/s") for phase in PHASES),
    ),
    sort="parameters",
)
