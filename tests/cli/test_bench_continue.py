"""A benchmark that was killed or interrupted goes on where it was: nothing lost, nothing twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from slmtui.core.measurement import Measurement
from tests.cli.program import STORY, processes_of, run, start, wait_for

PLAN = ("pocket-5m:Q8_0", "pocket-5m:Q4_K_M", "--preset", "standard", "-n", "256", "-t", "1")
SHORT = ("-p", "16", "-n", "8", "-t", "1")


def stored(home: Path) -> list[Measurement]:
    """Every measurement in the store, in its order."""
    path = home / "data" / "slmtui.sqlite3"
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        rows = connection.execute("SELECT record FROM measurement ORDER BY seq").fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []
    finally:
        connection.close()
    return [msgspec.json.decode(record, type=Measurement) for (record,) in rows]


def ids(measurements: list[Measurement]) -> list[str]:
    return [one.id for one in measurements]


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_in_a_repetition_and_continued(home: Path) -> None:
    process = start("bench", *PLAN)
    wait_for(lambda: len(stored(home)) >= 3, "three repetitions")
    last = stored(home)[-1]
    assert last.wall_s is not None
    time.sleep(last.wall_s / 3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not processes_of(home), "the end of the workers")
    before = stored(home)
    assert 3 <= len(before) < 10

    told = run("bench", "--continue", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert f"{10 - len(before)} repetitions" in told.stdout
    assert ids(stored(home)) == ids(before), "a dry run measures nothing"

    done = run("bench", "--continue", "-o", "json")
    assert done.returncode == 0, done.stderr
    after = stored(home)
    assert ids(after[: len(before)]) == ids(before), "no finished repetition is lost or run again"
    counts = Counter((one.model, one.cell, one.repetition) for one in after)
    assert set(counts.values()) == {1}
    assert sorted((model, repetition) for model, _, repetition in counts) == sorted(
        (model, repetition) for model in PLAN[:2] for repetition in range(5)
    )
    assert len({one.cell for one in after}) == 2
    assert len({one.session for one in after}) == len({one.plan for one in after}) == 1
    assert {row["repetitions"] for row in json.loads(done.stdout)} == {5}, "earlier ones are printed too"
    assert run("bench", "--continue").returncode == 1, "nothing is left"


def test_an_interrupted_one_says_how_to_go_on(home: Path) -> None:
    process = start("bench", "pocket-2m", STORY, *SHORT, "-r", "100000")
    wait_for(lambda: len(stored(home)) >= 2, "two repetitions")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"`slmtui bench --continue`" in said
    assert b"Traceback" not in said
    first = stored(home)
    assert run("bench", "pocket-2m", *SHORT, "-r", "1").returncode == 0
    assert [one.id for one in stored(home)][: len(first)] == ids(first)

    document = json.loads(run("bench", "--continue", "--dry-run", "--json").stdout)
    assert document["repetitions"] == 200_000 - len(first)
    wrong = run("bench", "--continue", "zzz")
    assert wrong.returncode == 1
    assert first[0].plan in wrong.stderr, "it lists those that there are"


def test_several_unfinished_ones_are_listed(home: Path) -> None:
    plans: list[str] = []
    for _ in range(2):
        process = start("bench", STORY, *SHORT, "-r", "100000")
        wait_for(lambda: {one.plan for one in stored(home)} - set(plans), "a repetition")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        plans.append(stored(home)[-1].plan)
    told = run("bench", "--continue", "--dry-run")
    assert told.returncode == 0
    assert told.stderr.index(plans[1]) < told.stderr.index(plans[0]), "newest first"
    assert run("bench", "--continue", plans[0][:6], "--dry-run").returncode == 0


def test_a_model_that_changed_is_refused(home: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(STORY.read_bytes())
    process = start("bench", own, *SHORT, "-r", "100000")
    wait_for(lambda: stored(home), "a repetition")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    own.unlink()
    gone = run("bench", "--continue")
    assert gone.returncode == 1
    assert "is gone" in gone.stderr
    assert str(own) in gone.stderr
    assert "Traceback" not in gone.stderr


def test_a_plan_that_runs_is_not_continued_beside_itself(home: Path) -> None:
    process = start("bench", STORY, *SHORT, "-r", "100000")
    wait_for(lambda: stored(home), "a repetition")
    other = run("bench", "--continue")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert other.returncode == 1
    assert "no benchmark waits to be continued" in other.stderr
