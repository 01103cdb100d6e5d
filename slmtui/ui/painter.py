"""One painter for all columns of a chat: it paints what is new, a column at a time, within a budget."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from slmtui.ui.budget import Budget

FASTEST_HZ = 15
"""How often a column is painted at most."""
APART_S = 1 / 60
"""Columns are painted this far apart, so that a key pressed between two is answered between them."""

GC_THRESHOLDS = 20_000, 10, 100
"""Python's own first threshold, 700, is for small programs: a paint makes thousands of objects."""


class Paintable(Protocol):
    """What a painter paints."""

    def paint(self) -> None:
        """Paint what has come since the last time."""
        ...


class Painter:
    """Paints whatever asked for it, what was painted longest ago first.

    `later` calls a function after so many seconds; `clock` counts seconds.
    """

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._later, self._clock = later, clock
        self._budget: Budget | None = None
        self._wanting: dict[Paintable, None] = {}
        self._painted_s: dict[Paintable, float] = {}
        self._waiting = False

    @contextmanager
    def sparing(self, budget: Budget) -> Iterator[None]:
        """Keep within the budget, and let Python look for unused objects among the new ones only, while models answer.

        A look at all the app's objects takes 0.1 s, during which no key is answered.
        """
        self._budget = budget
        thresholds = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        try:
            yield
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            self._budget = None

    def want(self, paintable: Paintable) -> None:
        """Paint this one soon; asking again before that changes nothing."""
        self._wanting[paintable] = None
        if not self._waiting:
            self._wait()

    def forget(self, paintable: Paintable) -> None:
        """Paint this one no more."""
        self._wanting.pop(paintable, None)
        self._painted_s.pop(paintable, None)

    def _wait(self) -> None:
        due_s = min(map(self._last_s, self._wanting)) + 1 / FASTEST_HZ
        wait_s = max(due_s - self._clock(), APART_S)
        if self._budget is not None:
            wait_s = max(wait_s, self._budget.wait_s())
        self._waiting = True
        self._later(wait_s, self._paint_next)

    def _paint_next(self) -> None:
        self._waiting = False
        if not self._wanting:
            return
        paintable = min(self._wanting, key=self._last_s)
        del self._wanting[paintable]
        self._painted_s[paintable] = self._clock()
        paintable.paint()
        if self._wanting and not self._waiting:
            self._wait()

    def _last_s(self, paintable: Paintable) -> float:
        return self._painted_s.get(paintable, -math.inf)
