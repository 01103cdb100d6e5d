from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmtui.core.measurement import Measurement
from slmtui.sources import store_schema
from slmtui.sources.store import Store, StoreError
from tests.samples import ENVIRONMENT, full_measurement, measurement, timing

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from slmtui.sources.store import Store
from tests.samples import ENVIRONMENT, full_measurement
with Store.open(Path(sys.argv[1])) as store:
    session = store.start_session(ENVIRONMENT)
    for repetition in range(int(sys.argv[2])):
        store.add(full_measurement(repetition, session=session.id))
        print(session.id, repetition, flush=True)
    store.end_session(session.id)
"""


def writer(path: Path, repetitions: int) -> subprocess.Popen[str]:
    """Another process that measures."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(repetitions)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "slmtui.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


def begin(store: Store, *, repetitions: int = 1, model: str = "pocket-5m:Q8_0") -> str:
    session = store.start_session(ENVIRONMENT)
    for number in range(repetitions):
        store.add(measurement(number, session=session.id, model=model))
    return session.id


class TestSessions:
    def test_everything_comes_back_as_it_was(self, store: Store, path: Path) -> None:
        session = store.start_session(ENVIRONMENT)
        added = (
            full_measurement(0, session=session.id),
            measurement(1, session=session.id, model="/modèles/「小」.gguf"),
        )
        for each in added:
            store.add(each)
        store.end_session(session.id)
        with Store.open(path) as again:
            found = again.session(session.id)
            assert again.measurements(session.id) == added
        assert found.environment == ENVIRONMENT
        assert (found.started_at, found.measurements) == (session.started_at, 2)
        assert found.models == ("pocket-5m:Q8_0", "/modèles/「小」.gguf")
        assert found.ended_at is not None
        assert found.ended_at >= found.started_at

    def test_ids_are_short_sort_by_time_and_differ(self, store: Store) -> None:
        ids = {store.start_session(ENVIRONMENT).id for _ in range(200)}
        assert len(ids) == 200
        assert all(re.fullmatch(r"\d{8}-\d{4}-[0-9a-f]{4}", identity) for identity in ids)

    def test_one_without_measurements_leaves_nothing(self, store: Store) -> None:
        session = store.start_session(ENVIRONMENT)
        assert store.session(session.id) == session
        assert store.measurements(session.id) == ()
        store.end_session(session.id)
        assert store.sessions() == ()
        with pytest.raises(StoreError, match="no session"):
            store.session(session.id)

    def test_newest_first_and_latest(self, store: Store) -> None:
        ids = [begin(store, repetitions=number) for number in (1, 2, 3)]
        assert [session.id for session in store.sessions()] == ids[::-1]
        assert [session.measurements for session in store.sessions()] == [3, 2, 1]
        assert store.session("latest").id == ids[-1]
        assert store.session(" LATEST ").measurements == 3

    def test_a_prefix_is_enough_when_only_one_begins_so(self, store: Store) -> None:
        first, second = begin(store), begin(store)
        assert store.session(first).id == first
        with pytest.raises(StoreError, match=rf"2 sessions begin with {first[:8]} \(.*{second}.*type more"):
            store.session(first[:8])
        store.delete_session(second)
        assert store.session(first[:8]).id == first

    @pytest.mark.parametrize("wanted", ["19990101", "%", "_", "nonsense\x1b[31m"])
    def test_an_unknown_one_says_what_to_do(self, store: Store, wanted: str) -> None:
        begin(store)
        with pytest.raises(StoreError, match=r"there is no session .*; `slmtui sessions` lists") as caught:
            store.session(wanted)
        assert "\x1b" not in str(caught.value)

    @pytest.mark.parametrize("wanted", ["latest", "", " "])
    def test_before_the_first_measurement(self, store: Store, wanted: str) -> None:
        with pytest.raises(StoreError, match="nothing has been measured yet"):
            store.session(wanted)

    def test_names(self, store: Store) -> None:
        session = store.start_session(ENVIRONMENT)
        store.rename_session(session.id, "before \x1b[31mit\n began")
        assert store.session(session.id).name == "before it began"
        store.add(measurement(session=session.id))
        assert store.session(session.id).name == "before it began"
        store.rename_session(session.id, "Größe")
        assert store.sessions()[0].name == "Größe"
        with pytest.raises(StoreError, match="no session"):
            store.rename_session("19990101-0000-0000", "x")

    def test_deleting_takes_the_measurements_along(self, store: Store, path: Path) -> None:
        kept, gone = begin(store, repetitions=2), begin(store, repetitions=3)
        store.end_session(gone)
        store.delete_session(gone)
        assert [session.id for session in store.sessions()] == [kept]
        with sqlite3.connect(path) as raw:
            assert raw.execute("SELECT DISTINCT session FROM measurement").fetchall() == [(kept,)]
        raw.close()
        with pytest.raises(StoreError, match="no session"):
            store.delete_session(gone)

    def test_measuring_goes_on_after_the_running_one_was_deleted(self, store: Store) -> None:
        session = begin(store)
        store.delete_session(session)
        store.add(measurement(5, session=session))
        assert [each.repetition for each in store.measurements(session)] == [5]

    def test_a_measurement_of_no_session_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="no session 19990101-0000-0000"):
            store.add(measurement(session="19990101-0000-0000"))

    def test_in_memory(self) -> None:
        with Store.in_memory() as store:
            session = begin(store, repetitions=2)
            assert store.path is None
            assert len(store.measurements(session)) == 2


