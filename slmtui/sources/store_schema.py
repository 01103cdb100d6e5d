"""The store's tables, how an older file is brought to them, and SQLite's errors in plain words."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

BUSY_S = 10.0
"""How long to wait for another process that writes."""

APPLICATION_ID = 0x534C4D54
"""Marks a file as ours, in SQLite's header: "SLMT"."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE session (
            id TEXT PRIMARY KEY,
            started_at TEXT NOT NULL,
            ended_at TEXT,
            name TEXT NOT NULL DEFAULT '',
            environment TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE measurement (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            session TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            model TEXT NOT NULL,
            measured_at TEXT NOT NULL,
            cell TEXT NOT NULL,
            repetition INTEGER NOT NULL,
            together INTEGER NOT NULL,
            record TEXT NOT NULL
        )
        """,
        "CREATE INDEX measurement_by_session ON measurement (session, model, cell)",
        "CREATE INDEX measurement_by_model ON measurement (kind, model)",
    ),
    (
        "ALTER TABLE measurement ADD COLUMN plan TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE measurement ADD COLUMN source TEXT NOT NULL DEFAULT ''",
        "CREATE UNIQUE INDEX measurement_once ON measurement (plan, cell, repetition) WHERE plan <> ''",
        """
        CREATE TABLE plan (
            id TEXT PRIMARY KEY,
            session TEXT NOT NULL,
            created_at TEXT NOT NULL,
            document TEXT NOT NULL,
            ended TEXT CHECK (ended IN ('done', 'dropped')),
            owner_pid INTEGER,
            owner_started_s REAL
        )
        """,
        """
        CREATE TABLE plan_cell (
            plan TEXT NOT NULL REFERENCES plan (id) ON DELETE CASCADE,
            cell TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('failed', 'skipped')),
            reason TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (plan, cell)
        )
        """,
    ),
    (
        "ALTER TABLE plan ADD COLUMN kind TEXT NOT NULL DEFAULT 'bench'",
        """
        CREATE TABLE probe_batch (
            seq INTEGER PRIMARY KEY,
            session TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
            plan TEXT NOT NULL,
            cell TEXT NOT NULL,
            number INTEGER NOT NULL,
            model TEXT NOT NULL,
            record TEXT NOT NULL,
            UNIQUE (plan, cell, number)
        )
        """,
        "CREATE INDEX probe_batch_by_session ON probe_batch (session, model)",
        """
        CREATE TABLE probe_answer (
            plan TEXT NOT NULL,
            cell TEXT NOT NULL,
            question INTEGER NOT NULL,
            batch INTEGER NOT NULL REFERENCES probe_batch (seq) ON DELETE CASCADE,
            record TEXT NOT NULL,
            PRIMARY KEY (plan, cell, question)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX probe_answer_by_batch ON probe_answer (batch)",
    ),
)
"""Step n (from 0) brings a database from version n to n + 1. A released step is never edited: add another."""


class StoreError(RuntimeError):
    """The store can't do what was asked; the message names the file or session and says what to do."""


def prepare(connection: sqlite3.Connection, path: Path | None, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Check that the database is ours, switch on write-ahead logging, and bring its tables up to date.

    Raises:
        StoreError: the file is another program's, or was made by a newer slmtui.
        sqlite3.Error: it can't be read or written, or is no database.
    """
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    _refuse_foreign(connection, path)
    if path is not None:
        _log_ahead(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _number(connection, "user_version")
        if version > len(steps):
            raise StoreError(
                f"{path} was made by a newer slmtui (its tables have version {version}, this one knows "
                f"{len(steps)}); update slmtui, or set SLMTUI_HOME to another folder"
            )
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        if version < len(steps):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def explained(error: sqlite3.Error | StoreError, path: Path | None) -> StoreError:
    """The same failure in words that a person can act on."""
    if isinstance(error, StoreError):
        return error
    shown, folder = (str(path), str(path.parent)) if path else ("the store in memory", "memory")
    code = getattr(error, "sqlite_errorcode", None)
    move = "move the file away and slmtui makes a new one"
    match code & 0xFF if isinstance(code, int) else None:
        case sqlite3.SQLITE_FULL:
            why = (
                f"the disk of {folder} is full; free some space, or set SLMTUI_HOME to a folder on another "
                "disk. What was measured before is safe"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            why = f"{shown} can't be written; make {folder} writable, or set SLMTUI_HOME to another folder"
        case sqlite3.SQLITE_NOTADB:
            why = f"{shown} is not a database; {move}"
        case sqlite3.SQLITE_CORRUPT:
            why = f"{shown} is damaged; {move} (`sqlite3 {shown} .recover` saves what can be read)"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            why = f"another program has held {shown} for over {BUSY_S:g} s; end it and try again"
        case sqlite3.SQLITE_CONSTRAINT:
            why = f"this is in {shown} already, so it was not written a second time"
        case sqlite3.SQLITE_IOERR:
            why = f"reading or writing {shown} failed; check the disk, or set SLMTUI_HOME to another folder"
        case _:
            return StoreError(f"{shown}: {error}; if that stays so, {move}")
    return StoreError(f"{why} ({error})")


def _refuse_foreign(connection: sqlite3.Connection, path: Path | None) -> None:
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables and _number(connection, "application_id") != APPLICATION_ID:
        raise StoreError(f"{path} is another program's database; move it away, or set SLMTUI_HOME to another folder")


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; where the file system can't, SQLite keeps its rollback journal."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait for this lock by itself when two processes make the file at the same time.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)
