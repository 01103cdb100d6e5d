"""What a number may be that a person sets: the same in every command, on every screen and in the engines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from slmtui.core.offload import FIT


class Bounds(NamedTuple):
    """The smallest and the largest value."""

    low: int
    high: int

    def problem(self, what: str, values: Iterable[float]) -> str | None:
        """What is wrong with the first value outside, in a sentence that begins with `what`; None when none is."""
        for value in values:
            if not value >= self.low:  # nan is no number that is small enough, either
                return f"{what} must be at least {self.low:,}, not {value:,}"
            if value > self.high:
                return f"{what} must be at most {self.high:,}, not {value:,}"
        return None


CONTEXT = Bounds(8, 4_194_304)
"""llama.cpp spends minutes on absurd contexts before it fails."""
TOKENS = Bounds(0, CONTEXT.high)
THREADS = Bounds(1, 1024)
BATCH = Bounds(1, 65_536)
LAYERS = Bounds(FIT, 65_536)
REPETITIONS = Bounds(1, 100_000)
PAUSE_S = Bounds(0, 86_400)
CELLS = Bounds(1, 10_000)
"""Of one plan: more would take months."""
SHOTS = Bounds(0, 10_000)
SEEDS = Bounds(1, 1_000)
QUESTIONS = Bounds(1, 1_000_000)
FOUND = Bounds(1, 1_000)
"""Repositories that a search may list; a hub gives no more at a time."""
