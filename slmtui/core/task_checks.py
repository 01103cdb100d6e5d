"""What is wrong with a task, each fault with its place and what to do; and what is worth knowing about a sound one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from slmtui.core.answers import as_json, as_number
from slmtui.core.task import HEAD_WORDS, INPUT, TARGET, Item, Task, TaskError, TaskHead
from slmtui.core.text import clean, share, shorten

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_WRONG = re.compile(r"(?P<what>.*?) - at `\$\.?(?P<key>.*)`", re.DOTALL)
_KIND = re.compile("`([a-z]+)`")
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
"""msgspec's names of kinds of values, in plain words."""
_FEW = 30
"""Below this many items even a large gain is lost in the error."""


def parse_head(document: Mapping[str, Any], source: str) -> TaskHead:
    """Read the parsed TOML of a task's head; `source` names its file.

    Raises:
        TaskError: a key is unknown, missing or wrong.
    """
    try:
        head = msgspec.convert(document, TaskHead)
    except msgspec.ValidationError as error:
        raise TaskError(source, explained(str(error), TaskHead.__struct_fields__)) from None
    faults = tuple(_head_faults(head))
    if faults:
        raise TaskError(source, *faults)
    return head


def item_faults(head: TaskHead, items: Sequence[tuple[int, Item]]) -> Iterator[tuple[int, str]]:
    """Everything that is wrong with items of numbered lines: the line, and what is wrong there."""
    seen: dict[str, int] = {}
    for line, item in items:
        for fault in _faults(head, item):
            yield line, fault
        earlier = seen.setdefault(item.input, line)
        if earlier != line:
            yield line, f"the same input stands in line {earlier}; remove one of them"


def notes(task: Task) -> tuple[str, ...]:
    """What a person should know about a sound task before trusting its numbers."""
    found = []
    number = len(task.items)
    if number < _FEW:
        points = 100 * math.sqrt(0.25 / number)
        error = f"the standard error of an accuracy is up to {points:.0f} points"
        found.append(f"{number} items: {error}; 100 or more are better")
    targets = Counter(item.target for item in task.items)
    if unused := [label for label in task.labels if label not in targets]:
        found.append(f"no item has the label {quoted(unused)}")
    chance, most = task.chance_frac, task.majority_frac
    if chance is not None and most > chance + 0.1:
        answer, times = targets.most_common(1)[0]
        always = f"{quoted([answer])} is right for {times} of {number} items"
        found.append(f"{always}: always saying so is well above chance ({share(chance)})")
    return tuple(found)


def explained(message: str, known: Sequence[str]) -> str:
    """What msgspec says about a value, in words for the person who wrote it; `known` are the keys that exist."""
    if unknown := _UNKNOWN.match(message):
        return f"there is no key {quoted([unknown['name']])}; known here: {', '.join(known)}"
    if missing := _MISSING.match(message):
        return f"the key {missing['name']} is missing; add it"
    if wrong := _WRONG.fullmatch(message):
        what, key = _KIND.sub(lambda kind: _KINDS.get(kind[1], kind[0]), wrong["what"]), wrong["key"]
        meant = HEAD_WORDS.get(key.partition("[")[0], "Write it in double quotes." if "Expected text" in what else "")
        return f"{key}: {what[:1].lower()}{what[1:]}. {meant}".rstrip(". ")
    return f"{message[:1].lower()}{message[1:]}"


def quoted(texts: Sequence[str]) -> str:
    """Texts as they can be shown in a message, white space and all: 'yes', 'no '."""
    return ", ".join(f"'{shorten(clean(text), 40)}'" for text in texts).replace("\n", "\\n").replace("\t", "\\t")


def _head_faults(head: TaskHead) -> Iterator[str]:
    if not _ID.fullmatch(head.id):
        yield f"id must be lower-case letters, digits, '.', '_' and '-', not {quoted([head.id])}"
    if not _LANGUAGE.fullmatch(head.language):
        yield f"language must be a code such as en, de or pt-BR, not {quoted([head.language])}"
    if head.template.count(INPUT) != 1 or head.template.count(TARGET) != 1:
        yield f"template must have {INPUT} once and {TARGET} once"
    elif not head.template.endswith(TARGET):
        yield f"template must end with {TARGET}, because a model writes from left to right"
    if not head.separator:
        yield "separator is empty, so examples would run into each other; two line breaks ('\\n\\n') are usual"
    yield from _label_faults(head)
    if head.kind == "open" and (not head.stop or not all(head.stop)):
        yield "stop is empty, so an open answer would never end; a line break ('\\n') is usual"


def _label_faults(head: TaskHead) -> Iterator[str]:
    if head.kind == "open" and head.labels:
        yield 'labels are for kind "choice"; remove them or change the kind'
    elif head.labels:
        yield from _option_faults(head.labels, "labels")


def _faults(head: TaskHead, item: Item) -> Iterator[str]:
    for name, text in (("input", item.input), ("target", item.target)):
        if not text.strip():
            yield f"{name} is empty; fill it in or remove the line"
        elif text != text.strip():
            yield f"{name} {quoted([text])} begins or ends with white space; remove that"
    yield from _choice_faults(head, item) if head.kind == "choice" else _open_faults(head, item)


def _choice_faults(head: TaskHead, item: Item) -> Iterator[str]:
    if item.options is not None and head.labels:
        yield "it has options, and the head has labels for all items; remove one of them"
        return
    if item.options is not None:
        yield from _option_faults(item.options, "options")
    options = item.options or head.labels
    if not options:
        yield "it has no options, and the head has no labels; add one of them"
    elif item.target not in options:
        what = "options" if item.options else "labels"
        yield f"target {quoted([item.target])} is none of the {what} ({quoted(options)}); correct one of them"


def _option_faults(options: Sequence[str], what: str) -> Iterator[str]:
    if len(options) < 2:
        yield f"{what}: at least two are needed to choose from"
    if twice := [option for option, times in Counter(options).items() if times > 1]:
        yield f"{what}: {quoted(twice)} stands there twice; remove one"
    if any(not option or option != option.strip() for option in options):
        yield f"{what}: one is empty, or begins or ends with white space; correct it"


def _open_faults(head: TaskHead, item: Item) -> Iterator[str]:
    if item.options is not None:
        yield 'it has options, which are for kind "choice"; remove them or change the kind in the head'
    if stops := [stop for stop in head.stop if stop in item.target]:
        shown = ", ".join(repr(stop) for stop in stops)
        yield f"target {quoted([item.target])} holds {shown}, where an answer ends, so no answer could be right"
    if head.compare == "number" and as_number(item.target) is None:
        yield f'target {quoted([item.target])} is not a number, and the head says compare = "number"'
    if head.compare == "json" and as_json(item.target) is None:
        yield f'target {quoted([item.target])} is not JSON, and the head says compare = "json"'
