"""The grid of a probe: a row a model, task and kind of labels, a column a number of examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from slmtui.core import probe_words
from slmtui.core.probe_results import Level
from slmtui.core.text import NOT_MEASURED, counted, one_line, rate
from slmtui.ui.pages.probing import CellState, Row
from slmtui.ui.widgets.fit_table import Figure, TableColumn, Tone

_SIGNS = {"asking": "▸", "stopped": "◌", "skipped": "−", "failed": "✗", "planned": "·"}

_REST = 75
"""Cells that the other columns take where they have all that they need."""


def columns_for(shots: Sequence[int], width: int = 0) -> tuple[TableColumn, ...]:
    """The grid's columns: names, one for each number of examples, what examples gain.

    Every number of examples has its intervals, or none has.
    """
    needed, room = (10, 14) if width >= _REST + 12 * len(shots) else (7, 7)
    return (
        TableColumn("model", "model", 12, room=22),
        TableColumn("task", "task", 10, room=22),
        TableColumn("labels", "labels", 8, rank=2, room=9),
        TableColumn("chance", "chance", 6, rank=4, right=True),
        *(TableColumn(f"shots {n}", counted(n, "shot"), needed, right=True, room=room) for n in shots),
        TableColumn("gain", "gain", 4, right=True, room=16),
        TableColumn("prefill", "prefill", 7, rank=3, right=True, unit="tok/s"),
    )


def grid_figures(row: Row, place: int) -> dict[str, Figure]:
    """The cells of a row."""
    any_level = next(iter(row.levels.values()), None)
    chance = any_level.chance_frac if any_level else None
    speeds = [cell.prefill_tps for level in row.levels.values() for cell in level.cells if cell.prefill_tps]
    fastest = max(speeds, default=None)
    return {
        "order": Figure("", place),
        "model": Figure(row.name, row.name, "strong"),
        "task": Figure(one_line(row.task), one_line(row.task)),
        "labels": Figure("" if row.labels == "true" else row.labels, row.labels, "muted"),
        "chance": Figure(percent(chance), chance, "muted"),
        "gain": _gain(row),
        "prefill": Figure(rate(fastest), fastest, "muted"),
        **{f"shots {n}": _shots(states, row.levels.get(n)) for n, states in row.states.items()},
    }


def percent(value: float | None) -> str:
    """A share in whole percent."""
    return NOT_MEASURED if value is None else f"{round(100 * value)} %"


def spread(level: Level) -> str:
    """Its interval: 52–71."""
    return f"{round(100 * level.accuracy.low)}–{round(100 * level.accuracy.high)}"


def _shots(states: Sequence[CellState], level: Level | None) -> Figure:
    sign = next((_SIGNS[state.word] for state in states if state.word in ("failed", "asking", "skipped")), "")
    if level is None:
        done, of = sum(state.done for state in states), sum(state.of for state in states)
        return Figure(sign or ("·" if not done else f"{done}/{of}"), None, "bad" if sign == "✗" else "muted")
    accuracy = percent(level.accuracy.value)
    sure = level.chance_frac is not None and level.accuracy.low > level.chance_frac
    tone: Tone = "accent" if sign == "▸" else "good" if sure else ""
    lead = f"{sign} " if sign else ""
    return Figure(f"{lead}{accuracy} {spread(level)}", level.accuracy.value, tone, f"{lead}{accuracy}")


def _gain(row: Row) -> Figure:
    if row.gain is None:
        return Figure(NOT_MEASURED, None, "muted")
    gain = row.gain.gain
    tone: Tone = ("good" if gain.value > 0 else "bad") if row.gain.shown else "muted"
    said = probe_words.points(gain.value)
    return Figure(f"{said} ({probe_words.interval(gain.low, gain.high)})", gain.value, tone, said)


def describe(row: Row | None, levels: Sequence[Level], width: int) -> Content:
    """The highlighted row in sentences: what examples do, how it stands to chance, what a control says."""
    if row is None:
        return Content()
    title = (f"{row.name} · {one_line(row.task)}", "bold")
    labels = "" if row.labels == "true" else f" · {row.labels} labels"
    lines = [Content.assemble(title, (labels, "$text-muted"))]
    lines += [Content(line) for line in _sentences(row, levels)]
    if row.levels and (spreads := _between_seeds(row)) and len(spreads) <= width:
        lines.append(Content.styled(spreads, "$text-muted"))
    return Content("\n").join(lines)


def _sentences(row: Row, levels: Sequence[Level]) -> Iterable[str]:
    if row.gain is not None:
        yield _sentence(probe_words.learning(row.gain))
    if row.levels:
        last = row.levels[max(row.levels)]
        stands = probe_words.chance(last)
        if stands is not None:
            yield f"With {counted(last.shots, 'shot')}: {stands}."
        control = probe_words.control(levels, last)
        if control is not None:
            yield _sentence(control)


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."


def _between_seeds(row: Row) -> str:
    said = [
        f"{counted(n, 'shot')} {'  '.join(percent(value) for _, value in sorted(level.by_seed.items()))}"
        for n, level in sorted(row.levels.items())
        if n and level.spread is not None
    ]
    return f"by seed: {' · '.join(said)}" if said else ""
