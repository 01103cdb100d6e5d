"""The tables and how an older file is brought to them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from slmtui.sources import store_schema
from slmtui.sources.store import Store
from tests.samples import ENVIRONMENT, measurement
from tests.sources.stores import begin


def test_is_written_once(path: Path) -> None:
    with Store.open(path) as store:
        session = begin(store)
    with Store.open(path) as store:
        assert store.session("latest").id == session
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (len(store_schema.STEPS),)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()


def test_an_older_file_is_brought_forward_with_its_rows(path: Path) -> None:
    with Store.open(path) as store:
        session = begin(store, repetitions=3)
    added = ("ALTER TABLE session ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",)
    raw = sqlite3.connect(path, isolation_level=None)
    store_schema.prepare(raw, path, (*store_schema.STEPS, added))
    assert raw.execute("SELECT id, mood FROM session").fetchall() == [(session, "calm")]
    assert raw.execute("PRAGMA user_version").fetchone() == (len(store_schema.STEPS) + 1,)
    raw.close()


def test_a_step_that_fails_changes_nothing(path: Path) -> None:
    Store.open(path).close()
    broken = ("CREATE TABLE half (x)", "CREATE TABLE half (x)")
    raw = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        store_schema.prepare(raw, path, (*store_schema.STEPS, broken))
    assert raw.execute("PRAGMA user_version").fetchone() == (len(store_schema.STEPS),)
    assert raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall() == []
    raw.close()


def test_a_file_from_before_plans_gets_them(path: Path) -> None:
    path.parent.mkdir()
    raw = sqlite3.connect(path, isolation_level=None)
    store_schema.prepare(raw, path, store_schema.STEPS[:1])
    old = measurement(0)
    raw.execute(
        "INSERT INTO session (id, started_at, environment) VALUES (?, ?, ?)",
        (old.session, old.measured_at, msgspec.json.encode(ENVIRONMENT).decode()),
    )
    for number in range(2):  # the same cell and repetition twice, as two plans of the first version could have it
        raw.execute(
            "INSERT INTO measurement (id, session, kind, model, measured_at, cell, repetition, together, record)"
            " VALUES (?, ?, 'bench', ?, ?, ?, 0, 0, ?)",
            (str(number), old.session, old.model, old.measured_at, old.cell, msgspec.json.encode(old).decode()),
        )
    raw.close()
    with Store.open(path) as store:
        assert store.measurements(old.session) == (old, old)
        assert store.plans.unfinished() == ()
        store.add(measurement(1, session=old.session, plan="p"))
        assert store.session(old.session).measurements == 3
        assert set(store.latest_speed()) == {old.model}
