"""How long the rest of a plan will take, from runs that have ended and from speeds that were measured before."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

import msgspec

from slmtui.core.events import Timing
from slmtui.core.plan import Cell, Setup, Shape

LEAST_WARMUPS = 2
"""Two runs have to agree, so there are at least two."""

Speeds = tuple[float | None, float | None]
"""Prefill and decode in tokens per second."""


class Todo(msgspec.Struct, frozen=True):
    """What is left of one cell."""

    cell: Cell
    repetitions: int
    warmups: int | None
    """Warm-ups that it had so far while it is being warmed up; None when that is over."""


class Pace:
    """Learns from each run; says nothing of a cell about which nothing is known."""

    def __init__(self, earlier: Mapping[str, Speeds]) -> None:
        """`earlier` are the speeds that were measured before on this machine, by the model's id."""
        self._earlier = earlier
        self._runs: dict[str, list[float]] = {}
        self._speeds: dict[tuple[str, Setup], Speeds] = {}
        self._models: dict[str, Speeds] = {}
        self._warmups: list[int] = []

    def note(self, cell: Cell, timing: Timing, seconds: float) -> None:
        """A run of the cell has ended, which held up the plan for `seconds`."""
        self._runs.setdefault(cell.key, []).append(seconds)
        known = self._speeds.get((cell.model.id, cell.setup), (None, None))
        speeds = timing.prefill_tps or known[0], timing.decode_tps or known[1]
        self._speeds[cell.model.id, cell.setup] = self._models[cell.model.id] = speeds

    def note_warmups(self, count: int) -> None:
        """A cell was warm after so many runs."""
        self._warmups.append(count)

    def run_s(self, cell: Cell) -> float | None:
        """Seconds that one run of the cell takes; None when nothing is known of its model."""
        if runs := self._runs.get(cell.key):
            return statistics.median(runs)
        known = self._speeds.get((cell.model.id, cell.setup)) or self._models.get(cell.model.id)
        found = _expected_s(cell.shape, known) if known else None
        return found if found is not None else _expected_s(cell.shape, self._earlier.get(cell.model.id, (None, None)))

    def left_s(self, todo: Iterable[Todo], cool_down_s: float) -> float | None:
        """Seconds that all of it takes; None as soon as one cell's is not known."""
        total = 0.0
        for each in todo:
            if not each.repetitions:
                continue
            run_s = self.run_s(each.cell)
            if run_s is None:
                return None
            warmups = 0 if each.warmups is None else max(1, self._usual_warmups() - each.warmups)
            total += warmups * run_s + each.repetitions * (run_s + cool_down_s)
        return total

    def _usual_warmups(self) -> int:
        return round(statistics.fmean(self._warmups)) if self._warmups else LEAST_WARMUPS


def _expected_s(shape: Shape, speeds: Speeds) -> float | None:
    """Time of a run at these speeds; None when one that it needs is not known."""
    total = 0.0
    for tokens, speed in ((shape.depth + shape.prompt_tokens, speeds[0]), (shape.generated_tokens, speeds[1])):
        if tokens and speed is None:
            return None
        total += tokens / speed if tokens and speed else 0.0
    return total
