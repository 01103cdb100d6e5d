"""What a running probe reports."""

from __future__ import annotations

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed
from slmtui.core.probe import ProbeBatch, ProbeCell
from slmtui.core.probe_results import Level
from slmtui.lab.bench_events import Hashing, Noticed, Released, TimeLeft


class ModelLoading(msgspec.Struct, frozen=True):
    """A model is being loaded for its cells."""

    model: LocalModel
    fraction: float


class CellAsking(msgspec.Struct, frozen=True):
    """A batch of the cell begins, or its evaluation goes on: `done` of `of` questions are in the store."""

    cell: ProbeCell
    done: int
    of: int
    tokens: int = 0
    """Tokens of this batch that were evaluated so far."""
    elapsed_s: float = 0.0
    """For how long the batch's tokens have been evaluated."""


class CellAnswered(msgspec.Struct, frozen=True):
    """A batch of the cell is in the store."""

    cell: ProbeCell
    batch: ProbeBatch
    done: int
    of: int


class CellGivenUp(msgspec.Struct, frozen=True):
    """The cell goes no further; answers that it has stay, and the other cells go on."""

    cell: ProbeCell
    failure: Failed | None
    """None when somebody wished to skip it."""


class ProbeEnded(msgspec.Struct, frozen=True):
    """Always last: what all answers of the plan say, earlier ones included."""

    levels: tuple[Level, ...]
    stopped: bool


ProbeEvent = (
    Noticed | Hashing | ModelLoading | CellAsking | CellAnswered | CellGivenUp | Released | TimeLeft | ProbeEnded
)
