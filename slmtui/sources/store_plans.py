"""Benchmarks' plans in the store: written before their first run, continued by another process."""

from __future__ import annotations

import sqlite3

from slmtui.core.measurement import Measurement
from slmtui.core.plan import Plan, PlanRecord, Unfinished
from slmtui.sources.store_held import CellState, HeldPlans, settled


class PlanTable(HeldPlans[PlanRecord, Measurement]):
    """The plans of one store."""

    KIND = "bench"
    RECORD = PlanRecord

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Plans of which repetitions are missing and that no living process holds, newest first."""
        found: list[Unfinished] = []
        with self._file.reading() as connection:
            for row, record in self._readable(connection, "ended IS NULL"):
                if row.held:
                    continue
                one = _unfinished(connection, record.plan, row.session, settled(connection, row.id))
                if one.done < one.total:
                    found.append(one)
        return tuple(found)

    def _done(self, connection: sqlite3.Connection, plan_id: str) -> tuple[Measurement, ...]:
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
