"""Plans in the store: written before their first run, held by the process that runs them, continued by another."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from slmtui.core import plan as plans
from slmtui.core.measurement import Measurement
from slmtui.core.plan import PlanError, PlanRecord, Unfinished
from slmtui.sources.owners import Owner, lives, this_process
from slmtui.sources.store_file import StoreFile

CellState = Literal["failed", "skipped"]
_OWNER = "owner_pid, owner_started_s"


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as it was left."""

    record: PlanRecord
    session: str
    settled: dict[str, CellState] = {}
    """Keys of the cells that were given up."""
    measurements: tuple[Measurement, ...] = ()
    """Its repetitions in the order in which they were measured."""


class PlanTable:
    """The plans of one store."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def begin(self, record: PlanRecord, session: str) -> None:
        """Write a plan, held by this process from now on.

        Raises:
            StoreError: it can't be written, or is there already.
        """
        owner = this_process()
        with self._file.writing() as connection:
            connection.execute(
                f"INSERT INTO plan (id, session, created_at, document, {_OWNER}) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    record.plan.id,
                    session,
                    record.plan.created_at,
                    plans.encode(record),
                    owner.pid,
                    owner.started_s,
                ),
            )

    def claim(self, plan_id: str) -> StoredPlan | None:
        """Take a plan into this process's hands; None when it was never begun.

        Raises:
            PlanError: a living process holds it.
            StoreError: it can't be read or written.
        """
        owner = this_process()
        with self._file.writing() as connection:
            row = connection.execute(
                f"SELECT session, document, {_OWNER} FROM plan WHERE id = ?", (plan_id,)
            ).fetchone()
            if row is None:
                return None
            session, document, pid, started_s = row
            if _held(pid, started_s):
                raise PlanError(
                    f"plan {plan_id} is being run by process {pid}; wait until it has ended, or end it, "
                    "and continue the plan then"
                )
            connection.execute(
                "UPDATE plan SET ended = NULL, owner_pid = ?, owner_started_s = ? WHERE id = ?",
                (owner.pid, owner.started_s, plan_id),
            )
            return StoredPlan(
                record=self._record(document),
                session=session,
                settled=_settled(connection, plan_id),
                measurements=self._measurements(connection, plan_id),
            )

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
        """Let the plan's repetitions be in this session.

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

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Plans of which repetitions are missing and that no living process holds, newest first."""
        found: list[Unfinished] = []
        with self._file.reading() as connection:
            rows = connection.execute(
                f"SELECT id, session, document, {_OWNER} FROM plan WHERE ended IS NULL"
                " ORDER BY created_at DESC, rowid DESC"
            ).fetchall()
            for identity, session, document, pid, started_s in rows:
                if _held(pid, started_s):
                    continue
                try:
                    plan = plans.decode(document).plan
                except msgspec.DecodeError:
                    continue  # another version's; that must not hide the others
                one = _unfinished(connection, plan, session, _settled(connection, identity))
                if one.done < one.total:
                    found.append(one)
        return tuple(found)

    def measurements(self, plan_id: str) -> tuple[Measurement, ...]:
        """The plan's repetitions in the order in which they were measured; none for an unknown plan.

        Raises:
            StoreError: they can't be read.
        """
        with self._file.reading() as connection:
            return self._measurements(connection, plan_id)

    def _record(self, document: str) -> PlanRecord:
        try:
            return plans.decode(document)
        except msgspec.DecodeError as error:
            raise self._file.unreadable(error) from error

    def _measurements(self, connection: sqlite3.Connection, plan_id: str) -> tuple[Measurement, ...]:
        # The second condition lets SQLite use the index, which holds rows with a plan only.
        query = "SELECT record FROM measurement WHERE plan = ? AND plan <> '' ORDER BY seq"
        rows = connection.execute(query, (plan_id,))
        return tuple(self._file.decoded(record, Measurement) for (record,) in rows)


def _unfinished(
    connection: sqlite3.Connection, plan: plans.Plan, session: str, settled: dict[str, CellState]
) -> Unfinished:
    rows = connection.execute(
        "SELECT cell, COUNT(*) FROM measurement WHERE plan = ? AND plan <> '' GROUP BY cell", (plan.id,)
    )
    counts = {str(cell): int(count) for cell, count in rows}
    return Unfinished(
        plan=plan,
        session=session,
        done=sum(counts.values()),
        total=sum(counts.get(cell.key, 0) if cell.key in settled else plan.repetitions for cell in plan.cells),
        models=tuple(model.name for model in plan.models),
        when=plan.created_at,
    )


def _settled(connection: sqlite3.Connection, plan_id: str) -> dict[str, CellState]:
    return dict(connection.execute("SELECT cell, state FROM plan_cell WHERE plan = ?", (plan_id,)).fetchall())


def _held(pid: int | None, started_s: float | None) -> bool:
    return pid is not None and started_s is not None and lives(Owner(pid, started_s))
