"""Plans of one kind in the store: held by the process that runs them, let go, found again by another."""

from __future__ import annotations

import sqlite3
from typing import Literal, NamedTuple

from slmtui.core.plan import PlanError
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


class HeldPlans:
    """The rows of plans; what their documents say is known to those that write them."""

    KIND: PlanKind

    def __init__(self, file: StoreFile) -> None:
        self._file = file

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

    def _begin(self, plan_id: str, session: str, created_at: str, document: str) -> None:
        """Write a plan, held by this process from now on."""
        owner = this_process()
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO plan (id, kind, session, created_at, document, owner_pid, owner_started_s)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (plan_id, self.KIND, session, created_at, document, owner.pid, owner.started_s),
            )

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
