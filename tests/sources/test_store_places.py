"""Folders, disks and files that do not work."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from slmtui.sources.store import Store, StoreError
from tests.samples import ENVIRONMENT, measurement
from tests.sources.stores import ROOT, WRITER, begin, fill, limit


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(StoreError, match=r"can't make the folder .*plain.*; set SLMTUI_HOME"):
        Store.open(tmp_path / "plain" / "data" / "slmtui.sqlite3")


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"{tmp_path.name} can't be written; make .* writable, or set"):
        Store.open(tmp_path)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"certainly no database " * 100)
    with pytest.raises(StoreError, match=r"slmtui\.sqlite3 is not a database; move the file away"):
        Store.open(path)
    assert path.read_bytes().startswith(b"certainly"), "somebody's file must stay as it is"


def test_another_programs_database(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database; move it away"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_newer_slmtui(path: Path) -> None:
    Store.open(path).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreError, match=r"made by a newer slmtui .*version 99, .*; update slmtui"):
        Store.open(path)


def test_a_damaged_database(path: Path) -> None:
    with Store.open(path) as store:
        begin(store, repetitions=30)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with Store.open(path) as store, pytest.raises(StoreError, match=r"is damaged; move the file away"):
        store.sessions()


def test_a_record_of_another_version(store: Store, path: Path) -> None:
    session = begin(store)
    raw = sqlite3.connect(path)
    raw.execute("UPDATE measurement SET record = '{}'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreError, match=r"can't be read .*missing required field.*: update slmtui"):
        store.measurements(session)
    assert store.session(session).measurements == 1, "the session itself is still listed"


def test_a_full_disk_loses_only_what_does_not_fit(store: Store) -> None:
    session = begin(store, repetitions=2)
    limit(store, "max_page_count = 1")
    with pytest.raises(StoreError, match=r"the disk of .*data is full; free some space.*before is safe"):
        fill(store, session)
    kept = store.session(session).measurements
    assert kept >= 2
    assert len(store.measurements(session)) == kept
    limit(store, "max_page_count = 100000")
    store.add(measurement(999, session=session))
    assert store.session(session).measurements == kept + 1


def test_a_full_disk_at_the_first_measurement_of_a_session(store: Store) -> None:
    fat = "x" * 100_000
    session = store.start_session(ENVIRONMENT).id
    limit(store, "max_page_count = 1")
    with pytest.raises(StoreError, match="is full"):
        store.add(measurement(session=session, cell=fat))
    assert store.sessions() == (), "a session must not be left behind without its measurement"
    limit(store, "max_page_count = 100000")
    store.add(measurement(session=session, cell=fat))
    assert store.session(session).measurements == 1


def test_read_only(store: Store) -> None:
    session = begin(store)
    limit(store, "query_only = ON")
    with pytest.raises(StoreError, match=r"slmtui\.sqlite3 can't be written; make .* writable, or set"):
        store.add(measurement(1, session=session))
    with pytest.raises(StoreError, match=r"slmtui\.sqlite3 can't be written"):
        store.start_session(ENVIRONMENT)
    assert len(store.measurements(session)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no file size limit")
def test_a_disk_that_takes_no_more_bytes(path: Path) -> None:
    code = WRITER.replace("import sys", "import resource, sys", 1).replace(
        "session = store", "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000,) * 2)\n    session = store"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "StoreError: " in done.stderr.splitlines()[-1]
    assert "SLMTUI_HOME" in done.stderr.splitlines()[-1]
    told = done.stdout.splitlines()
    assert told
    with Store.open(path) as store:
        assert store.session("latest").measurements == len(told)


def test_closed(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.sessions()
