"""What is measured, with which settings, and what the rounds of two sides say together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Shape(NamedTuple):
    """A prompt to evaluate or an answer to generate, in tokens, from a depth; one of the two is 0."""

    prompt: int
    generated: int
    depth: int

    @property
    def context(self) -> int:
        """Tokens of context, by llama-bench's rule."""
        return self.depth + self.prompt + self.generated

    @property
    def label(self) -> str:
        """As llama-bench writes it: "pp512 @ d512"."""
        what = f"pp{self.prompt}" if self.prompt else f"tg{self.generated}"
        return what + (f" @ d{self.depth}" if self.depth else "")


class Settings(NamedTuple):
    """Of all sides; batches in tokens."""

    threads: int
    batch: int = 2048
    micro_batch: int = 512
    flash_attention: str = "on"
    """"on" or "off"; "auto" would leave it to each side."""
    device: str | None = None
    """One GPU by llama.cpp's name ("CUDA0"), which takes all layers; None for the processor."""


SURE = 0.95
"""Coverage of the intervals."""


class Paired(NamedTuple):
    """The rounds of two sides: medians, and the median of the rounds' ratios with its interval."""

    ours: float
    theirs: float
    ratio: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Paired:
        """Summarize values that were measured in turn, one of each side a round."""
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        return cls(
            statistics.median(ours), statistics.median(theirs), statistics.median(ratios), median_interval(ratios)
        )

    def within(self, limit: float) -> bool:
        """Whether the medians differ by at most this share."""
        return abs(self.ours / self.theirs - 1) <= limit


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The two values between which the median lies in at least 95 % of such samples; None for fewer than six.

    By order statistics: each value is above the median as often as a coin falls, whatever the distribution.
    """
    count, outside = len(values), 0
    tail = 0.5**count
    while tail <= (1 - SURE) / 2:
        outside += 1
        tail += math.comb(count, outside) * 0.5**count
    if not outside:
        return None
    ordered = sorted(values)
    return ordered[outside - 1], ordered[-outside]
