"""Speed against depth and against threads: what a sweep shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from slmtui.core.measurement import Settings
from slmtui.core.plan import Setup, setup_words
from slmtui.ui.pages.entry import PHASES, Entry, Exhibit, Page, Phase, View
from slmtui.ui.pages.figures import MODEL, SETUP, TEST, median, names, number, quartiles, summary_of
from slmtui.ui.pages.speed import NOTHING
from slmtui.ui.widgets.axes import Axis
from slmtui.ui.widgets.fit_table import TableColumn
from slmtui.ui.widgets.plot_chart import Plot, Point, Series

_FEWEST = 2


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that a sweep changes while all else stays."""

    name: str
    unit: str
    of: Callable[[Entry, Phase], int | None]
    lacking: str
    """What to do where all cells have one value; `{}` is that value."""
    unknown: str


def _depth(entry: Entry, phase: Phase) -> int | None:
    return entry.result.depth


def _threads(entry: Entry, phase: Phase) -> int | None:
    settings = entry.settings
    return (settings.threads_batch or settings.threads) if phase == "prefill" else settings.threads


_BY_DEPTH = Sweep(
    name="depth",
    unit="tokens",
    of=_depth,
    lacking="All cells were measured at depth {}. A sweep, or a plan (f8) with several depths, fills this chart.",
    unknown="Nobody says at what depth these cells were measured.",
)
_BY_THREADS = Sweep(
    name="threads",
    unit="",
    of=_threads,
    lacking="All cells ran on {} threads. A sweep, or a plan (f8) with several numbers, fills this chart.",
    unknown="Nobody says on how many threads these cells ran.",
)


def against_depth(view: View) -> Exhibit:
    """Speed against the tokens that are in the context already."""
    return _against(view, _BY_DEPTH)


def against_threads(view: View) -> Exhibit:
    """Speed against the number of threads."""
    return _against(view, _BY_THREADS)


def _against(view: View, sweep: Sweep) -> Exhibit:
    if not view.entries:
        return Exhibit(missing=NOTHING)
    values = {value for entry in view.entries for phase in view.phases if (value := sweep.of(entry, phase)) is not None}
    rows = {
        str(entry.number): names(entry)
        | {sweep.name: number(sweep.of(entry, view.phases[-1]))}
        | {phase: median(summary_of(entry, phase)) for phase in PHASES}
        | {f"{phase} quartiles": quartiles(entry, phase) for phase in PHASES}
        for entry in view.entries
    }
    if not values:
        return Exhibit(missing=sweep.unknown, rows=rows)
    if len(values) < _FEWEST:
        return Exhibit(missing=sweep.lacking.format(f"{values.pop():,}"), rows=rows)
    groups = lines_of(view.entries, sweep)
    several = len(view.phases) > 1
    axis = Axis(label=sweep.name, unit=sweep.unit, from_zero=True, tight=True, marks=tuple(map(float, sorted(values))))
    charts = tuple(
        Plot(
            x=axis,
            y=Axis(label=phase, unit="tok/s", from_zero=True),
            series=tuple(
                Series(label=label, points=_points(entries, sweep, phase), number=place)
                for place, (label, entries) in enumerate(groups)
            ),
            legend=not several,
        )
        for phase in view.phases
    )
    return Exhibit(charts=charts, rows=rows)


def lines_of(entries: Sequence[Entry], sweep: Sweep) -> list[tuple[str, list[Entry]]]:
    """Cells that are alike but for the setting, with at least two values of it, under what they share."""
    groups: dict[object, list[Entry]] = {}
    for entry in entries:
        result = entry.result
        shape = (result.prompt_tokens, result.decode_steps, None if sweep.name == "depth" else result.depth)
        key = (result.model, result.source, result.together, shape, _alike(entry, sweep))
        groups.setdefault(key, []).append(entry)
    found = [group for group in groups.values() if len({sweep.of(each, "decode") for each in group}) >= _FEWEST]
    setups = [_setup_words(group[0], sweep) for group in found]
    shapes = [_shape(group[0], sweep) for group in found]
    models = [group[0].model for group in found]
    parts = [each if len(set(each)) > 1 else [""] * len(found) for each in (models, shapes, setups)]
    labels = [" · ".join(filter(None, words)) for words in zip(*parts, strict=True)]
    return [(label or group[0].model, group) for label, group in zip(labels, found, strict=True)]


def _alike(entry: Entry, sweep: Sweep) -> Setup | Settings:
    """The setup but for what the sweep changes; of rows without a plan also but for what follows from the depth."""
    if entry.planned is not None:
        return _leveled(entry.planned) if sweep.name == "threads" else entry.planned
    settings = msgspec.structs.replace(entry.settings, context=None, batch=None, micro_batch=None)
    if sweep.name == "threads":
        settings = msgspec.structs.replace(settings, threads=None, threads_batch=None)
    return settings


def _setup_words(entry: Entry, sweep: Sweep) -> str:
    match _alike(entry, sweep):
        case Setup() as setup:
            return " · ".join(setup_words(setup))
        case _:
            return entry.setup if sweep.name == "depth" else ""


def _leveled(setup: Setup) -> Setup:
    return msgspec.structs.replace(setup, threads=None, threads_batch=None)


def _shape(entry: Entry, sweep: Sweep) -> str:
    result = entry.result
    return result.shape.partition(" @")[0] if sweep.name == "depth" else result.shape


def _points(entries: Sequence[Entry], sweep: Sweep, phase: Phase) -> tuple[Point, ...]:
    found = []
    for entry in entries:
        value, summary = sweep.of(entry, phase), summary_of(entry, phase)
        if value is not None and summary is not None:
            found.append(Point(float(value), summary.median, summary.q1, summary.q3))
    return tuple(sorted(found, key=lambda point: point.x or 0.0))


def _columns(name: str, label: str) -> tuple[TableColumn, ...]:
    return (
        MODEL,
        TEST,
        SETUP,
        TableColumn(name, label, 7, right=True),
        TableColumn("prefill", "prefill", 7, right=True, unit="tok/s"),
        TableColumn("prefill quartiles", "q1–q3", 13, rank=3, right=True),
        TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
        TableColumn("decode quartiles", "q1–q3", 13, rank=3, right=True),
    )


DEPTH = Page(
    key="depth",
    title="Depth",
    help="Speed against the tokens that are in the context already.",
    build=against_depth,
    columns=_columns("depth", "depth"),
    sort="depth",
)
THREADS = Page(
    key="threads",
    title="Threads",
    help="Speed against the number of threads.",
    build=against_threads,
    columns=_columns("threads", "threads"),
    sort="threads",
)
