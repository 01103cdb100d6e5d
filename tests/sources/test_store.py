"""Sessions and their measurements, and what is read out of them."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from slmtui.sources.store import Store, StoreError
from tests.samples import ENVIRONMENT, full_measurement, measurement, timing
from tests.sources.stores import begin


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

    def test_of_a_plan_the_cell_that_came_first_counts(self, store: Store) -> None:
        session = store.start_session(ENVIRONMENT).id
        for number in range(3):
            for cell, seconds in (("usual", 0.5), ("deep", 2.0)):
                took = timing(seconds, seconds)
                store.add(measurement(number, session=session, plan="p", cell=cell, timing=took))
        assert store.latest_speed() == {"pocket-5m:Q8_0": (1024.0, 256.0)}
        store.add(measurement(0, session=session, id="q", plan="q", cell="deep", timing=timing(2.0, 2.0)))
        assert store.latest_speed() == {"pocket-5m:Q8_0": (256.0, 64.0)}

    def test_is_empty_at_first(self, store: Store) -> None:
        assert store.latest_speed() == {}
