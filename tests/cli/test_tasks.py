from __future__ import annotations

import json
from pathlib import Path

from tests.cli.program import run


def test_tasks_are_listed_with_kind_items_chance_language_and_licence() -> None:
    done = run("tasks")
    assert done.returncode == 0
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert rows["sentiment"][-6:] == ["choice", "124", "50", "%", "en", "MIT"]
    assert rows["arithmetic"][-5:] == ["open", "150", "—", "en", "MIT"]
    found = json.loads(run("tasks", "--json").stdout)
    assert [task["id"] for task in found] == sorted(rows.keys() - {"task", "-" * len(max(rows, key=len))})
    assert next(task for task in found if task["id"] == "nli")["chance_frac"] == 1 / 3
    assert all("items" not in task for task in found)


def test_a_task_is_shown_as_a_model_reads_it() -> None:
    done = run("tasks", "nli")
    assert done.returncode == 0
    assert "choice between true, false, unknown, chance 33 %" in done.stdout
    assert done.stdout.count("\nText: ") == 3
    assert done.stdout.count("True, false or unknown?") == 3
    assert "and should go on with: " in done.stdout
    assert len(json.loads(run("tasks", "nli", "--json").stdout)["items"]) == 126


def test_a_task_of_one_s_own_from_new_to_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    done = run("tasks", "new", path, "--labels", "yes, no")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'mine.toml'}\n{path}\n")
    assert f"slmtui tasks check {path}" in done.stderr
    done = run("tasks", "check", path)
    assert done.returncode == 0
    assert done.stdout.startswith(
        f"{path}: 2 items, choice between yes, no, chance 50 %; nothing is wrong\nnote: 2 items"
    )
    path.write_text(path.read_text() + '{"input": "x"}\n{"input": "y", "target": "maybe"}\n')
    done = run("tasks", "check", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"{path}: line 3: the key target is missing; add it",
        f"{path}: line 4: target 'maybe' is none of the labels ('yes', 'no'); correct one of them",
    ]
    document = json.loads(run("tasks", "check", path, "--json").stdout)
    assert (document["sound"], len(document["faults"])) == (False, 2)
    done = run("tasks", "new", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "it exists already" in done.stderr


def test_a_file_without_a_head_is_checked_and_said_to_be_without(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("input,target\none and one,2\n")
    done = run("tasks", "check", path)
    assert done.returncode == 0
    assert "1 item, open answers, compared as text; nothing is wrong" in done.stdout
    assert "note: there is no mine.toml beside it" in done.stdout
    assert json.loads(run("tasks", "check", path, "--json").stdout)["notes"][0].startswith("there is no mine.toml")


def test_wrong_use_is_told_apart_from_failure(tmp_path: Path) -> None:
    done = run("tasks", "new", tmp_path / "mine", "--labels", "yes")
    assert (done.returncode, "--labels needs at least two" in done.stderr) == (2, True)
    assert not list(tmp_path.glob("mine*"))
    done = run("tasks", "sentimental")
    assert (done.returncode, "there is no such task" in done.stderr) == (1, True)


def test_scores_of_the_harness_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"results": {"arc": {"acc,none": 0.625, "acc_stderr,none": 0.01}}, "model_name": "acme/tiny"}')
    done = run("tasks", "scores", path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].split() == ["acme/tiny", "arc", "—", "acc", "0.625", "0.01", "—"]
    assert json.loads(run("tasks", "scores", path, "--json").stdout)[0]["value"] == 0.625
    done = run("tasks", "scores", path, tmp_path / "none.json")
    assert (done.returncode, "there is no such file" in done.stderr) == (1, True)
