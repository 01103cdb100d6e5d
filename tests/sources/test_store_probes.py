"""Probes in the store: a batch is there whole or not at all, each answer once, plans held, extended and found again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from slmtui.core.probe import ProbePlan, ProbeRecord
from slmtui.core.probe_presets import ProbeGrid, extended, make_plan
from slmtui.sources import store_schema
from slmtui.sources.store import Store, StoreError
from tests.core.probes import batch, drawn, ending_task, model, mood_task, plans
from tests.samples import ENVIRONMENT, measurement
from tests.sources.stores import begin, limit

MODEL = model("「小」")
GRID = ProbeGrid(shots=(0, 2), seeds=2, questions=10)


def plan() -> ProbePlan:
    made = make_plan("standard", [MODEL], plans(mood_task(), ending_task()), GRID)
    return msgspec.structs.replace(made, id="p1")


RECORD = ProbeRecord(plan=plan(), sha256={str(MODEL.path): "ab" * 32}, slmtui="0.1.0", engine="0.3.36")


def begun(store: Store) -> str:
    session = store.start_session(ENVIRONMENT).id
    store.probes.begin(RECORD, session)
    store.probes.release("p1")
    return session


def test_a_plan_comes_back_with_its_answers(store: Store, path: Path) -> None:
    session = begun(store)
    first = batch(drawn(0.5, n=20), session=session, opening="Story: ")
    second = batch({20: True, 21: False}, session=session, number=1)
    for one in (first, second):
        store.probes.add(one)
    store.probes.settle("p1", "some cell", "failed", "why")
    with Store.open(path) as again:
        stored = again.probes.claim("p1")
        assert stored is not None
        assert stored.record == RECORD
        assert stored.done == (first, second)
        assert (stored.session, stored.settled) == (session, {"some cell": "failed"})
        assert again.probes.done("p1") == again.probes.of_session(session) == (first, second)
        assert again.probes.latest("pocket") == msgspec.structs.replace(second, answers=())
    assert store.probes.claim("unknown") is None
    assert store.probes.done("unknown") == ()
    assert store.probes.latest("unknown") is None


def test_an_answer_is_there_once_and_a_batch_whole(store: Store) -> None:
    session = begun(store)
    store.probes.add(batch({0: True, 1: True}, session=session))
    for twice in (batch({2: True, 1: False}, session=session, number=1), batch({5: True}, session=session)):
        with pytest.raises(StoreError, match="already"):
            store.probes.add(twice)
    (kept,) = store.probes.done("p1")
    assert [answer.question for answer in kept.answers] == [0, 1]


def test_a_full_disk_keeps_what_was_there(store: Store) -> None:
    session = begun(store)
    store.probes.add(batch({0: True}, session=session))
    limit(store, "query_only = ON")
    with pytest.raises(StoreError):
        store.probes.add(batch({1: True}, session=session, number=1))
    limit(store, "query_only = OFF")
    store.probes.add(batch({1: True}, session=session, number=1))
    assert len(store.probes.done("p1")) == 2


def test_a_session_tells_how_much_it_holds(store: Store) -> None:
    session = begun(store)
    assert store.sessions() == ()
    store.probes.add(batch(drawn(0.5, n=7), session=session))
    store.add(measurement(0, session=session))
    (found,) = store.sessions()
    assert (found.measurements, found.answers) == (1, 7)
    assert found.models == ("pocket-5m:Q8_0", "pocket")
    assert len(store.measurements(session)) == 1, "a batch is no repetition of a benchmark"
    assert store.latest_speed().keys() == {"pocket-5m:Q8_0"}
    other = begin(store)
    assert {one.id: one.answers for one in store.sessions()} == {session: 7, other: 0}
    store.delete_session(session)
    assert store.probes.done("p1") == ()
    assert store.probes.kept() == ()


def test_nobody_s_session_takes_no_answers(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no session"):
        store.probes.add(batch({0: True}, session="never"))


def test_what_is_kept_is_listed_with_how_far_it_is(store: Store) -> None:
    session = begun(store)
    (kept,) = store.probes.kept()
    assert (kept.answered, kept.total, kept.unfinished) == (0, 60, True)
    cells = RECORD.plan.cells
    done = batch(drawn(0.5, n=10), session=session)
    store.probes.add(msgspec.structs.replace(done, measurement=_of(done.measurement, cells[0].key)))
    part = batch(drawn(0.5, n=3), session=session)
    store.probes.add(msgspec.structs.replace(part, measurement=_of(part.measurement, cells[1].key)))
    store.probes.settle("p1", cells[1].key, "skipped")
    (kept,) = store.probes.kept()
    assert (kept.answered, kept.total) == (13, 10 + 3 + 40)
    assert kept.plan == RECORD.plan
    assert store.probes.claim("p1") is not None
    assert store.probes.kept()[0].held
    store.probes.release("p1", "dropped")
    assert not store.probes.kept()[0].unfinished
    assert store.plans.unfinished() == (), "it is no benchmark"


def _of(measured: object, cell: str) -> object:
    return msgspec.structs.replace(measured, cell=cell)  # type: ignore[type-var]


def test_an_extended_plan_takes_the_place_of_the_other(store: Store) -> None:
    begun(store)
    more = extended(RECORD.plan, [model("other")], [], ProbeGrid(questions=20, shots=(4,)))
    store.probes.settle("p1", RECORD.plan.cells[0].key, "failed", "it crashed")
    store.probes.rewrite(msgspec.structs.replace(RECORD, plan=more))
    stored = store.probes.claim("p1")
    assert stored is not None
    assert stored.record.plan == more
    assert stored.settled == {}, "what failed is tried again"


def test_a_file_from_before_probes_gets_them(path: Path) -> None:
    path.parent.mkdir()
    raw = sqlite3.connect(path, isolation_level=None)
    store_schema.prepare(raw, path, store_schema.STEPS[:2])
    raw.execute("INSERT INTO plan (id, session, created_at, document) VALUES ('old', 's', '2026', '{}')")
    raw.close()
    with Store.open(path) as store:
        session = begun(store)
        store.probes.add(batch({0: True}, session=session))
        assert [kept.plan.id for kept in store.probes.kept()] == ["p1"], "a benchmark's plan is no probe"


def test_another_version_s_plan_hides_no_other(store: Store, path: Path) -> None:
    begun(store)
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("INSERT INTO plan (id, kind, session, created_at, document) VALUES ('odd', 'probe', 's', '2027', '{}')")
    raw.close()
    assert [kept.plan.id for kept in store.probes.kept()] == ["p1"]
    with pytest.raises(StoreError, match="can't be read"):
        store.probes.claim("odd")
