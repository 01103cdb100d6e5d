"""Charts of a probe: accuracy against examples, and accuracy against what a model costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import msgspec

from slmtui.core.probe_results import Level
from slmtui.core.text import memory, one_line, rate
from slmtui.ui.pages.entry import Exhibit
from slmtui.ui.pages.probe_figures import percent, spread
from slmtui.ui.widgets.axes import Axis
from slmtui.ui.widgets.fit_table import Figure, TableColumn
from slmtui.ui.widgets.plot_chart import Plot, Point, Series

NOTHING = "Nothing was asked yet. r asks the marked models."
_LABELS = {"true": "", "shuffled": "shuffled labels", "flipped": "flipped labels", "unrelated": "unrelated labels"}

CURVE_COLUMNS = (
    TableColumn("model", "model", 12, room=30),
    TableColumn("task", "task", 10, room=24),
    TableColumn("labels", "labels", 8, rank=1, room=9),
    TableColumn("shots", "shots", 5, right=True),
    TableColumn("accuracy", "accuracy", 8, right=True),
    TableColumn("interval", "95 %", 7, right=True),
    TableColumn("chance", "chance", 6, rank=1, right=True),
    TableColumn("seeds", "between seeds", 13, rank=2, right=True),
    TableColumn("n", "questions", 9, rank=1, right=True),
)
COST_COLUMNS = (
    TableColumn("model", "model", 12, room=30),
    TableColumn("accuracy", "accuracy", 8, right=True),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("prefill", "prefill", 7, rank=1, right=True, unit="tok/s"),
    TableColumn("memory", "memory", 8, right=True, unit="process"),
    TableColumn("front", "best trade-off", 14, room=24),
)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the charts are drawn from."""

    levels: tuple[Level, ...] = ()
    decode_tps: Mapping[str, float | None] = {}
    """Model id to the median of its latest benchmark on this machine."""
    task: str = ""
    """The task whose curves are drawn; where nothing was answered of it, the first that has answers."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """A model with what it reaches and what it costs."""

    model: str
    name: str
    accuracy: float
    """With most examples, mean over the tasks."""
    decode_tps: float | None
    prefill_tps: float | None
    memory_bytes: int | None
    """The most that the system charged its worker with during the probe."""


def curves(known: Known) -> Exhibit:
    """Accuracy on one task against the number of examples, a line a model and kind of labels; the table has all."""
    if not known.levels:
        return Exhibit(missing=NOTHING)
    tasks = list(dict.fromkeys(level.task for level in known.levels))
    task = known.task if known.task in tasks else tasks[0]
    levels = [level for level in known.levels if level.task == task]
    groups: dict[tuple[str, str], list[Level]] = {}
    for level in levels:
        groups.setdefault((level.model, level.labels), []).append(level)
    # Without examples there is nothing to shuffle: a control's line begins where the true one does.
    for (model, labels), found in groups.items():
        if labels in ("shuffled", "flipped") and all(level.shots for level in found):
            found += [level for level in groups.get((model, "true"), ()) if not level.shots]
    shots = sorted({float(level.shots) for level in levels})
    axis = Axis(label="shots", from_zero=True, tight=True, marks=tuple(shots))
    if len(shots) < 2:
        only = f"All cells have {shots[0]:.0f} shots. A plan (f8) with several fills this chart."
        return Exhibit(missing=only, rows=_curve_rows(known.levels))
    series = [
        Series(label=label, number=number, points=tuple(_point(level) for level in sorted(found, key=_shots_of)))
        for number, (label, found) in enumerate(zip(_names(groups), groups.values(), strict=True))
    ]
    chance = levels[0].chance_frac
    if chance is not None:
        flat = tuple(Point(x, 100 * chance) for x in (shots[0], shots[-1]))
        series.append(Series(label="chance", number=len(series), points=(), fitted=flat))
    note = f"{one_line(task)}, with 95 % intervals."
    if len(tasks) > 1:
        note += " Another task: highlight it in the grid. All are in the table."
    chart = Plot(x=axis, y=Axis(label="accuracy", unit="%", from_zero=True), series=tuple(series))
    return Exhibit(charts=(chart,), note=note, rows=_curve_rows(known.levels))


def costs(known: Known) -> Exhibit:
    """Accuracy against decode speed and against memory, with the models that no other beats in both."""
    found = costs_of(known)
    if not found:
        return Exhibit(missing=NOTHING)
    sides: tuple[tuple[str, str, Callable[[Cost], float | None], int], ...] = (
        ("decode", "tok/s", lambda cost: cost.decode_tps, 1),
        ("memory", "MiB", lambda cost: cost.memory_bytes / 2**20 if cost.memory_bytes else None, -1),
    )
    charts = []
    on_front: dict[str, list[str]] = {}
    for label, unit, value, direction in sides:
        priced = [(cost, price) for cost in found if (price := value(cost)) is not None]
        if not priced:
            continue
        best = front([(direction * price, cost.accuracy) for cost, price in priced])
        line = sorted((priced[place][1], 100 * priced[place][0].accuracy) for place in best)
        for place in best:
            on_front.setdefault(priced[place][0].model, []).append(label)
        series = [
            Series(label=one_line(cost.name), number=number, points=(_cost_point(cost, value(cost)),), line=False)
            for number, cost in enumerate(found)
        ]
        if len(line) > 1:
            fitted = tuple(Point(x, y) for x, y in line)
            series.append(Series(label="best trade-off", number=len(found), points=(), fitted=fitted))
        axis = Axis(label=label, unit=unit, from_zero=True)
        up = Axis(label="accuracy", unit="%", from_zero=True)
        charts.append(Plot(x=axis, y=up, series=tuple(series), legend=False))
    note = "Accuracy with most examples, mean over the tasks."
    without = [one_line(cost.name) for cost in found if cost.decode_tps is None]
    if without:
        note += f" No decode speed was measured here for {', '.join(without)}: Compare does that."
    return Exhibit(charts=tuple(charts), note=note, rows=_cost_rows(found, on_front))


def costs_of(known: Known) -> list[Cost]:
    """Each model at its largest number of examples with the true labels."""
    by_model: dict[str, list[Level]] = {}
    for level in known.levels:
        if level.labels == "true":
            by_model.setdefault(level.model, []).append(level)
    return [_cost(model, found, known.decode_tps.get(model)) for model, found in by_model.items()]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other equals or beats in both values, one of equal points counting (Pareto)."""
    return [
        place
        for place, (x, y) in enumerate(points)
        if not any(
            (a >= x and b >= y and (a > x or b > y)) or ((a, b) == (x, y) and other < place)
            for other, (a, b) in enumerate(points)
        )
    ]


