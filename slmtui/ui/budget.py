"""How much of the machine painting may take while models answer."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.015
"""Share of all cores that the app may use while models answer: typed letters, events and painting together."""
MOST_SAVED_S = 0.25
"""What was not used is kept for this long: the first words come at once, and no burst is long enough to be felt."""
LONGEST_DEBT_S = 0.5
"""Painting waits no longer than this, so that figures and text move on any machine."""


class Budget:
    """CPU seconds that accrue with time and are used up by whatever this process does.

    `clock` counts seconds, `spent` the process's CPU seconds.
    """

    def __init__(
        self, cores: int, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.process_time
    ) -> None:
        self._rate = SHARE * max(1, cores)
        self._clock, self._spent = clock, spent
        self._credit_s = 0.0
        self._seen = clock(), spent()

    def wait_s(self) -> float:
        """Seconds until there is something to spend; 0 when there is now."""
        (then, spent_then), self._seen = self._seen, (self._clock(), self._spent())
        now, spent = self._seen
        credit_s = self._credit_s + self._rate * (now - then) - (spent - spent_then)
        self._credit_s = min(max(credit_s, -self._rate * LONGEST_DEBT_S), self._rate * MOST_SAVED_S)
        return max(0.0, -self._credit_s / self._rate)
