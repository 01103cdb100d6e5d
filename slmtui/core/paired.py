"""Gains: the same questions asked twice, with and without something, and what their difference can show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from slmtui.core.intervals import LEVEL, normal_quantile, student_quantile

POWER = 0.8
"""How often a gain of the size that is looked for shall be shown."""
_DRAWS = 10_000


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """By how much the share of right answers is larger, with what the questions can show of that."""

    n: int
    """Questions that were asked both times."""
    value: float
    """Difference of two shares: 0.14 is 14 points."""
    low: float
    high: float
    won: int
    """Questions answered right more often than before."""
    lost: int
    p_value: float
    """Of the hypothesis that nothing changed: McNemar's exact test, with several seeds its like for clusters."""
    needed: int | None
    """How many questions would show a gain of this size; None where the gain is too small to be looked for."""


def gain(before: Sequence[float], after: Sequence[float], seeds: int = 1, level: float = LEVEL) -> Gain | None:
    """The gain of the same questions, each as the share of its seeds answered right; None when there is no question.

    The interval is a bootstrap over questions: percentiles, moved out for the small sample as Hesterberg (2015) has it.
    Beside the questions stand two imagined ones that together vary as much as one that was won or lost under one seed,
    since otherwise no difference seen would be taken as none there is (after Bonett & Price 2012). A question's
    difference is a multiple of 1 / `seeds`. Coverage, 95 % asked for, by `benchmarks/probe_coverage.py`: 94 to 97 %
    from 50 questions on.

    Raises:
        ValueError: not the same number of questions.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    if not differences:
        return None
    low, high = _bootstrap(differences, 1 / math.sqrt(2 * seeds), level)
    value = statistics.fmean(differences)
    return Gain(
        n=len(differences),
        value=value,
        low=max(-1.0, min(low, value)),
        high=min(1.0, max(high, value)),
        won=sum(one > 0 for one in differences),
        lost=sum(one < 0 for one in differences),
        p_value=signs(differences, seeds),
        needed=needed(differences, value, level) if value > 0.01 else None,
    )


def signs(differences: Sequence[float], seeds: int = 1) -> float:
    """How often a sum of these differences is at least as far from 0 when each could as well have had the other sign.

    Exact and two-sided. With one seed it is McNemar's exact test; with several, where a question's difference is a
    multiple of 1 / `seeds`, its like for questions that are asked several times.
    """
    import numpy as np

    steps = [round(abs(one) * seeds) for one in differences]
    observed, width = abs(sum(round(one * seeds) for one in differences)), sum(steps)
    chances = np.zeros(2 * width + 1)
    chances[width] = 1.0
    for step in filter(None, steps):
        chances = (np.roll(chances, step) + np.roll(chances, -step)) / 2  # never beyond the ends: they are the sum
    return min(1.0, float(chances[width + observed :].sum() + chances[: width - observed + 1].sum()))


def needed(differences: Sequence[float], size: float, level: float = LEVEL) -> int | None:
    """Questions that show a gain of this size with a probability of 80 %, if it varies as these differences do."""
    if len(differences) < 2 or size <= 0:
        return None
    variance = statistics.variance([*differences, 1.0, -1.0])
    quantiles = normal_quantile((1 + level) / 2) + normal_quantile(POWER)
    return math.ceil(variance * (quantiles / size) ** 2)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values of several tests, each made larger so that one false find among all stays as rare (Holm 1979)."""
    adjusted, largest = list(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return tuple(adjusted)


def _bootstrap(differences: Sequence[float], imagined: float, level: float) -> tuple[float, float]:
    """Ends of the interval of the mean; always the same ones for the same differences."""
    import numpy as np

    values, counts = np.unique(np.round([*differences, imagined, -imagined], 9), return_counts=True)
    n = int(counts.sum())
    means = np.random.default_rng(1).multinomial(n, counts / n, size=_DRAWS) @ values / n
    outside = student_quantile((1 + level) / 2, n - 1) * math.sqrt(n / (n - 1))
    tail = statistics.NormalDist().cdf(-outside)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