def _cost(model: str, found: Sequence[Level], decode_tps: float | None) -> Cost:
    most: dict[str, Level] = {}
    for level in found:
        if level.task not in most or level.shots > most[level.task].shots:
            most[level.task] = level
    batches = [batch.measurement for level in found for cell in level.cells for batch in cell.batches]
    charged = [each.peak_memory.charged_bytes for each in batches if each.peak_memory is not None]
    speeds = [cell.prefill_tps for level in found for cell in level.cells if cell.prefill_tps is not None]
    return Cost(
        model=model,
        name=found[0].name,
        accuracy=statistics.fmean(level.accuracy.value for level in most.values()),
        decode_tps=decode_tps,
        prefill_tps=statistics.median(speeds) if speeds else None,
        memory_bytes=max((value for value in charged if value is not None), default=None),
    )


def _names(groups: Mapping[tuple[str, str], Sequence[Level]]) -> list[str]:
    """What tells the lines apart: the model where there are several, the labels where they are not the true ones."""
    several = len({model for model, _ in groups}) > 1
    parts = [(one_line(found[0].name), _LABELS[labels]) for (_, labels), found in groups.items()]
    return [" · ".join(part for part in (name, labels) if part) if several or not labels else labels
            for name, labels in parts]  # fmt: skip


def _shots_of(level: Level) -> int:
    return level.shots


def _point(level: Level) -> Point:
    accuracy = level.accuracy
    return Point(float(level.shots), 100 * accuracy.value, 100 * accuracy.low, 100 * accuracy.high)


def _cost_point(cost: Cost, price: float | None) -> Point:
    return Point(price, 100 * cost.accuracy)


def _curve_rows(levels: Sequence[Level]) -> dict[str, dict[str, Figure]]:
    return {
        str(place): {
            "order": Figure("", place),
            "model": Figure(one_line(level.name), one_line(level.name)),
            "task": Figure(one_line(level.task), one_line(level.task)),
            "labels": Figure(level.labels, level.labels, "muted"),
            "shots": Figure(str(level.shots), level.shots),
            "accuracy": Figure(percent(level.accuracy.value), level.accuracy.value),
            "interval": Figure(spread(level), level.accuracy.low, "muted"),
            "chance": Figure(percent(level.chance_frac), level.chance_frac, "muted"),
            "seeds": Figure(f"± {100 * level.spread:.1f}" if level.spread is not None else "", level.spread, "muted"),
            "n": Figure(f"{level.accuracy.n:,}", level.accuracy.n),
        }
        for place, level in enumerate(levels)
    }


def _cost_rows(found: Sequence[Cost], on_front: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Figure]]:
    return {
        cost.model: {
            "order": Figure("", place),
            "model": Figure(one_line(cost.name), one_line(cost.name)),
            "accuracy": Figure(percent(cost.accuracy), cost.accuracy),
            "decode": Figure(rate(cost.decode_tps), cost.decode_tps),
            "prefill": Figure(rate(cost.prefill_tps), cost.prefill_tps),
            "memory": Figure(memory(cost.memory_bytes), cost.memory_bytes),
            "front": Figure(", ".join(f"by {each}" for each in on_front.get(cost.model, ())), None, "good"),
        }
        for place, cost in enumerate(found)
    }
