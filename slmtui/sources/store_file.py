"""The SQLite file below the store: opened, locked between threads, its errors in plain words."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from slmtui.core.measurement import Measurement
from slmtui.sources.store_schema import BUSY_S, StoreError, explained, prepare

_Value = TypeVar("_Value")


class StoreFile:
    """One connection that several threads share."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self.path = path
        """None when it lives in memory."""
        self.connection: sqlite3.Connection | None = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> StoreFile:
        """Open the database at `path`, making it and its folder where they are missing.

        Raises:
            StoreError: it can't be made or opened, is no database of slmtui, or was made by a newer slmtui.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"can't make the folder {path.parent}: {error.strerror}; "
                "set SLMTUI_HOME to a folder that you can write to"
            ) from error
        return cls._prepared(str(path), path)

    @classmethod
    def in_memory(cls) -> StoreFile:
        """A database that ends with the program."""
        return cls._prepared(":memory:", None)

    @classmethod
    def _prepared(cls, name: str, path: Path | None) -> StoreFile:
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(name, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            prepare(connection, path)
        except (sqlite3.Error, StoreError) as error:
            if connection is not None:
                connection.close()
            raise explained(error, path) from error
        return cls(connection, path)

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        with self._lock:
            connection, self.connection = self.connection, None
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone.

        Raises:
            StoreError: the file is closed, or what the block does fails.
        """
        with self._lock:
            if self.connection is None:
                raise StoreError("the store of measurements is closed; start slmtui again")
            try:
                yield self.connection
            except sqlite3.Error as error:
                raise explained(error, self.path) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block is on disk when it ends, or nothing of it.

        Raises:
            StoreError: the file is closed, or what the block does fails.
        """
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def decoded(self, document: str, kind: type[_Value]) -> _Value:
        """A stored JSON document as a value.

        Raises:
            StoreError: it is damaged, or another version wrote it.
        """
        try:
            return msgspec.json.decode(document, type=kind)
        except msgspec.DecodeError as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: msgspec.DecodeError) -> StoreError:
        """What to say of a document that can't be read."""
        return StoreError(
            f"a record in {self.path or 'memory'} can't be read ({error}); another version of slmtui may "
            "have written it: update slmtui, or move the file away and slmtui makes a new one"
        )


def insert_measurement(connection: sqlite3.Connection, measurement: Measurement) -> None:
    """Write one measurement, whose session is there already, inside a transaction."""
    connection.execute(
        "INSERT INTO measurement"
        " (id, session, kind, model, measured_at, cell, repetition, together, plan, source, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            measurement.id,
            measurement.session,
            measurement.kind,
            measurement.model,
            measurement.measured_at,
            measurement.cell,
            measurement.repetition,
            measurement.together,
            measurement.plan,
            measurement.source,
            msgspec.json.encode(measurement).decode(),
        ),
    )
