"""Threads and processes that share one store, one of them killed."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from slmtui.sources.store import Store, StoreError
from tests.samples import ENVIRONMENT, measurement
from tests.sources.stores import begin, writer


def test_threads_share_one_store(store: Store) -> None:
    session = store.start_session(ENVIRONMENT).id
    failures: list[StoreError] = []

    def write(thread: int) -> None:
        try:
            for number in range(20):
                store.add(measurement(number, session=session, cell=str(thread)))
                store.sessions()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.session(session).measurements == 80


def test_processes_make_and_write_the_same_file_at_once(path: Path) -> None:
    processes = [writer(path, 15) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    with Store.open(path) as store:
        assert [session.measurements for session in store.sessions()] == [15, 15, 15]


def test_a_process_that_holds_the_file_is_named(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begin(store)
    monkeypatch.setattr("slmtui.sources.store_file.BUSY_S", 0.05)
    with Store.open(path) as other:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(StoreError, match=r"another program has held .*; end it and try again"):
                other.rename_session(session, "x")
        finally:
            holder.close()
        other.rename_session(session, "now")


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_process_loses_at_most_the_running_repetition(path: Path) -> None:
    process = writer(path, 1_000_000)
    assert process.stdout is not None
    written = [process.stdout.readline() for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    told = [line.split() for line in [*written, *rest.splitlines()] if len(line.split()) == 2]
    with Store.open(path) as store:
        session = store.session("latest")
        kept = [each.repetition for each in store.measurements(session.id)]
        assert session.id == told[0][0]
        assert kept == list(range(len(kept)))
        assert len(told) <= len(kept) <= len(told) + 1
        assert session.ended_at is None
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
