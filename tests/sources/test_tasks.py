from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from slmtui.core.task import HEAD_WORDS, Item, Task, TaskError
from slmtui.sources import tasks
from slmtui.sources.resources import task_files
from slmtui.sources.tasks import find_task, read_task, shipped_tasks

LINE = '{"input": "fine", "target": "yes"}\n'
IDS = [path.stem for path in task_files()]
HEAD = """\
id = "my"
name = "Mine"
description = "Answer."
kind = "choice"
language = "en"
template = "{input} {target}"
labels = ["yes", "no"]
"""


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(TaskError) as caught:
        read_task(path)
    return caught.value.faults


@pytest.fixture(scope="module", params=IDS)
def shipped(request: pytest.FixtureRequest) -> Task:
    return find_task(request.param)


def test_what_is_promised_is_shipped() -> None:
    found = shipped_tasks()
    assert [task.id for task in found] == IDS
    assert len([task for task in found if not task.id.startswith("pocket-")]) >= 12
    assert {task.kind for task in found} == {"choice", "open"}
    assert {task.compare for task in found} == {"text", "number", "json"}
    assert {task.language for task in found} > {"en"}


def test_a_shipped_task_can_be_trusted(shipped: Task) -> None:
    assert len(shipped.items) >= 120
    assert (shipped.licence, shipped.origin) == ("MIT", "written for slmtui")
    assert shipped.description.endswith(".") and len(shipped.description) < 120
    assert all(len(shipped.example(item)) < 600 for item in shipped.items)
    # Alike but for case, white space and punctuation is the same question.
    assert len({re.sub(r"[\W_]+", " ", item.input.casefold()) for item in shipped.items}) == len(shipped.items) or (
        shipped.id in {"arithmetic", "code-output", "number-rules"}
    )


def test_no_answer_of_a_shipped_choice_is_much_more_frequent_than_chance(shipped: Task) -> None:
    times = Counter(item.target for item in shipped.items)
    if shipped.labels:
        assert set(times) == set(shipped.labels)
        assert max(times.values()) == min(times.values())
    elif shipped.kind == "choice":
        assert max(times.values()) <= max(0.15 * len(shipped.items), min(times.values()))
        assert len({len(shipped.options(item)) for item in shipped.items}) == 1


def test_the_right_option_of_a_shipped_choice_shows_neither_in_its_place_nor_in_its_length(shipped: Task) -> None:
    own = [(item.options, item.target) for item in shipped.items if item.options]
    for number in range(len(own[0][0]) if own else 0):
        place = sum(options.index(target) == number for options, target in own)
        longest = sum(sorted(options, key=len).index(target) == number for options, target in own)
        assert 0.1 * len(own) < place < 0.5 * len(own)
        assert longest < 0.5 * len(own)


def test_a_task_is_found_by_id_or_path(tmp_path: Path) -> None:
    path = written(tmp_path / "my.jsonl", LINE)
    assert find_task("nli").id == "nli"
    assert find_task(str(path)).items == (Item("fine", "yes"),)
    with pytest.raises(TaskError, match=r"sentimnt: there is no such task; did you mean sentiment\? `slmtui tasks`"):
        find_task("sentimnt")
    with pytest.raises(TaskError, match=r"ends with \.jsonl, \.csv or \.toml; rename it"):
        find_task(str(written(tmp_path / "my.json", LINE)))


def test_a_file_without_a_head_is_taken_for_what_it_shows(tmp_path: Path) -> None:
    lines = "".join(f'{{"input": "n{n}", "target": "{"even" if n % 2 == 0 else "odd"}"}}\n' for n in range(8))
    choice = read_task(written(tmp_path / "My numbers.jsonl", lines))
    assert (choice.kind, choice.labels, choice.id) == ("choice", ("even", "odd"), "my-numbers")
    assert choice.example(choice.items[0]) == "Input: n0\nOutput: even"
    assert choice.chance_frac == choice.majority_frac == 0.5
    options = read_task(written(tmp_path / "options.csv", "input,target,options\na,b,b|c\nd,e,e|f\n"))
    assert (options.kind, options.labels, options.options(options.items[1])) == ("choice", (), ("e", "f"))
    open_ended = read_task(written(tmp_path / "open.jsonl", LINE + lines))
    assert (open_ended.kind, open_ended.chance_frac) == ("open", None)


