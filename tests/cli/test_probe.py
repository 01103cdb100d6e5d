"""`slmtui probe`: what it prints and refuses, exports with a row a question, and nothing lost to kill -9."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slmtui.cli import probe_flags
from slmtui.core.probe import LABELS, SCORERS, STYLES
from slmtui.core.probe_presets import PRESETS
from slmtui.core.probe_rows import COLUMNS
from tests.cli.program import STORY, processes_of, run, start, wait_for
from tests.mlx_models import SOURCE, Forms, needs_mlx

FAST = ("-t", "1", "--shots", "0,2", "--seeds", "1", "-n", "6")


@pytest.fixture
def mood(tmp_path: Path) -> Path:
    """A task of one's own."""
    path = tmp_path / "mood.jsonl"
    lines = [{"input": f"story {number} of the dog", "target": ("good", "bad")[number % 2]} for number in range(60)]
    path.write_text("\n".join(map(str, map(json.dumps, lines))), encoding="utf-8")
    return path


def answers(home: Path) -> list[tuple[str, int, str]]:
    """Cell, question and batch of every answer in the store, in the order in which they were written."""
    path = home / "data" / "slmtui.sqlite3"
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        query = "SELECT a.cell, question, b.seq FROM probe_answer AS a JOIN probe_batch AS b ON a.batch = b.seq"
        return connection.execute(f"{query} ORDER BY b.seq, question").fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []
    finally:
        connection.close()


def test_the_flags_know_what_there_is() -> None:
    assert set(probe_flags.PRESETS) == set(PRESETS)
    assert set(probe_flags.LABELS) == set(LABELS)
    assert set(probe_flags.STYLES) == set(STYLES)
    assert set(probe_flags.SCORERS) == set(SCORERS)


