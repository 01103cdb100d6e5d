"""What the answers of a probe say: accuracy of each cell and level, and gains of the same questions between two."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from slmtui.core.events import OptionScore
from slmtui.core.paired import Gain, gain, holm
from slmtui.core.probe import Answer, Labels, ProbeBatch, Scorer
from slmtui.core.probe_choice import chosen
from slmtui.core.proportions import Share, share

_Item = TypeVar("_Item")

SHOWN = 0.05
"""A gain is shown when its p-value, among all that are compared, is at most this and its interval leaves out 0."""


class CellScore(msgspec.Struct, frozen=True, kw_only=True):
    """One cell as far as it was answered: one model, task, number of shots, seed and kind of labels."""

    key: str
    model: str
    name: str
    task: str
    shots: int
    seed: int
    labels: Labels
    accuracy: Share
    answers: dict[int, Answer]
    """By the question's place in the task."""
    right: dict[int, bool]
    """The same, judged by the scorer that was asked for."""
    batches: tuple[ProbeBatch, ...]
    prompt_tokens: int
    """Tokens that were evaluated, what questions share once."""
    written_tokens: int
    seconds: float
    """The whole time of its batches as the app saw it."""
    prefill_tps: float | None
    """Evaluated prompt tokens per second of their evaluation."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """All seeds of one model, task, number of shots and kind of labels."""

    model: str
    name: str
    task: str
    shots: int
    labels: Labels
    accuracy: Share
    """Mean over seeds, with the interval that the questions allow."""
    by_seed: dict[int, float]
    """Accuracy of each seed."""
    cells: tuple[CellScore, ...]
    chance_frac: float | None
    """Expected accuracy of choosing blindly among the options of these questions; None where answers are open."""

    @property
    def spread(self) -> float | None:
        """Standard deviation between seeds; None with one."""
        return statistics.stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    @property
    def at_chance(self) -> bool:
        """Whether the accuracy may be that of choosing blindly."""
        return self.accuracy.covers(self.chance_frac)

    def means(self) -> dict[int, float]:
        """Question to the share of seeds with which it was answered right; questions that every seed was asked."""
        common = set.intersection(*(set(cell.right) for cell in self.cells))
        return {place: statistics.fmean(cell.right[place] for cell in self.cells) for place in sorted(common)}


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A gain between two levels that were asked the same questions."""

    before: Level
    after: Level
    gain: Gain
    p_holm: float
    """The p-value among all gains that are compared at the same time."""

    @property
    def shown(self) -> bool:
        """Whether the questions show that it is not 0."""
        return self.p_holm <= SHOWN and (self.gain.low > 0 or self.gain.high < 0)


def cell_scores(batches: Iterable[ProbeBatch], scorer: Scorer | None = None) -> tuple[CellScore, ...]:
    """The cells in the order of their first batches; `scorer` judges choices anew, None takes the plan's."""
    grouped = _grouped(batches, lambda batch: (batch.measurement.plan, batch.measurement.cell))
    return tuple(_cell(group, scorer) for group in grouped if any(batch.answers for batch in group))


def levels(cells: Iterable[CellScore]) -> tuple[Level, ...]:
    """Cells that differ in their seeds only, together."""
    return tuple(map(_level, _grouped(cells, lambda cell: (cell.model, cell.task, cell.labels, cell.shots))))


def gains_from_shots(found: Sequence[Level]) -> tuple[Compared, ...]:
    """For each model, task and kind of labels: every number of shots against none.

    Without examples shuffled and flipped labels are the true ones, so these are compared with those.
    """
    pairs = []
    for level in found:
        labels = level.labels if level.labels == "unrelated" else "true"
        if level.shots and (before := find(found, level.model, level.task, 0, labels)) is not None:
            pairs.append((before, level))
    return compared(pairs)


