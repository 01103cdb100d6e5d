"""Sessions that were measured elsewhere: written at once or not at all, and known again by their file's hash."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slmtui.core.measurement import Environment, Measurement, Session
from slmtui.sources.store_file import StoreFile, insert_measurement
from slmtui.sources.store_schema import StoreError


class ImportTable:
    """The imported sessions of one store."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def find(self, sha256: str) -> str | None:
        """Id of the session that was imported from a file with this content; None when there is none.

        Raises:
            StoreError: the store can't be read.
        """
        with self._file.reading() as connection:
            for identity, document in connection.execute(
                "SELECT id, environment FROM session WHERE instr(environment, ?) > 0 ORDER BY started_at", (sha256,)
            ):
                imported = self._file.decoded(document, Environment).imported
                if imported is not None and imported.sha256 == sha256:
                    return str(identity)
        return None

    def add(self, session: Session, measurements: Sequence[Measurement]) -> None:
        """Write a session with all its measurements; all of it is on disk when this returns, or nothing.

        Raises:
            StoreError: the disk is full or can't be written, or a session or measurement of that id is there already.
        """
        if session.environment.imported is None:
            raise StoreError(f"session {session.id} does not say where it was imported from, so it is not kept")
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO session (id, started_at, ended_at, name, environment) VALUES (?, ?, ?, ?, ?)",
                (
                    session.id,
                    session.started_at,
                    session.ended_at,
                    session.name,
                    msgspec.json.encode(session.environment).decode(),
                ),
            )
            for measurement in measurements:
                insert_measurement(connection, measurement)
