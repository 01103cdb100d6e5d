"""New task files: a head that explains its keys, and the first items beside it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from slmtui.core.task import HEAD_WORDS, Item, TaskError, TaskHead
from slmtui.core.task_checks import item_faults, parse_head
from slmtui.core.text import one_line
from slmtui.sources.atomic import write_atomically
from slmtui.sources.task_items import COLUMNS, OPTION_SEPARATOR
from slmtui.sources.tasks import assumed_id
from slmtui.sources.textfile import expanded

_OPEN_ONLY = ("compare", "normalise", "stop")
_EXAMPLES = {
    "licence": "MIT",
    "origin": "written by me",
    "instruction": "Say whether each sentence is true.",
    "labels": ("yes", "no"),
}
"""What keys that are not set are shown with, as comments."""


def write_task(path: Path, head: TaskHead, items: Sequence[Item]) -> tuple[Path, Path]:
    """Write a head and its items into two new files, and say where they are: the head, the items.

    `path` is the items' file, `.jsonl` or `.csv`, or a name without an ending, which gets `.jsonl`.

    Raises:
        TaskError: the head or an item is wrong, one of the files exists, or they can't be written.
    """
    path = _items_path(expanded(path))
    head_path, source = path.with_suffix(".toml"), one_line(str(path))
    parse_head(msgspec.to_builtins(head), one_line(str(head_path)))
    if faults := [f"item {number}: {fault}" for number, fault in item_faults(head, tuple(enumerate(items, 1)))]:
        raise TaskError(source, *faults)
    if path.suffix.lower() == ".csv" and any(OPTION_SEPARATOR in "".join(item.options or ()) for item in items):
        raise TaskError(source, f"an option holds {OPTION_SEPARATOR!r}, which divides options in CSV; write .jsonl")
    try:
        if not path.parent.is_dir():
            raise TaskError(source, "there is no such folder; make it first, or choose another")
        for file in (head_path, path):
            if os.path.lexists(file):
                raise TaskError(one_line(str(file)), "it exists already; choose another name, or move it away")
        write_atomically(path, _csv(items) if path.suffix.lower() == ".csv" else _jsonl(items))
        write_atomically(head_path, head_text(head))
    except OSError as error:
        raise TaskError(source, f"it can't be written: {error.strerror}; choose another folder") from error
    return head_path, path


def _items_path(path: Path) -> Path:
    """Where the items go that a person wants at `path`."""
    if path.name in ("", ".."):
        raise TaskError(one_line(str(path)), "it is a folder; name the new file in it")
    if not path.name.isprintable():
        raise TaskError(
            one_line(str(path)) or ascii(path.name),
            "its name holds characters that can't be shown; choose another name",
        )
    if path.suffix.lower() in (".jsonl", ".csv"):
        return path
    return path.with_name(f"{path.name.removesuffix('.toml')}.jsonl")


def head_text(head: TaskHead) -> str:
    """A head as TOML, each key under a comment that says what it means; those that are not set are comments too."""
    return "\n".join(_head_lines(head))


def starter(name: str, labels: Sequence[str] = ()) -> tuple[TaskHead, tuple[Item, ...]]:
    """A task to fill in: a choice between labels where there are any, otherwise one with open answers."""
    head = TaskHead(
        id=assumed_id(name),
        name=one_line(name),
        description="Say what the model has to do.",
        kind="choice" if labels else "open",
        language="en",
        template="Input: {input}\nOutput: {target}",
        labels=tuple(labels),
    )
    targets = head.labels or ("its answer", "the answer to this one")
    return head, tuple(
        Item(input=f"Put question {number} here", target=target) for number, target in enumerate(targets, 1)
    )


def _head_lines(head: TaskHead) -> Iterator[str]:
    for key, words in HEAD_WORDS.items():
        if key in (_OPEN_ONLY if head.kind == "choice" else ("labels",)):
            continue
        value = getattr(head, key)
        setting = f"{key} = {_toml(value)}" if value else f"# {key} = {_toml(_EXAMPLES[key])}"
        yield f"# {words}\n{setting}\n"


def _toml(value: str | Sequence[str]) -> str:
    # JSON's strings and lists of strings are TOML's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _jsonl(items: Sequence[Item]) -> str:
    return "".join(f"{json.dumps(msgspec.to_builtins(item), ensure_ascii=False)}\n" for item in items)


def _csv(items: Sequence[Item]) -> str:
    """Items as CSV, with the columns that are used."""
    used = [name for name in COLUMNS if name in ("input", "target") or any(getattr(item, name) for item in items)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(used)
    for item in items:
        cells = {**msgspec.to_builtins(item), "options": OPTION_SEPARATOR.join(item.options or ())}
        writer.writerow([cells.get(name) or "" for name in used])
    return text.getvalue()