def gains_between(found: Sequence[Level], first: str, second: str) -> tuple[Compared, ...]:
    """By how much the second model (its id) is better than the first, wherever both were asked."""
    pairs = [
        (before, level)
        for level in found
        if level.model == second and (before := find(found, first, level.task, level.shots, level.labels)) is not None
    ]
    return compared(pairs)


def compared(pairs: Iterable[tuple[Level, Level]]) -> tuple[Compared, ...]:
    """Gains of levels that share questions, their p-values corrected for how many there are (Holm)."""
    found = []
    for before, after in pairs:
        first, second = before.means(), after.means()
        common = sorted(first.keys() & second.keys())
        seeds = math.lcm(len(before.cells), len(after.cells))
        one = gain([first[place] for place in common], [second[place] for place in common], seeds)
        if one is not None:
            found.append((before, after, one))
    adjusted = holm([one.p_value for _, _, one in found])
    return tuple(
        Compared(before=before, after=after, gain=one, p_holm=p)
        for (before, after, one), p in zip(found, adjusted, strict=True)
    )


def find(found: Iterable[Level], model: str, task: str, shots: int, labels: Labels = "true") -> Level | None:
    """The level of this model and task; None when it was not asked."""
    wanted = (model, task, shots, labels)
    return next((one for one in found if (one.model, one.task, one.shots, one.labels) == wanted), None)


def turned(compared: Compared, *, right: bool) -> tuple[int, ...]:
    """Questions that became right, or wrong, with more than half of the seeds."""
    before, after = compared.before.means(), compared.after.means()
    common = sorted(before.keys() & after.keys())
    return tuple(place for place in common if (before[place] > 0.5) != right and (after[place] > 0.5) == right)


def _cell(group: Sequence[ProbeBatch], scorer: Scorer | None) -> CellScore:
    first = group[0]
    calibration = next((batch.calibration for batch in group if batch.calibration), ())
    answers = {answer.question: answer for batch in group for answer in batch.answers}
    right = {place: _right(answer, scorer, first.scorer, calibration) for place, answer in answers.items()}
    accuracy = share([[one] for one in right.values()])
    assert accuracy is not None
    timings = [batch.measurement.timing for batch in group]
    prompt_tokens, prefill_s = sum(t.prompt_tokens for t in timings), sum(t.prefill_s or 0.0 for t in timings)
    return CellScore(
        key=first.measurement.cell,
        model=first.measurement.model,
        name=first.measurement.name,
        task=first.task,
        shots=first.shots,
        seed=first.seed,
        labels=first.labels,
        accuracy=accuracy,
        answers=answers,
        right=right,
        batches=tuple(group),
        prompt_tokens=prompt_tokens,
        written_tokens=sum(t.generated_tokens for t in timings),
        seconds=sum(batch.measurement.wall_s or 0.0 for batch in group),
        prefill_tps=prompt_tokens / prefill_s if prompt_tokens and prefill_s else None,
    )


def _right(answer: Answer, scorer: Scorer | None, plans: Scorer, calibration: Sequence[Sequence[OptionScore]]) -> bool:
    if scorer is None or scorer == plans or not answer.scores:
        return answer.right
    return answer.options[chosen(answer.scores, scorer, calibration)] == answer.target


def _level(group: Sequence[CellScore]) -> Level:
    first = group[0]
    common = sorted(set.intersection(*(set(cell.right) for cell in group))) or sorted(first.right)
    asked = [[cell.right[place] for cell in group if place in cell.right] for place in common]
    accuracy = share(asked)
    assert accuracy is not None
    options = [len(first.answers[place].options) for place in common if place in first.answers]
    return Level(
        model=first.model,
        name=first.name,
        task=first.task,
        shots=first.shots,
        labels=first.labels,
        accuracy=accuracy,
        by_seed={cell.seed: cell.accuracy.value for cell in group},
        cells=tuple(group),
        chance_frac=statistics.fmean(1 / number for number in options) if options and all(options) else None,
    )


def _grouped(items: Iterable[_Item], key: Callable[[_Item], object]) -> list[list[_Item]]:
    groups: dict[object, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
