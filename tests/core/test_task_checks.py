from __future__ import annotations

from typing import Any

import msgspec
import pytest

from slmtui.core.task import HEAD_WORDS, Item, Task, TaskError, TaskHead
from slmtui.core.task_checks import item_faults, notes, parse_head

CHOICE: dict[str, Any] = {
    "id": "my-task",
    "name": "My task",
    "description": "Say yes or no.",
    "kind": "choice",
    "language": "en",
    "template": "Q: {input}\nA: {target}",
    "labels": ["yes", "no"],
}
OPEN = {key: value for key, value in CHOICE.items() if key != "labels"} | {"kind": "open"}


def faults(head: dict[str, Any], *items: Item) -> list[str]:
    return [fault for _, fault in item_faults(parse_head(head, "t.toml"), tuple(enumerate(items, 1)))]


def task(*items: Item) -> Task:
    return Task(**msgspec.structs.asdict(parse_head(CHOICE, "t.toml")), items=items)


def test_every_key_of_a_head_is_explained() -> None:
    assert tuple(HEAD_WORDS) == TaskHead.__struct_fields__
    assert all(words.endswith(".") for words in HEAD_WORDS.values())


def test_a_sound_task_has_no_fault() -> None:
    assert faults(CHOICE, Item("a", "yes"), Item("b", "no")) == []
    assert faults(OPEN, Item("a", "anything")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "My Task"}, "id must be lower-case letters"),
        ({"language": "English"}, "a code such as en, de or pt-BR, not 'English'"),
        ({"kind": "both"}, "kind: invalid enum value 'both'. \"choice\": the most likely"),
        ({"name": 3}, "name: expected text, got a whole number"),
        ({"lables": ["a", "b"]}, "there is no key 'lables'; known here: id, name"),
        ({"template": "{input}"}, "{input} once and {target} once"),
        ({"template": "{input} {input} {target}"}, "{input} once and {target} once"),
        ({"template": "{input} {target}."}, "must end with {target}"),
        ({"template": "{target} {input}"}, "must end with {target}"),
        ({"separator": ""}, "separator is empty"),
        ({"labels": ["yes"]}, "labels: at least two"),
        ({"labels": ["yes", "no", "yes"]}, "labels: 'yes' stands there twice"),
        ({"labels": ["yes", " no"]}, "begins or ends with white space"),
        ({"labels": "yes"}, "labels: expected a list, got text"),
        ({"kind": "open"}, 'labels are for kind "choice"'),
        ({"kind": "open", "labels": [], "stop": []}, "stop is empty"),
        ({"normalise": ["size"]}, "normalise[0]: invalid enum value 'size'. What does not count in open answers: case"),
    ],
)
def test_what_is_wrong_in_a_head_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as caught:
        parse_head(CHOICE | change, "t.toml")
    assert caught.value.source == "t.toml"
    assert message in str(caught.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(TaskError, match=r"t\.toml: the key template is missing; add it"):
        parse_head({key: value for key, value in CHOICE.items() if key != "template"}, "t.toml")


@pytest.mark.parametrize(
    ("head", "item", "message"),
    [
        (CHOICE, Item(" ", "yes"), "input is empty"),
        (CHOICE, Item("a", ""), "target is empty"),
        (CHOICE, Item("a ", "yes"), "input 'a ' begins or ends with white space"),
        (CHOICE, Item("a", "Yes"), "target 'Yes' is none of the labels ('yes', 'no')"),
        (CHOICE, Item("a", "yes", ("yes", "no")), "the head has labels for all items"),
        (CHOICE | {"labels": []}, Item("a", "yes"), "it has no options, and the head has no labels"),
        (CHOICE | {"labels": []}, Item("a", "yes", ("no", "well")), "target 'yes' is none of the options"),
        (CHOICE | {"labels": []}, Item("a", "yes", ("yes",)), "options: at least two"),
        (CHOICE | {"labels": []}, Item("a", "yes", ("yes", "no", "no")), "options: 'no' stands there twice"),
        (CHOICE | {"labels": []}, Item("a", "yes", ("yes", "")), "options: one is empty"),
        (OPEN, Item("a", "yes", ("yes", "no")), 'options, which are for kind "choice"'),
        (OPEN, Item("a", "one\ntwo"), r"target 'one\ntwo' holds '\n', where an answer ends"),
        (OPEN | {"compare": "number"}, Item("a", "seven"), "target 'seven' is not a number"),
        (OPEN | {"compare": "json"}, Item("a", "{a: 1}"), "target '{a: 1}' is not JSON"),
        (CHOICE, Item("a", "\x1b[31mred\u202e"), "target 'red' is none of"),
    ],
)
def test_what_is_wrong_with_an_item_is_said(head: dict[str, Any], item: Item, message: str) -> None:
    found = faults(head, item)
    assert any(message in fault for fault in found), found


def test_the_same_input_twice_is_a_fault_of_the_later_line() -> None:
    items = ((3, Item("a", "yes")), (7, Item("b", "no")), (9, Item("a", "no")))
    assert list(item_faults(parse_head(CHOICE, "t.toml"), items)) == [
        (9, "the same input stands in line 3; remove one of them")
    ]


def test_notes_tell_what_to_know_before_trusting_the_numbers() -> None:
    balanced = task(*(Item(f"{number}", ("yes", "no")[number % 2]) for number in range(100)))
    assert notes(balanced) == ()
    small = notes(task(*(Item(f"{number}", "yes") for number in range(25))))
    assert "25 items: the standard error of an accuracy is up to 10 points" in small[0]
    assert small[1] == "no item has the label 'no'"
    assert "'yes' is right for 25 of 25 items" in small[2]
