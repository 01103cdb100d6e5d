"""Plans in the store: held by one process, each repetition once, read again by another."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from slmtui.core.catalog import LocalModel
from slmtui.core.plan import Cell, Plan, PlanError, PlanRecord, Setup, Shape
from slmtui.sources.owners import Owner, lives, this_process
from slmtui.sources.store import Store, StoreError
from tests.samples import ENVIRONMENT, measurement
from tests.sources.stores import ROOT, limit

MODEL = LocalModel(id="pocket-5m:Q8_0", name="Pocket", path=Path("/m/「小」.gguf"), size_bytes=5)
CELLS = tuple(Cell(key=f"c{n}", model=MODEL, setup=Setup(), shape=Shape(depth=n)) for n in range(2))
PLAN = Plan(id="p1", preset="standard", cells=CELLS, repetitions=3, created_at="2026-11-21T09:00:00.000+00:00")
RECORD = PlanRecord(plan=PLAN, sha256={str(MODEL.path): "ab" * 32}, slmtui="0.1.0", engine="0.3.36")

HOLDER = """
import sys
from pathlib import Path
from slmtui.sources.store import Store
from tests.sources.test_store_plans import RECORD
store = Store.open(Path(sys.argv[1]))
store.plans.begin(RECORD, "20261121-0131-a7f3")
print("held", flush=True)
input()
"""


def begun(store: Store, record: PlanRecord = RECORD) -> str:
    """A plan that was begun and let go, and its session's id."""
    session = store.start_session(ENVIRONMENT).id
    store.plans.begin(record, session)
    store.plans.release(record.plan.id)
    return session


def test_a_plan_comes_back_with_what_it_has(store: Store, path: Path) -> None:
    session = begun(store)
    added = [measurement(number, session=session, plan="p1", cell="c0") for number in (0, 1)]
    for one in added:
        store.add(one)
    store.add(measurement(7, session=session))
    store.plans.settle("p1", "c1", "failed", "it crashed")
    with Store.open(path) as again:
        stored = again.plans.claim("p1")
    assert stored is not None
    assert stored.record == RECORD
    assert (stored.session, stored.settled, stored.done) == (session, {"c1": "failed"}, tuple(added))
    assert store.plans.claim("unknown") is None
    assert store.plans.done("p1") == tuple(added)
    assert store.plans.done("") == ()


def test_a_repetition_of_a_plan_is_there_once(store: Store) -> None:
    session = begun(store)
    first = measurement(0, session=session, plan="p1", cell="c0")
    store.add(first)
    with pytest.raises(StoreError, match="already, so it was not written a second time"):
        store.add(msgspec.structs.replace(first, id="another"))
    store.add(msgspec.structs.replace(first, id="other cell", cell="c1"))
    store.add(msgspec.structs.replace(first, id="other plan", plan="p2"))
    store.add(msgspec.structs.replace(first, id="no plan", plan=""))
    store.add(msgspec.structs.replace(first, id="no plan either", plan=""))
    assert store.session(session).measurements == 5


def test_unfinished_ones_newest_first(store: Store) -> None:
    session = begun(store)
    later = msgspec.structs.replace(PLAN, id="p2", created_at="2026-11-21T10:00:00.000+00:00")
    begun(store, msgspec.structs.replace(RECORD, plan=later))
    store.add(measurement(0, session=session, plan="p1", cell="c0"))
    store.plans.settle("p1", "c1", "skipped")
    found = store.plans.unfinished()
    assert [(one.plan, one.done, one.total) for one in found] == [(later, 0, 6), (PLAN, 1, 3)]
    assert (found[1].session, found[1].models, found[1].when) == (session, ("Pocket",), PLAN.created_at)
    store.plans.release("p2", "dropped")
    assert [one.plan.id for one in store.plans.unfinished()] == ["p1"]
    for number in (1, 2):
        store.add(measurement(number, session=session, plan="p1", cell="c0"))
    assert store.plans.unfinished() == (), "nothing is missing"


def test_a_plan_of_another_version_hides_no_other(store: Store, path: Path) -> None:
    begun(store)
    raw = sqlite3.connect(path)
    raw.execute("INSERT INTO plan (id, session, created_at, document) VALUES ('odd', 's', '2999', '{}')")
    raw.commit()
    raw.close()
    assert [one.plan.id for one in store.plans.unfinished()] == ["p1"]
    with pytest.raises(StoreError, match="another version of slmtui"):
        store.plans.claim("odd")


def test_a_living_process_keeps_its_plan_and_a_dead_one_does_not(store: Store, path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        assert store.plans.unfinished() == ()
        with pytest.raises(PlanError, match=f"plan p1 is being run by process {process.pid}; wait until it has ended"):
            store.plans.claim("p1")
    finally:
        process.kill()
        # Not waited for: a process that has ended and that nobody has asked about runs nothing.
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
    assert [one.plan.id for one in store.plans.unfinished()] == ["p1"]
    assert store.plans.claim("p1") is not None
    process.communicate()
    with pytest.raises(PlanError, match=f"is being run by process {os.getpid()}"):
        store.plans.claim("p1")
    store.plans.release("p1", "done")
    assert store.plans.unfinished() == ()


def test_who_lives() -> None:
    own = this_process()
    assert lives(own)
    assert not lives(Owner(own.pid, own.started_s - 3600)), "a process of that number began another time"
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert not lives(Owner(process.pid, own.started_s))


def test_what_is_deleted_or_was_never_begun_is_not_settled(store: Store) -> None:
    session = begun(store)
    store.add(measurement(0, session=session, plan="p1", cell="c0"))
    store.delete_session(session)
    store.plans.settle("p1", "c0", "failed", "why")
    store.plans.release("p1", "done")
    assert store.plans.claim("p1") is None


def test_a_session_that_goes_on(store: Store) -> None:
    session = begun(store)
    assert store.reopen_session(session) is None, "it holds nothing yet"
    store.add(measurement(0, session=session))
    store.end_session(session)
    found = store.reopen_session(session)
    assert found is not None
    assert (found.id, found.ended_at, found.measurements) == (session, None, 1)
    store.add(measurement(1, session=session))
    store.plans.move("p1", "elsewhere")
    stored = store.plans.claim("p1")
    assert stored is not None
    assert stored.session == "elsewhere"


def test_a_store_that_cannot_be_written(store: Store) -> None:
    begun(store)
    limit(store, "query_only = ON")
    with pytest.raises(StoreError, match="can't be written"):
        store.plans.begin(msgspec.structs.replace(RECORD, plan=msgspec.structs.replace(PLAN, id="p9")), "s")
    with pytest.raises(StoreError, match="can't be written"):
        store.plans.claim("p1")


def test_imported_measurements_say_nothing_about_this_machine(store: Store) -> None:
    session = store.start_session(ENVIRONMENT).id
    store.add(measurement(0, session=session))
    own = store.latest_speed()
    store.add(measurement(1, session=session, cell="theirs", source="llama-bench"))
    assert store.latest_speed() == own
    store.add(measurement(2, session=session, model="theirs", source="llama-bench"))
    assert store.latest_speed() == own
