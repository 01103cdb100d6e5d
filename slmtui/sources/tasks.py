"""Tasks on disk: those that come with the program, and the person's own."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from pathlib import Path

import msgspec

from slmtui.core.task import Item, Task, TaskError, TaskHead
from slmtui.core.task_checks import item_faults, parse_head
from slmtui.core.text import one_line
from slmtui.sources.resources import task_files
from slmtui.sources.task_items import NumberedItems, from_csv, from_jsonl
from slmtui.sources.textfile import TextFileError, decoded, expanded, read_bytes

LARGEST_BYTES = 50_000_000
_ENDINGS = (".jsonl", ".csv")
_MOST_LABELS = 20
_SEE = "`slmtui tasks` lists those that come with slmtui"


def shipped_tasks() -> tuple[Task, ...]:
    """The tasks that come with the program, sorted by id.

    Raises:
        TaskError: one of them is damaged.
        ResourceError: there is none, so the installation is damaged.
    """
    return tuple(read_task(path) for path in task_files())


def find_task(spec: str) -> Task:
    """The task that a person means: an id of a shipped one, or the path of a .jsonl, .csv or .toml file.

    Raises:
        TaskError: there is no such task, or it is wrong.
        ResourceError: the installation is damaged.
    """
    if spec.lower().endswith((*_ENDINGS, ".toml")):
        return read_task(Path(spec))
    shipped = {path.stem: path for path in task_files()}
    if spec in shipped:
        return read_task(shipped[spec])
    if Path(spec).is_file():
        raise TaskError(one_line(spec), "the name of a task's file ends with .jsonl, .csv or .toml; rename it")
    close = difflib.get_close_matches(spec, shipped, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise TaskError(one_line(spec), f"there is no such task; {meant}{_SEE}")


def read_task(path: Path) -> Task:
    """The task of a file: its items with the head beside it, or with a head made from what the items show.

    `path` is the items (`my.jsonl`, `my.csv`) or the head (`my.toml`).

    Raises:
        TaskError: a file can't be read, or a key or line is wrong.
    """
    path = expanded(path)
    if path.name in ("", ".."):
        raise TaskError(one_line(str(path)), "it is a folder; name a file")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        why = "its name is not valid UTF-8, so that answers can't be kept with it; rename the file"
        raise TaskError(ascii(str(path)), why) from None
    source, items_file = one_line(str(path)), _items_file(path)
    head_file = path.with_suffix(".toml")
    head = _read_head(head_file) if head_file.exists() else None
    text = _read_text(items_file)
    numbered, faults = from_csv(text) if items_file.suffix.lower() == ".csv" else from_jsonl(text)
    if not numbered and not faults:
        raise TaskError(source, "it holds no items; write one a line")
    head = head or _assumed_head(path, numbered)
    every = sorted((*faults, *item_faults(head, numbered)))
    if every:
        raise TaskError(one_line(str(items_file)), *(f"line {line}: {fault}" for line, fault in every))
    return Task(**msgspec.structs.asdict(head), items=tuple(item for _, item in numbered))


def assumed_id(name: str) -> str:
    """An id made from a name: my-numbers for "My numbers"."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-") or "task"


def _items_file(path: Path) -> Path:
    if path.suffix.lower() != ".toml":
        return path
    beside = [path.with_suffix(ending) for ending in _ENDINGS]
    found = next((file for file in beside if file.exists()), None)
    if found is None:
        missing = f"neither {beside[0].name} nor {beside[1].name} is beside it"
        raise TaskError(one_line(str(path)), f"its items are missing: {missing}")
    return found


def _read_text(path: Path) -> str:
    try:
        return decoded(read_bytes(path, LARGEST_BYTES))
    except TextFileError as error:
        raise TaskError(one_line(str(path)), str(error)) from error


def _read_head(path: Path) -> TaskHead:
    source = one_line(str(path))
    try:
        document = tomllib.loads(_read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TaskError(source, f"it is not TOML: {error}; correct that place") from error
    return parse_head(document, source)


def _assumed_head(path: Path, numbered: NumberedItems) -> TaskHead:
    """What items without a head are taken for: a choice where they have options or few, repeated answers."""
    items = [item for _, item in numbered]
    labels = _assumed_labels(items)
    return TaskHead(
        id=assumed_id(path.stem),
        name=one_line(path.stem),
        description="A task of your own.",
        kind="choice" if labels or any(item.options for item in items) else "open",
        language="und",
        template="Input: {input}\nOutput: {target}",
        labels=labels,
    )


def _assumed_labels(items: list[Item]) -> tuple[str, ...]:
    if any(item.options for item in items):
        return ()
    times = Counter(item.target for item in items)
    few = 2 <= len(times) <= min(_MOST_LABELS, len(items) // 3)
    return tuple(times) if few and min(times.values()) > 1 else ()
