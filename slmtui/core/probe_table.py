"""A probe's levels as rows that a person reads, and what they show as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from slmtui.core import probe_words, text
from slmtui.core.probe_results import Level, gains_between, gains_from_shots


def level_rows(levels: Sequence[Level]) -> list[dict[str, str]]:
    """One row a model, task, kind of labels and number of shots."""
    controls = any(level.labels != "true" for level in levels)
    return [_row(level, controls=controls) for level in levels]


def sentences(levels: Sequence[Level]) -> list[str]:
    """What examples did for each model and task, what the controls say where they did something, how models differ."""
    gains = probe_words.best(gains_from_shots(levels))
    learned = {(one.after.model, one.after.task) for one in gains if one.after.labels == "true" and one.shown}
    found = []
    for one in gains:
        level = one.after
        about = f"{text.one_line(level.name)}, {level.task}, {text.counted(level.shots, 'shot')}"
        if level.labels == "true":
            said = [probe_words.learning(one), probe_words.chance(level)]
        else:
            said = [probe_words.control(levels, level)] if (level.model, level.task) in learned else []
        if words := "; ".join(filter(None, said)):
            found.append(f"{about}: {words}")
    first, *others = dict.fromkeys(level.model for level in levels) or [""]
    for other in others:
        for one in probe_words.best(gains_between(levels, first, other)):
            if one.after.labels == "true":
                about = f"{one.after.task}, {text.counted(one.after.shots, 'shot')}"
                found.append(f"{about}: {text.one_line(probe_words.difference(one))}")
    return found


def _row(level: Level, *, controls: bool) -> dict[str, str]:
    accuracy = level.accuracy
    prefill_s = [cell.prompt_tokens / cell.prefill_tps for cell in level.cells if cell.prefill_tps]
    tokens = sum(cell.prompt_tokens for cell in level.cells)
    return {
        "model": text.one_line(level.name),
        "task": level.task,
        "shots": str(level.shots),
        **({"labels": level.labels} if controls else {}),
        "right": f"{100 * accuracy.value:.1f} %",
        "95 % interval": f"{100 * accuracy.low:.1f} – {100 * accuracy.high:.1f}",
        "seeds": str(len(level.by_seed)),
        "between seeds": text.NOT_MEASURED if level.spread is None else f"± {100 * level.spread:.1f}",
        "chance": text.NOT_MEASURED if level.chance_frac is None else f"{100 * level.chance_frac:.0f} %",
        "questions": str(accuracy.n),
        "tokens": f"{tokens + sum(cell.written_tokens for cell in level.cells):,}",
        "prefill tok/s": text.rate(tokens / sum(prefill_s) if tokens and prefill_s else None),
        "time": text.duration(sum(cell.seconds for cell in level.cells)),
    }
