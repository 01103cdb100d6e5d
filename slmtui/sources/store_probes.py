"""Probes in the store: their plans, and a row for each answer, a whole batch at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

import msgspec

from slmtui.core import documents
from slmtui.core.probe import Answer, KeptProbe, ProbeBatch, ProbePlan, ProbeRecord
from slmtui.sources.store_file import StoreFile
from slmtui.sources.store_held import CellState, HeldPlan, HeldPlans, settled

_BATCHES = "SELECT seq, record FROM probe_batch WHERE"


class ProbeTable(HeldPlans[ProbeRecord, ProbeBatch]):
    """The probes of one store."""

    KIND = "probe"
    RECORD = ProbeRecord

    def __init__(self, file: StoreFile, write_session: Callable[[sqlite3.Connection, str], None]) -> None:
        super().__init__(file)
        self._write_session = write_session

    def rewrite(self, record: ProbeRecord) -> None:
        """Put another document in the place of a plan's; cells that were given up may go on again.

        Raises:
            StoreError: it can't be written.
        """
        with self._file.writing() as connection:
            connection.execute("UPDATE plan SET document = ? WHERE id = ?", (documents.encode(record), record.plan.id))
            connection.execute("DELETE FROM plan_cell WHERE plan = ?", (record.plan.id,))

    def add(self, batch: ProbeBatch) -> None:
        """Write a batch with all its answers; all of it is on disk when this returns.

        Raises:
            StoreError: the disk is full or can't be written, nobody started the session, or an answer is there already.
        """
        measurement = batch.measurement
        record = msgspec.json.encode(msgspec.structs.replace(batch, answers=())).decode()
        with self._file.writing() as connection:
            self._write_session(connection, measurement.session)
            place = connection.execute(
                "INSERT INTO probe_batch (session, plan, cell, number, model, record) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    measurement.session,
                    measurement.plan,
                    measurement.cell,
                    measurement.repetition,
                    measurement.model,
                    record,
                ),
            ).lastrowid
            connection.executemany(
                "INSERT INTO probe_answer (plan, cell, question, batch, record) VALUES (?, ?, ?, ?, ?)",
                [
                    (measurement.plan, measurement.cell, one.question, place, msgspec.json.encode(one).decode())
                    for one in batch.answers
                ],
            )

    def of_session(self, session_id: str) -> tuple[ProbeBatch, ...]:
        """What a session has asked, in its order.

        Raises:
            StoreError: it can't be read.
        """
        with self._file.reading() as connection:
            return self._read(connection, f"{_BATCHES} session = ? ORDER BY seq", session_id)

    def latest(self, model: str) -> ProbeBatch | None:
        """The newest batch of a model (its id), without answers.

        Raises:
            StoreError: it can't be read.
        """
        query = "SELECT record FROM probe_batch WHERE model = ? ORDER BY seq DESC LIMIT 1"
        with self._file.reading() as connection:
            row = connection.execute(query, (model,)).fetchone()
        return None if row is None else self._file.decoded(row[0], ProbeBatch)

    def kept(self) -> tuple[KeptProbe, ...]:
        """All plans, newest first; those that another version wrote are left out.

        Raises:
            StoreError: they can't be read.
        """
        found: list[KeptProbe] = []
        with self._file.reading() as connection:
            counted = connection.execute("SELECT plan, cell, COUNT(*) FROM probe_answer GROUP BY plan, cell")
            counts = {(plan, cell): count for plan, cell, count in counted}
            for row, record in self._readable(connection, "TRUE"):
                plan = record.plan
                answered = {cell.key: counts.get((plan.id, cell.key), 0) for cell in plan.cells}
                found.append(_kept(plan, row, answered, settled(connection, row.id)))
        return tuple(found)

    def _done(self, connection: sqlite3.Connection, plan_id: str) -> tuple[ProbeBatch, ...]:
        return self._read(connection, f"{_BATCHES} plan = ? ORDER BY seq", plan_id)

    def _read(self, connection: sqlite3.Connection, query: str, value: str) -> tuple[ProbeBatch, ...]:
        found: list[ProbeBatch] = []
        for place, record in connection.execute(query, (value,)).fetchall():
            rows = connection.execute("SELECT record FROM probe_answer WHERE batch = ? ORDER BY question", (place,))
            answers = tuple(self._file.decoded(answer, Answer) for (answer,) in rows)
            found.append(msgspec.structs.replace(self._file.decoded(record, ProbeBatch), answers=answers))
        return tuple(found)


def _kept(plan: ProbePlan, row: HeldPlan, answered: Mapping[str, int], given_up: Mapping[str, CellState]) -> KeptProbe:
    return KeptProbe(
        plan=plan,
        session=row.session,
        answered=sum(answered.values()),
        total=sum(answered[cell.key] if cell.key in given_up else plan.asked(cell) for cell in plan.cells),
        held=row.held,
        dropped=row.ended == "dropped",
    )
