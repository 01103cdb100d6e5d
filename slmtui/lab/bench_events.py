"""What a running benchmark reports."""

from __future__ import annotations

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import AnyEvent, Failed
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Cell
from slmtui.core.results import CellResult
from slmtui.core.text import one_line, share


class Noticed(msgspec.Struct, frozen=True):
    """Something to know about the figures to come, in a sentence; only at the beginning."""

    words: str


class Hashing(msgspec.Struct, frozen=True):
    """A model's file is read for its hash before the first run, because it is not known; told where that takes time."""

    model: LocalModel
    fraction: float

    @property
    def words(self) -> str:
        """How far it is: `Pocket 5M Q8_0: hashing 62 %`."""
        return f"{one_line(self.model.name)}: hashing {share(self.fraction)}"


class CeilingWanted(msgspec.Struct, frozen=True):
    """The machine's ceiling is measured before the first run, because it is not known: about six seconds."""


class CellLoading(msgspec.Struct, frozen=True):
    """The cell's model is being loaded; of several cells that share its worker, the first."""

    cell: Cell
    fraction: float


class CellRunning(msgspec.Struct, frozen=True):
    """A run of the cell begins: a warm-up, or repetition number `repetition` of `of` (from 0)."""

    cell: Cell
    warmup: bool
    repetition: int
    of: int


class CellProgress(msgspec.Struct, frozen=True):
    """A live event (`Prefilled`, `Tokens` without text, `Repeated`, `MemorySampled`) of the running cell."""

    cell: Cell
    event: AnyEvent


class CellMeasured(msgspec.Struct, frozen=True):
    """A repetition is in the store."""

    cell: Cell
    measurement: Measurement


class CellFailed(msgspec.Struct, frozen=True):
    """The cell is given up; the others go on."""

    cell: Cell
    failure: Failed


class CellSkipped(msgspec.Struct, frozen=True):
    """The cell is left out because somebody wished so; repetitions that it has stay."""

    cell: Cell


class Cooling(msgspec.Struct, frozen=True):
    """The machine rests before the cell's next repetition; about one a second."""

    cell: Cell
    left_s: float


class Released(msgspec.Struct, frozen=True):
    """A worker has ended and its memory came back."""

    model: LocalModel
    bytes_before: int | None
    """What the system charged the worker at last."""
    available_before: int | None
    """The machine's free memory just before and just after."""
    available_after: int | None


class TimeLeft(msgspec.Struct, frozen=True):
    """How long the rest of the plan will take in seconds; None while that is not known."""

    seconds: float | None


class PlanEnded(msgspec.Struct, frozen=True):
    """Always last: the result of each cell that has at least one repetition, earlier ones of this plan included."""

    results: tuple[CellResult, ...]
    stopped: bool


BenchEvent = (
    Noticed
    | Hashing
    | CeilingWanted
    | CellLoading
    | CellRunning
    | CellProgress
    | CellMeasured
    | CellFailed
    | CellSkipped
    | Cooling
    | Released
    | TimeLeft
    | PlanEnded
)
