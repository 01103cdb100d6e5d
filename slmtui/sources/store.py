"""Everything measured, in one SQLite file: a row a repetition, on disk before anybody is told of it.

Write-ahead logging lets other processes read and write at the same time; a commit waits for the disk, so that
killing this process loses at most the running repetition.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from slmtui.core.measurement import Environment, Measurement, Session
from slmtui.core.text import one_line
from slmtui.sources.store_file import StoreFile, insert_measurement
from slmtui.sources.store_imports import ImportTable
from slmtui.sources.store_schema import StoreError

if TYPE_CHECKING:
    from slmtui.sources.store_plans import PlanTable
    from slmtui.sources.store_probes import ProbeTable

__all__ = ["Store", "StoreError"]

_SESSIONS = "SELECT id, started_at, ended_at, name, environment FROM session"


class Store:
    """Sessions and their measurements; safe to use from several threads.

    A session costs nothing until its first measurement: only that writes its row.
    """

    def __init__(self, file: StoreFile) -> None:
        self.path = file.path
        """The database file; None when it lives in memory and ends with the program."""
        self.imports = ImportTable(file)
        self._file = file
        self._running: dict[str, Session] = {}

    # What knows plans is imported when it is asked for: it costs 20 ms, and the app's first frame does not need it.

    @cached_property
    def plans(self) -> PlanTable:
        """The plans of benchmarks."""
        from slmtui.sources.store_plans import PlanTable

        return PlanTable(self._file)

    @cached_property
    def probes(self) -> ProbeTable:
        """The plans of probes, and their answers."""
        from slmtui.sources.store_probes import ProbeTable

        return ProbeTable(self._file, self._write_session)

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the database at `path`, making it and its folder where they are missing.

        Raises:
            StoreError: it can't be made or opened, is no database of slmtui, or was made by a newer slmtui.
        """
        return cls(StoreFile.open(path))

    @classmethod
    def in_memory(cls) -> Store:
        """A store that ends with the program, for when the disk can't be written."""
        return cls(StoreFile.in_memory())

    def start_session(self, environment: Environment) -> Session:
        """Begin a session, whose row is written with its first measurement.

        Raises:
            StoreError: the store can only be read, so measuring would be in vain.
        """
        now = datetime.now(UTC)
        with self._file.writing() as connection:
            # SQLite opens a read-only file without complaint; only a statement that may write asks.
            connection.execute("DELETE FROM session WHERE id = ''")
            while True:
                identity = f"{now:%Y%m%d-%H%M}-{secrets.token_hex(2)}"
                taken = connection.execute("SELECT 1 FROM session WHERE id = ?", (identity,)).fetchone()
                if taken is None and identity not in self._running:
                    break
            session = Session(id=identity, started_at=_iso(now), environment=environment)
            self._running[identity] = session
        return session

    def end_session(self, session_id: str) -> None:
        """Note that the session has ended; one without measurements leaves nothing behind."""
        with self._file.writing() as connection:
            connection.execute("UPDATE session SET ended_at = ? WHERE id = ?", (_iso(datetime.now(UTC)), session_id))
            self._running.pop(session_id, None)

    def reopen_session(self, session_id: str) -> Session | None:
        """Let a session that has ended go on; None when there is none that holds a measurement."""
        with self._file.writing() as connection:
            connection.execute("UPDATE session SET ended_at = NULL WHERE id = ?", (session_id,))
            rows = connection.execute(f"{_SESSIONS} WHERE id = ?", (session_id,)).fetchall()
            return self._described(connection, rows)[0] if rows else None

    def rename_session(self, session_id: str, name: str) -> None:
        """Give the session a name; control characters in it are dropped.

        Raises:
            StoreError: there is no such session.
        """
        name = one_line(name)
        with self._file.writing() as connection:
            changed = connection.execute("UPDATE session SET name = ? WHERE id = ?", (name, session_id))
            running = self._running.get(session_id)
            if changed.rowcount == 0 and running is None:
                raise _no_session(session_id)
            if running is not None:
                self._running[session_id] = msgspec.structs.replace(running, name=name)

    def delete_session(self, session_id: str) -> None:
        """Delete the session with all its measurements and plans.

        Raises:
            StoreError: there is no such session.
        """
        with self._file.writing() as connection:
            connection.execute("DELETE FROM plan WHERE session = ?", (session_id,))
            deleted = connection.execute("DELETE FROM session WHERE id = ?", (session_id,))
            if deleted.rowcount == 0 and session_id not in self._running:
                raise _no_session(session_id)

    def add(self, measurement: Measurement) -> None:
        """Write one repetition; it is on disk when this returns.

        Raises:
            StoreError: the disk is full or can't be written, nobody started the session, or its plan has this
                repetition of this cell already. What was written before is safe, and a measurement that found no
                room may be added again once there is some.
        """
        with self._file.writing() as connection:
            self._write_session(connection, measurement.session)
            insert_measurement(connection, measurement)

    def sessions(self) -> tuple[Session, ...]:
        """All sessions that hold a measurement, newest first, with their counts and models."""
        with self._file.reading() as connection:
            rows = connection.execute(f"{_SESSIONS} ORDER BY started_at DESC, id DESC").fetchall()
            return self._described(connection, rows)

    def session(self, id_or_prefix: str) -> Session:
        """The session with this id, the only one that begins so, or the newest for `latest`.

        Raises:
            StoreError: there is none, or more than one begins so.
        """
        wanted = one_line(id_or_prefix).lower()  # without halves of characters, which SQLite does not take
        with self._file.reading() as connection:
            if wanted == "latest":
                query = f"{_SESSIONS} ORDER BY started_at DESC, id DESC LIMIT 1"
                rows = connection.execute(query).fetchall()
            else:
                query = f"{_SESSIONS} WHERE substr(id, 1, length(?)) = ? ORDER BY id"
                rows = connection.execute(query, (wanted, wanted)).fetchall() if wanted else []
            exact = [row for row in rows if row[0] == wanted]
            if len(exact or rows) == 1:
                return self._described(connection, exact or rows)[0]
        if not rows and wanted in self._running:
            return self._running[wanted]
        raise _no_session(id_or_prefix) if not rows else _ambiguous(id_or_prefix, [row[0] for row in rows])

    def measurements(self, session_id: str) -> tuple[Measurement, ...]:
        """The session's repetitions in the order in which they were measured; none for an unknown session."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT record FROM measurement WHERE session = ? ORDER BY seq", (session_id,))
            return tuple(self._file.decoded(record, Measurement) for (record,) in rows)

    def latest_speed(self) -> dict[str, tuple[float | None, float | None]]:
        """Median prefill and decode speed (tokens per second) of each model's most recent benchmark.

        Of a plan it is the cell that it measured first: the usual one, where others are deeper or on fewer threads.
        Cells that ran together with other models do not count, since they say little about the model alone; nor do
        imported ones, which may come from another machine.
        """
        alone = "kind = 'bench' AND NOT together AND source = ''"
        query = (
            f"WITH own AS (SELECT * FROM measurement WHERE {alone}),"
            " newest AS (SELECT * FROM own WHERE seq IN (SELECT MAX(seq) FROM own GROUP BY model)),"
            " chosen AS (SELECT n.model, n.session, n.plan, CASE n.plan WHEN '' THEN n.cell ELSE (SELECT o.cell"
            " FROM own AS o WHERE o.plan = n.plan AND o.model = n.model ORDER BY o.seq LIMIT 1) END AS cell"
            " FROM newest AS n)"
            " SELECT record FROM own JOIN chosen USING (model, session, plan, cell) ORDER BY seq"
        )
        from slmtui.core.results import cell_results

        with self._file.reading() as connection:
            found = [self._file.decoded(record, Measurement) for (record,) in connection.execute(query)]
        return {
            result.model: (
                result.prefill_tps.median if result.prefill_tps else None,
                result.decode_tps.median if result.decode_tps else None,
            )
            for result in cell_results(found)
        }

    def recent_benchmarks(self, limit: int = 500) -> tuple[tuple[str, Measurement], ...]:
        """The latest repetitions of own benchmarks, in the order of measuring, each with its session's id.

        Those that ran together with other models and imported ones do not count, as in `latest_speed`.
        """
        query = (
            "SELECT session, record FROM measurement WHERE kind = 'bench' AND NOT together AND source = ''"
            " ORDER BY seq DESC LIMIT ?"
        )
        with self._file.reading() as connection:
            rows = connection.execute(query, (limit,)).fetchall()
            return tuple((session, self._file.decoded(record, Measurement)) for session, record in reversed(rows))

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_session(self, connection: sqlite3.Connection, session_id: str) -> None:
        """See that the session's row is there, in the transaction that writes something of it.

        Raises:
            StoreError: nobody started the session.
        """
        running = self._running.get(session_id)
        if running is not None:
            environment = msgspec.json.encode(running.environment).decode()
            connection.execute(
                "INSERT INTO session (id, started_at, name, environment) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (running.id, running.started_at, running.name, environment),
            )
        elif not _exists(connection, session_id):
            raise _no_session(session_id)

    def _described(self, connection: sqlite3.Connection, rows: Sequence[tuple[str, ...]]) -> tuple[Session, ...]:
        only = (rows[0][0],) if len(rows) == 1 else ()
        where = " WHERE session = ?" if only else ""
        measured = connection.execute(
            f"SELECT session, model, COUNT(*) FROM measurement{where} GROUP BY session, model ORDER BY MIN(seq)", only
        )
        asked = connection.execute(
            "SELECT session, model, COUNT(*) FROM probe_batch AS b JOIN probe_answer AS a ON a.batch = b.seq"
            f"{where} GROUP BY session, model ORDER BY MIN(seq)",
            only,
        )
        models: dict[str, dict[str, None]] = {}
        counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for counter, grouped in zip(counts, (measured, asked), strict=True):
            for session, model, count in grouped:
                models.setdefault(session, {})[model] = None
                counter[session] += count
        measurements, answers = counts
        return tuple(
            Session(
                id=identity,
                started_at=started_at,
                ended_at=ended_at,
                name=name,
                environment=self._file.decoded(environment, Environment),
                measurements=measurements[identity],
                answers=answers[identity],
                models=tuple(models.get(identity, ())),
            )
            for identity, started_at, ended_at, name, environment in rows
        )


def _exists(connection: sqlite3.Connection, session_id: str) -> bool:
    return connection.execute("SELECT 1 FROM session WHERE id = ?", (session_id,)).fetchone() is not None


def _no_session(wanted: str) -> StoreError:
    if wanted.strip().lower() in ("", "latest"):
        return StoreError("nothing has been measured yet; `slmtui bench` or a chat makes the first session")
    return StoreError(f"there is no session {one_line(wanted)}; `slmtui sessions` lists those that there are")


def _ambiguous(wanted: str, ids: Sequence[str]) -> StoreError:
    shown = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    return StoreError(f"{len(ids)} sessions begin with {one_line(wanted)} ({shown}); type more of one")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