class TestLatestSpeed:
    def test_is_the_median_of_the_newest_cell_of_each_model(self, store: Store) -> None:
        session = store.start_session(ENVIRONMENT).id
        for model, cell, seconds in (
            ("a", "old", (1.0,)),
            ("b", "only", (0.5, 0.25, 1.0)),
            ("a", "new", (0.1, 0.2, 0.4)),
        ):
            for number, second in enumerate(seconds):
                store.add(measurement(number, session=session, model=model, cell=cell, timing=timing(second, second)))
        assert store.latest_speed() == {
            "a": (2560.0, 640.0),
            "b": (1024.0, 256.0),
        }

    def test_chats_and_contended_cells_do_not_count(self, store: Store) -> None:
        session = store.start_session(ENVIRONMENT).id
        store.add(measurement(0, session=session, timing=timing(1.0, None)))
        store.add(full_measurement(1, session=session))
        store.add(measurement(2, session=session, cell="together", together=True))
        assert store.latest_speed() == {"pocket-5m:Q8_0": (512.0, None)}

    def test_is_empty_at_first(self, store: Store) -> None:
        assert store.latest_speed() == {}


class TestManyWriters:
    def test_threads_share_one_store(self, store: Store) -> None:
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

    def test_processes_make_and_write_the_same_file_at_once(self, path: Path) -> None:
        processes = [writer(path, 15) for _ in range(3)]
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        with Store.open(path) as store:
            assert [session.measurements for session in store.sessions()] == [15, 15, 15]

    def test_a_process_that_holds_the_file_is_named(
        self, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = begin(store)
        monkeypatch.setattr("slmtui.sources.store.BUSY_S", 0.05)
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
    def test_a_killed_process_loses_at_most_the_running_repetition(self, path: Path) -> None:
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


class TestBadPlaces:
    def test_a_folder_that_can_not_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "plain").write_text("a file")
        with pytest.raises(StoreError, match=r"can't make the folder .*plain.*; set SLMTUI_HOME"):
            Store.open(tmp_path / "plain" / "data" / "slmtui.sqlite3")

    def test_a_folder_in_the_files_place(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=rf"{tmp_path.name} can't be written; make .* writable, or set"):
            Store.open(tmp_path)

    def test_a_file_that_is_no_database(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"certainly no database " * 100)
        with pytest.raises(StoreError, match=r"slmtui\.sqlite3 is not a database; move the file away"):
            Store.open(path)
        assert path.read_bytes().startswith(b"certainly"), "somebody's file must stay as it is"

    def test_another_programs_database(self, path: Path) -> None:
        path.parent.mkdir()
        with sqlite3.connect(path) as raw:
            raw.execute("CREATE TABLE theirs (x)")
        raw.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match="another program's database; move it away"):
            Store.open(path)
        assert path.read_bytes() == before

    def test_a_newer_slmtui(self, path: Path) -> None:
        Store.open(path).close()
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA user_version = 99")
        raw.close()
        with pytest.raises(StoreError, match=r"made by a newer slmtui .*version 99, .*; update slmtui"):
            Store.open(path)

    def test_a_damaged_database(self, path: Path) -> None:
        with Store.open(path) as store:
            begin(store, repetitions=30)
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        path.write_bytes(content)
        with Store.open(path) as store, pytest.raises(StoreError, match=r"is damaged; move the file away"):
            store.sessions()

    def test_a_record_of_another_version(self, store: Store, path: Path) -> None:
        session = begin(store)
        raw = sqlite3.connect(path)
        raw.execute("UPDATE measurement SET record = '{}'")
        raw.commit()
        raw.close()
        with pytest.raises(StoreError, match=r"can't be read .*missing required field.*: update slmtui"):
            store.measurements(session)
        assert store.session(session).measurements == 1, "the session itself is still listed"

    def test_a_full_disk_loses_only_what_does_not_fit(self, store: Store) -> None:
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

    def test_a_full_disk_at_the_first_measurement_of_a_session(self, store: Store) -> None:
        fat = "x" * 100_000
        session = store.start_session(ENVIRONMENT).id
        limit(store, "max_page_count = 1")
        with pytest.raises(StoreError, match="is full"):
            store.add(measurement(session=session, cell=fat))
        assert store.sessions() == (), "a session must not be left behind without its measurement"
        limit(store, "max_page_count = 100000")
        store.add(measurement(session=session, cell=fat))
        assert store.session(session).measurements == 1

    def test_read_only(self, store: Store) -> None:
        session = begin(store)
        limit(store, "query_only = ON")
        with pytest.raises(StoreError, match=r"slmtui\.sqlite3 can't be written; make .* writable, or set"):
            store.add(measurement(1, session=session))
        with pytest.raises(StoreError, match=r"slmtui\.sqlite3 can't be written"):
            store.start_session(ENVIRONMENT)
        assert len(store.measurements(session)) == 1

    @pytest.mark.skipif(sys.platform == "win32", reason="has no file size limit")
    def test_a_disk_that_takes_no_more_bytes(self, path: Path) -> None:
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

    def test_closed(self, store: Store) -> None:
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.sessions()


