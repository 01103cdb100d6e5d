"""Benchmarks' plans in the store: written before their first run, continued by another process."""

from __future__ import annotations

import sqlite3

import msgspec

from slmtui.core import documents
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Plan, PlanRecord, Unfinished
from slmtui.sources.store_held import CellState, HeldPlans, settled


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as it was left."""

    record: PlanRecord
    session: str
    settled: dict[str, CellState] = {}
    """Keys of the cells that were given up."""
    measurements: tuple[Measurement, ...] = ()
    """Its repetitions in the order in which they were measured."""


class PlanTable(HeldPlans[PlanRecord]):
    """The plans of one store."""

    KIND = "bench"
    RECORD = PlanRecord

    def claim(self, plan_id: str) -> StoredPlan | None:
        """Take a plan into this process's hands; None when it was never begun.

        Raises:
            PlanError: a living process holds it.
            StoreError: it can't be read or written.
        """
        with self._file.writing() as connection:
            row = self._claim(connection, plan_id)
            if row is None:
                return None
            return StoredPlan(
                record=self._record(row),
                session=row.session,
                settled=settled(connection, plan_id),
                measurements=self._measurements(connection, plan_id),
            )

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Plans of which repetitions are missing and that no living process holds, newest first."""
        found: list[Unfinished] = []
        with self._file.reading() as connection:
            for row in self._rows(connection, "ended IS NULL"):
                if row.held:
                    continue
                try:
                    plan = documents.decode(row.document, PlanRecord).plan
                except msgspec.DecodeError:
                    continue  # another version's; that must not hide the others
                one = _unfinished(connection, plan, row.session, settled(connection, row.id))
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

    def _measurements(self, connection: sqlite3.Connection, plan_id: str) -> tuple[Measurement, ...]:
        # The second condition lets SQLite use the index, which holds rows with a plan only.
        query = "SELECT record FROM measurement WHERE plan = ? AND plan <> '' ORDER BY seq"
        rows = connection.execute(query, (plan_id,))
        return tuple(self._file.decoded(record, Measurement) for (record,) in rows)


def _unfinished(connection: sqlite3.Connection, plan: Plan, session: str, given_up: dict[str, CellState]) -> Unfinished:
    rows = connection.execute(
        "SELECT cell, COUNT(*) FROM measurement WHERE plan = ? AND plan <> '' GROUP BY cell", (plan.id,)
    )
    counts = {str(cell): int(count) for cell, count in rows}
    return Unfinished(
        plan=plan,
        session=session,
        done=sum(counts.values()),
        total=sum(counts.get(cell.key, 0) if cell.key in given_up else plan.repetitions for cell in plan.cells),
        models=tuple(model.name for model in plan.models),
        when=plan.created_at,
    )
