from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from slmtui.core.task import Task, TaskError
from slmtui.sources.resources import task_files
from slmtui.sources.tasks import find_task, read_task

LINE = '{"input": "fine", "target": "yes"}\n'
IDS = [path.stem for path in task_files()]


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(TaskError) as caught:
        read_task(path)
    return caught.value.faults


@pytest.fixture(scope="module", params=IDS)
def shipped(request: pytest.FixtureRequest) -> Task:
    return find_task(request.param)


def test_a_shipped_task_can_be_trusted(shipped: Task) -> None:
    assert len(shipped.items) >= 120
    assert shipped.licence == "MIT" and shipped.origin == "written for slmtui"
    assert shipped.description.endswith(".") and len(shipped.description) < 150
    assert all(len(shipped.example(item)) < 600 for item in shipped.items)


def test_no_answer_of_a_shipped_choice_is_more_frequent_than_chance(shipped: Task) -> None:
    times = Counter(item.target for item in shipped.items)
    if shipped.labels:
        assert set(times) == set(shipped.labels)
        assert max(times.values()) <= 1.1 * min(times.values())
    elif shipped.kind == "choice":
        assert max(times.values()) <= 0.1 * len(shipped.items)
        assert len({len(shipped.options(item)) for item in shipped.items}) == 1


def test_a_file_without_a_head_is_taken_for_what_it_shows(tmp_path: Path) -> None:
    lines = "".join(f'{{"input": "n{n}", "target": "{"even" if n % 2 == 0 else "odd"}"}}\n' for n in range(8))
    choice = read_task(written(tmp_path / "My numbers.jsonl", lines))
    assert (choice.kind, choice.labels, choice.id) == ("choice", ("even", "odd"), "my-numbers")
    assert choice.example(choice.items[0]) == "Input: n0\nOutput: even"
    assert choice.chance_frac == choice.majority_frac == 0.5
    open_ended = read_task(written(tmp_path / "open.jsonl", LINE))
    assert (open_ended.kind, open_ended.chance_frac) == ("open", None)


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    text = LINE + '\n{"input": "a"}\n{"input": "b", "target": 3}\n{"input": "fine", "target": "no"}\nwhat?\n'
    found = faults(written(tmp_path / "t.jsonl", text))
    assert [fault.partition(":")[0] for fault in found] == ["line 3", "line 4", "line 5", "line 6"]
    assert "target is missing" in found[0] and "line 1" in found[2]