def test_the_head_beside_the_items_counts(tmp_path: Path) -> None:
    items = written(tmp_path / "my.jsonl", LINE)
    head = written(tmp_path / "my.toml", HEAD)
    assert read_task(items).name == read_task(head).name == "Mine"
    written(head, HEAD.replace('"no"]', '"no"'))
    assert "it is not TOML" in faults(items)[0]
    written(head, HEAD + "labels = " + "[" * 20_000)
    assert "it is not TOML" in faults(items)[0]
    written(head, HEAD + "labls = 3\n")
    assert "there is no key 'labls'" in faults(items)[0]
    written(head, HEAD)
    items.unlink()
    assert faults(head) == ("its items are missing: neither my.jsonl nor my.csv is beside it",)


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    text = LINE + '\n{"input": "a"}\n{"input": "b", "target": 3}\n{"input": "fine", "target": "no"}\nwhat?\n[]\n'
    found = faults(written(tmp_path / "t.jsonl", text + '{"input": "c", "target": "d", "label": 1}'))
    assert [fault.partition(":")[0] for fault in found] == [f"line {number}" for number in range(3, 9)]
    assert found[0] == "line 3: the key target is missing; add it"
    assert found[1] == "line 4: target: expected text, got a whole number. Write it in double quotes"
    assert found[2] == "line 5: the same input stands in line 1; remove one of them"
    assert found[3].startswith("line 6: it is not one JSON object (")
    assert found[5] == "line 8: there is no key 'label'; known here: input, target, options, category"


def test_csv_is_read_with_any_usual_divider(tmp_path: Path) -> None:
    wanted = (Item("a, b; c", "yes"), Item("two\nlines", "no", category="long"))
    for divider in ",;\t":
        rows = (("input", "target", "category"), ('"a, b; c"', " yes ", ""), ('"two\nlines"', "no", "long"))
        text = "".join(divider.join(row) + "\r\n" for row in rows)
        assert read_task(written(tmp_path / "t.csv", text)).items == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,answer\na,b\n", "line 1: the first line must name the columns input and target; it has 'question'"),
        ("input,target,label\na,b,c\n", "line 1: there is no column 'label'; known here: input, target, options"),
        ("input,target,input\na,b,c\n", "line 1: a column stands there twice"),
        ("input,target\na\n", "line 2: it has 1 cell under 2 names"),
        ('input,target\n"a\nb",c\nd,e,f\n', "line 4: it has 3 cells under 2 names; put a cell that holds ','"),
        ('input,target\na,"b" c\n', "line 2: it is not CSV ("),
        ('input,target\na,"b\n', "it is not CSV ("),
        ("input,target\n\n\n", "it holds no items"),
        ("", "line 1: the first line must name the columns"),
    ],
)
def test_what_is_wrong_in_csv_is_said(tmp_path: Path, text: str, message: str) -> None:
    found = faults(written(tmp_path / "t.csv", text))
    assert any(message in fault for fault in found), found


def test_windows_encodings_are_read_and_others_refused(tmp_path: Path) -> None:
    text = '{"input": "schön", "target": "ja"}\r\n'
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read_task(written(tmp_path / "t.jsonl", text.encode(encoding))).items == (Item("schön", "ja"),)
    found = faults(written(tmp_path / "t.jsonl", LINE.encode() + text.encode("latin-1")))
    assert found == ("line 2: it is not UTF-8 text; save it as UTF-8",)


def test_what_is_no_task_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(tmp_path / "none.jsonl") == ("there is no such file",)
    assert faults(written(tmp_path / "empty.jsonl", "\n\n")) == ("it holds no items; write one a line",)
    (tmp_path / "folder.jsonl").mkdir()
    assert faults(tmp_path / "folder.jsonl") == ("it is a folder; name a file",)
    monkeypatch.setattr(tasks, "LARGEST_BYTES", 1_000_000)
    huge = written(tmp_path / "huge.jsonl", LINE * 40_000)
    assert faults(huge) == ("it is larger than 1 MB, more than can be meant",)
    assert len(faults(written(tmp_path / "deep.jsonl", "[" * 100_000))) == 1


def test_the_page_on_tasks_tells_what_is_there() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text("utf-8")
    keys = page.partition("<!-- head -->\n")[2].partition("<!-- /head -->")[0].splitlines()[2:]
    assert keys == [f"| `{key}` | {words} |" for key, words in HEAD_WORDS.items()]
    listed = page.partition("<!-- shipped -->\n")[2].partition("<!-- /shipped -->")[0].splitlines()[2:]
    assert listed == [f"| `{t.id}` | {t.description} | {t.kind} | {len(t.items)} |" for t in shipped_tasks()]