def test_a_probe_from_question_to_export(home: Path, mood: Path, tmp_path: Path) -> None:
    told = run("probe", STORY, "--task", mood, *FAST, "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "2 cells, 12 questions, about " in told.stdout
    assert "tokens to read" in told.stdout
    assert answers(home) == [], "a dry run asks nothing"

    done = run("probe", STORY, "--task", mood, *FAST)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 + 2 + 1
    assert "stories260K, mood, 2 shots: " in done.stdout
    assert "95 % interval" in done.stdout
    assert "--answers`" in done.stderr

    listed = json.loads(run("sessions", "--json").stdout)
    assert (listed[0]["answers"], listed[0]["measurements"]) == (12, 0)
    assert "mood" in run("sessions", "latest").stdout
    rows: dict[str, list[dict[Any, Any]]] = {}
    for form in ("csv", "json", "parquet", "md"):
        path = tmp_path / f"out.{form}"
        assert run("export", "latest", "--format", form, "-o", path).returncode == 0
        match form:
            case "csv":
                rows[form] = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
            case "json":
                rows[form] = json.loads(path.read_text("utf-8"))["answers"]
            case "parquet":
                rows[form] = pd.read_parquet(path).to_dict("records")
            case _:
                assert path.read_text("utf-8").count("| mood   |") >= 12
    assert {len(found) for found in rows.values()} == {12}
    for found in rows.values():
        assert list(found[0]) == list(COLUMNS)
    shown = [row for row in rows["json"] if row["shots"] == 2]
    for row in shown:
        assert str(row["prompt"]).count("Output:") == 3
        assert str(row["prompt"]).endswith("\nOutput:")
        assert row["options"] == '["bad", "good"]' or row["options"] == '["good", "bad"]'
        assert len(json.loads(str(row["logprobs"]))) == 2
        assert len(json.loads(str(row["examples"]))) == 2
        assert (row["right"] is True) == (row["answer"] == row["target"])
    assert [row["prompt"] for row in rows["csv"]] == [row["prompt"] for row in rows["json"]]
    refused = run("import", tmp_path / "out.json")
    assert refused.returncode == 1
    assert "it holds answers of a probe" in refused.stderr


def test_json_says_everything_but_the_answers(home: Path, mood: Path) -> None:
    done = run("probe", STORY, "pocket-2m", "--task", mood, *FAST, "--labels", "true,shuffled", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(level["shots"], level["labels"]) for level in found["levels"]] == [
        (0, "true"), (2, "true"), (2, "shuffled"),
    ] * 2  # fmt: skip
    for level in found["levels"]:
        assert 0 <= level["accuracy"]["low"] <= level["accuracy"]["value"] <= level["accuracy"]["high"] <= 1
        assert level["prompt_tokens"] > 0
        assert level["seconds"] > 0
        assert all(level["prefill_tps"])
    assert {(gain["from_shots"], gain["to_shots"]) for gain in found["gains"]} == {(0, 2)}
    assert all(gain["p_value"] <= gain["p_holm"] <= 1 for gain in found["gains"])
    assert found["sentences"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pocket-5m"], 2, "name at least one task"),
        ([], 2, "name at least one model"),
        (["pocket-5m", "--task", "sentiment", "--labels", "wrong"], 2, "none of true, shuffled"),
        (["pocket-5m", "--task", "sentiment", "--shots", "many"], 2, "no list of numbers"),
        (["pocket-5m", "--task", "nonsense"], 1, "there is no such task"),
        (["nonsense", "--task", "sentiment"], 1, "nonsense"),
        (["pocket-5m", "--task", "sentiment", "--shots", "-1"], 2, "must be at least 0"),
        (["pocket-5m", "--task", "sentiment", "--shots", "500"], 1, "examples at most"),
        (["pocket-5m", "--task", "arithmetic", "--labels", "flipped"], 1, "a task whose questions share their options"),
        (["--continue"], 1, "no probe waits to be continued"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments: list[str], code: int, words: str) -> None:
    done = run("probe", *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_model_that_cannot_be_opened_is_said_once_and_without_asking(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.gguf").write_text("Dear reader, " * 100)
    told = run("probe", tmp_path / "letter.gguf", "--task", mood, "--dry-run")
    assert told.returncode == 1
    assert "letter: cannot be opened: " in told.stdout
    done = run("probe", tmp_path / "letter.gguf", "--task", mood)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("is not a GGUF file") == 1
    assert json.loads(run("sessions", "--json").stdout) == []


@needs_mlx
def test_both_forms_of_a_model_are_asked(mlx_forms: Forms) -> None:
    asked = ("probe", SOURCE, mlx_forms("fp32"), "--task", "pocket-judgements", *FAST)
    done = run(*asked, "--json")
    assert done.returncode == 0, done.stderr
    levels = json.loads(done.stdout)["levels"]
    assert [level["shots"] for level in levels] == [0, 2, 0, 2]
    right = [level["accuracy"]["value"] for level in levels]
    assert right[:2] == pytest.approx(right[2:], abs=0.17), "a near tie of one question may fall either way"
    refused = run(*asked, "--exact")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cannot be asked with exact: MLX's cache" in refused.stderr


def test_a_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"input": "a", "target": "b"}\n{"input": "a"}\n', encoding="utf-8")
    done = run("probe", "pocket-5m", "--task", path)
    assert done.returncode == 1
    assert "own.jsonl: line 2" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_in_a_batch_and_continued(home: Path, mood: Path) -> None:
    """Every batch that had ended is kept, and the others are asked once."""
    process = start("probe", "pocket-5m:F16", "--task", mood, "-n", "60", "-t", "1")
    wait_for(lambda: len({batch for _, _, batch in answers(home)}) >= 4, "four batches")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not processes_of(home), "the end of the worker")
    before = answers(home)
    assert len(before) % 20 == 0, "whole batches"
    assert 80 <= len(before) < 13 * 60

    told = json.loads(run("probe", "--continue", "--dry-run", "--json").stdout)
    assert told["questions"] == 13 * 60 - len(before)
    done = run("probe", "--continue", "--json")
    assert done.returncode == 0, done.stderr
    after = answers(home)
    assert after[: len(before)] == before, "no finished batch is lost or asked again"
    assert len(after) == 13 * 60
    assert set(Counter((cell, question) for cell, question, _ in after).values()) == {1}
    assert [level["accuracy"]["n"] for level in json.loads(done.stdout)["levels"]] == [60] * 5
    assert len(json.loads(run("sessions", "--json").stdout)) == 1
    assert run("probe", "--continue").returncode == 1, "nothing is left"


def test_an_interrupted_one_says_how_to_go_on_and_can_ask_more(home: Path, mood: Path) -> None:
    process = start("probe", STORY, "--task", mood, "-n", "60", "-t", "1", "--preset", "thorough")
    wait_for(lambda: answers(home), "a batch")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"`slmtui probe --continue`" in said
    assert b"Traceback" not in said
    first = answers(home)
    more = run("probe", "pocket-2m", "--continue", "--dry-run", "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["questions"] == 2 * 26 * 60 - len(first)
    wrong = run("probe", "--continue", "zzz")
    assert wrong.returncode == 1
    assert "stories260K" in wrong.stderr, "it lists those that there are"
    changed = run("probe", "--continue", "--prompt", "turns")
    assert changed.returncode == 1
    assert "keeps its style" in changed.stderr
