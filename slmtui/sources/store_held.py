"""Plans of one kind in the store: held by the process that runs them, let go, found again by another."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from slmtui.core import documents
from slmtui.core.measurement import Measurement
from slmtui.core.plan import PlanError, PlanRecord
from slmtui.core.probe import ProbeBatch, ProbeRecord
from slmtui.sources.owners import Owner, lives, this_process
from slmtui.sources.store_file import StoreFile

CellState = Literal["failed", "skipped"]
PlanKind = Literal["bench", "probe"]


class HeldPlan(NamedTuple):
    """A row of the table."""

    id: str
    session: str
    document: str
    held: bool
    """Whether a living process runs it."""
    ended: str | None
    """"done" when nothing is left to do, "dropped" when it is not to be offered any more."""


_Record = TypeVar("_Record", PlanRecord, ProbeRecord)
_Done = TypeVar("_Done", Measurement, ProbeBatch)


@dataclass(frozen=True, kw_only=True)
class Stored(Generic[_Record, _Done]):
    """A plan as it was left."""

    record: _Record
    session: str
    settled: Mapping[str, CellState]
    """Keys of the cells that were given up."""
    done: tuple[_Done, ...]
    """What was measured or asked, in that order."""


class HeldPlans(ABC, Generic[_Record, _Done]):
    """The plans of one kind in one store, and what is done of them."""

    KIND: PlanKind
    RECORD: type[_Record]
    """What their documents are."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def begin(self, record: _Record, session: str) -> None:
        """Write a plan, held by this process from now on.

        Raises:
            StoreError: it can't be written, or is there already.
        """
        owner, plan = this_process(), record.plan
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO plan (id, kind, session, created_at, document, owner_pid, owner_started_s)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (plan.id, self.KIND, session, plan.created_at, documents.encode(record), owner.pid, owner.started_s),
            )

    def claim(self, plan_id: str) -> Stored[_Record, _Done] | None:
        """Take a plan into this process's hands; None when it was never begun.

        Raises:
            PlanError: a living process holds it.
            StoreError: it can't be read or written.
        """
        with self._file.writing() as connection:
            row = self._claim(connection, plan_id)
            if row is None:
                return None
            return Stored(
                record=self._record(row),
                session=row.session,
                settled=settled(connection, plan_id),
                done=self._done(connection, plan_id),
            )

    def done(self, plan_id: str) -> tuple[_Done, ...]:
        """What was measured or asked so far, in that order; nothing for an unknown plan.

        Raises:
            StoreError: it can't be read.
        """
        with self._file.reading() as connection:
            return self._done(connection, plan_id)

    def release(self, plan_id: str, ended: Literal["done", "dropped"] | None = None) -> None:
        """Let go of a plan that this process holds, and say whether anything is left to do.

        Raises:
            StoreError: it can't be written.
        """
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE plan SET owner_pid = NULL, owner_started_s = NULL, ended = ? WHERE id = ?", (ended, plan_id)
            )

    def move(self, plan_id: str, session: str) -> None:
        """Let what the plan measures be in this session.

        Raises:
            StoreError: it can't be written.
        """
        with self._file.writing() as connection:
            connection.execute("UPDATE plan SET session = ? WHERE id = ?", (session, plan_id))

    def settle(self, plan_id: str, cell: str, state: CellState, reason: str = "") -> None:
        """Note that a cell was given up; of a plan that was deleted meanwhile nothing is noted.

        Raises:
            StoreError: it can't be written.
        """
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO plan_cell (plan, cell, state, reason)"
                " SELECT id, ?, ?, ? FROM plan WHERE id = ? ON CONFLICT DO NOTHING",
                (cell, state, reason, plan_id),
            )

    @abstractmethod
    def _done(self, connection: sqlite3.Connection, plan_id: str) -> tuple[_Done, ...]:
        """What was measured or asked so far, in that order."""

    def _claim(self, connection: sqlite3.Connection, plan_id: str) -> HeldPlan | None:
        """Take a plan into this process's hands, in a transaction; None when it was never begun.

        Raises:
            PlanError: a living process holds it.
        """
        row = next(iter(self._rows(connection, "id = ?", plan_id)), None)
        if row is None:
            return None
        if row.held:
            (pid,) = connection.execute("SELECT owner_pid FROM plan WHERE id = ?", (plan_id,)).fetchone()
            raise PlanError(
                f"plan {plan_id} is being run by process {pid}; wait until it has ended, or end it, "
                "and continue the plan then"
            )
        owner = this_process()
        connection.execute(
            "UPDATE plan SET ended = NULL, owner_pid = ?, owner_started_s = ? WHERE id = ?",
            (owner.pid, owner.started_s, plan_id),
        )
        return row

    def _record(self, row: HeldPlan) -> _Record:
        """What its document says.

        Raises:
            StoreError: it is damaged, or another version wrote it.
        """
        try:
            return documents.decode(row.document, self.RECORD)
        except msgspec.DecodeError as error:
            raise self._file.unreadable(error) from error

    def _readable(self, connection: sqlite3.Connection, condition: str) -> Iterator[tuple[HeldPlan, _Record]]:
        """Plans of this kind, newest first, without those that another version wrote: they must not hide the others."""
        for row in self._rows(connection, condition):
            try:
                yield row, documents.decode(row.document, self.RECORD)
            except msgspec.DecodeError:
                continue

    def _rows(self, connection: sqlite3.Connection, condition: str, *values: str) -> list[HeldPlan]:
        """Plans of this kind, newest first."""
        query = (
            "SELECT id, session, document, owner_pid, owner_started_s, ended FROM plan"
            f" WHERE kind = ? AND {condition} ORDER BY created_at DESC, rowid DESC"
        )
        rows = connection.execute(query, (self.KIND, *values)).fetchall()
        return [
            HeldPlan(identity, session, document, _held(pid, started_s), ended)
            for identity, session, document, pid, started_s, ended in rows
        ]


def settled(connection: sqlite3.Connection, plan_id: str) -> dict[str, CellState]:
    """Keys of the cells that were given up."""
    return dict(connection.execute("SELECT cell, state FROM plan_cell WHERE plan = ?", (plan_id,)).fetchall())


def _held(pid: int | None, started_s: float | None) -> bool:
    return pid is not None and started_s is not None and lives(Owner(pid, started_s))
