"""Summaries of repeated measurements: never the best run, always the spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

NOISY_FRAC = 0.20
"""A spread over this share of the median marks a cell as noisy."""


class Summary(msgspec.Struct, frozen=True):
    """Centre and spread of `n` values in the values' own unit."""

    n: int
    median: float
    q1: float
    q3: float
    mean: float
    sd: float
    """Sample standard deviation (n - 1); 0 for a single value, as llama-bench prints it."""
    minimum: float
    maximum: float

    @property
    def spread_frac(self) -> float:
        """(maximum - minimum) / median, the figure that decides whether a cell is noisy."""
        return (self.maximum - self.minimum) / self.median if self.median else 0.0

    @property
    def noisy(self) -> bool:
        """Whether the spread asks for another run."""
        return self.spread_frac > NOISY_FRAC


def summarize(values: Sequence[float | None]) -> Summary | None:
    """Summarize the values that exist; None when there are none.

    Quartiles are interpolated between order statistics (Hyndman & Fan 1996, type 7: numpy's default).
    """
    present = [value for value in values if value is not None]
    if not present:
        return None
    q1, median, q3 = (quantile(present, share) for share in (0.25, 0.5, 0.75))
    return Summary(
        n=len(present),
        median=median,
        q1=q1,
        q3=q3,
        mean=statistics.fmean(present),
        sd=statistics.stdev(present) if len(present) > 1 else 0.0,
        minimum=min(present),
        maximum=max(present),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, linearly interpolated (type 7).

    Raises:
        ValueError: `values` is empty or `share` is outside 0 to 1.
    """
    if not values:
        raise ValueError("quantile of no values")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be from 0 to 1")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def agree(first: float | None, second: float | None, within_frac: float = 0.05) -> bool:
    """Whether two values differ by at most this share of the larger; two missing values agree."""
    if first is None or second is None:
        return first is second
    return abs(first - second) <= within_frac * max(abs(first), abs(second))