class TestSchema:
    def test_is_written_once(self, path: Path) -> None:
        with Store.open(path) as store:
            session = begin(store)
        with Store.open(path) as store:
            assert store.session("latest").id == session
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA user_version").fetchone() == (len(store_schema.STEPS),)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()

    def test_an_older_file_is_brought_forward_with_its_rows(self, path: Path) -> None:
        with Store.open(path) as store:
            session = begin(store, repetitions=3)
        added = ("ALTER TABLE session ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",)
        raw = sqlite3.connect(path, isolation_level=None)
        store_schema.prepare(raw, path, (*store_schema.STEPS, added))
        assert raw.execute("SELECT id, mood FROM session").fetchall() == [(session, "calm")]
        assert raw.execute("PRAGMA user_version").fetchone() == (len(store_schema.STEPS) + 1,)
        raw.close()

    def test_a_step_that_fails_changes_nothing(self, path: Path) -> None:
        Store.open(path).close()
        broken = ("CREATE TABLE half (x)", "CREATE TABLE half (x)")
        raw = sqlite3.connect(path, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            store_schema.prepare(raw, path, (*store_schema.STEPS, broken))
        assert raw.execute("PRAGMA user_version").fetchone() == (len(store_schema.STEPS),)
        assert raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall() == []
        raw.close()


def limit(store: Store, pragma: str) -> None:
    """Make the store's own connection refuse to write, as a full or read-only disk does."""
    assert store._connection is not None
    store._connection.execute(f"PRAGMA {pragma}").fetchall()


def fill(store: Store, session: str) -> list[Measurement]:
    """Add measurements until the store refuses."""
    added = []
    for number in range(10, 2000):
        added.append(measurement(number, session=session))
        store.add(added[-1])
    return added
