from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from slmtui.core.task import Item, TaskError
from slmtui.sources.task_files import head_text, starter, write_task
from slmtui.sources.tasks import read_task

ITEMS = (Item("a, b\nc", "ja", category="x"), Item('say "d"', "nein"))


@pytest.mark.parametrize("name", ["my.jsonl", "my.csv", "my", "my.toml"])
def test_what_is_written_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    head, _ = starter("my", ["ja", "nein"])
    written = write_task(tmp_path / name, head, ITEMS)
    assert [path.suffix for path in written] == [".toml", ".csv" if name.endswith(".csv") else ".jsonl"]
    for path in written:
        task = read_task(path)
        assert task.items == ITEMS
        assert (task.id, task.kind, task.labels, task.separator) == ("my", "choice", ("ja", "nein"), "\n\n")


@pytest.mark.parametrize("labels", [(), ("yes", "no", "unknown")])
def test_a_new_task_is_sound_before_it_is_filled_in(tmp_path: Path, labels: tuple[str, ...]) -> None:
    task = read_task(write_task(tmp_path / "Mine & yours", *starter("Mine & yours", labels))[1])
    assert (task.id, task.name, task.labels) == ("mine-yours", "Mine & yours", labels)
    assert len(task.items) == max(2, len(labels))


def test_options_of_items_are_kept_in_csv(tmp_path: Path) -> None:
    head, _ = starter("my", ["a", "b"])
    items = (Item("x", "a", ("a", "b")), Item("y", "d", ("c", "d")))
    _, path = write_task(tmp_path / "my.csv", replace(head, labels=()), items)
    assert path.read_text().splitlines() == ["input,target,options", "x,a,a|b", "y,d,c|d"]
    assert read_task(path).items == items
    with pytest.raises(TaskError, match=r"an option holds '\|'"):
        write_task(tmp_path / "other.csv", replace(head, labels=()), (Item("x", "a|b", ("a|b", "c")),))


def test_a_head_explains_its_keys() -> None:
    choice, open_ended = (head_text(starter("my", labels)[0]) for labels in (("a", "b"), ()))
    assert '# Options that all items share; leave it out when each item has its own.\nlabels = ["a", "b"]\n' in choice
    assert '# licence = "MIT"\n' in choice
    assert "stop = " not in choice and "labels = " not in open_ended
    assert 'stop = ["\\n"]\n' in open_ended


def test_nothing_is_overwritten_and_nothing_wrong_is_written(tmp_path: Path) -> None:
    head, items = starter("my", ["yes", "no"])
    (tmp_path / "my.toml").write_text("mine")
    with pytest.raises(TaskError, match=r"my\.toml: it exists already; choose another name"):
        write_task(tmp_path / "my.jsonl", head, items)
    with pytest.raises(TaskError, match="item 1: target 'x' is none of the labels"):
        write_task(tmp_path / "other.jsonl", head, [Item("a", "x")])
    with pytest.raises(TaskError, match="labels: 'yes' stands there twice"):
        write_task(tmp_path / "other.jsonl", starter("my", ["yes", "yes"])[0], items)
    for name, words in (
        ("my.toml/other.jsonl", "there is no such folder; make it first"),
        ("new/folder/my.csv", "there is no such folder; make it first"),
        ("x" * 300, r"it can't be written: .*name too long"),
        (".", "it is a folder; name the new file in it"),
        ("..", "it is a folder; name the new file in it"),
        ("new\nline", r"new line: its name holds characters that can't be shown"),
        ("esc\x1b[2J", "esc: its name holds characters that can't be shown"),
        ("\udcff", "its name holds characters that can't be shown"),
    ):
        with pytest.raises(TaskError, match=words):
            write_task(Path(name) if name.startswith(".") else tmp_path / name, head, items)
    with pytest.raises(TaskError, match="nobody-of-this-name"):
        write_task(Path("~nobody-of-this-name/x"), head, items)
    assert [path.name for path in tmp_path.iterdir()] == ["my.toml"]
