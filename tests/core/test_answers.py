from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from slmtui.core.answers import as_json, as_number, ended, is_right, normalised
from slmtui.core.task import Normalisation, TaskHead


def head(settings: Mapping[str, Any]) -> TaskHead:
    named: dict[str, Any] = {"id": "t", "name": "T", "description": "Answer.", "kind": "open", "language": "en"}
    return TaskHead(template="{input} {target}", **named, **settings)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", "42"),
        (" -3.50 metres", "-3.5"),
        ("−7", "-7"),
        ("about 1,234,567.5 of 8", "1234567.5"),
        ("1,2,3", "1"),
        ("12,3456", "12"),
        (".5", "0.5"),
        ("3.", "3"),
        ("it is 10-2", "10"),
        ("ten", None),
        ("", None),
    ],
)
def test_the_first_number_of_an_answer_counts(text: str, number: str | None) -> None:
    assert as_number(text) == (None if number is None else Decimal(number))


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ('{"a": 1, "b": [2.50]}', '{ "b":[2.5],"a":1.0 }', True),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": 1}', '{"a": "1"}', False),
        ("[1, 2]", "[2, 1]", False),
        ('"ä"', '"\\u00e4"', True),
        ("null", "0", False),
        ("10000000000000000000000000001", "10000000000000000000000000002", False),
    ],
)
def test_json_is_compared_by_value(first: str, second: str, *, same: bool) -> None:
    assert (as_json(first) == as_json(second)) is same


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[" * 100_000, "{} {}", "1e9999999999"])
def test_what_is_no_json_is_no_answer(text: str) -> None:
    assert as_json(text) is None
    assert not is_right(head({"compare": "json"}), text, "{}")


@pytest.mark.parametrize(
    ("text", "steps", "left"),
    [
        ("  Yes \t no ", (), "Yes \t no"),
        ("Yes \t no", ("space",), "Yes no"),
        ("Straße", ("case",), "strasse"),
        ('"Yes."', ("punctuation",), "Yes"),
        (" « Oui ! » ", ("punctuation", "case"), "oui"),
        ("e\u0301te\u0301", (), "été"),
        ("it's 3.5", ("punctuation",), "it's 3.5"),
    ],
)
def test_only_what_is_said_not_to_count_is_taken_off(text: str, steps: tuple[Normalisation, ...], left: str) -> None:
    assert normalised(text, steps) == left


def test_an_answer_ends_at_its_first_stop() -> None:
    assert ended("\n four\nQuestion: x", ("\n",)) == "four"
    assert ended("a; b. c", (".", ";")) == "a"
    assert ended(" all of it ", ("\n",)) == "all of it"
    assert ended("", ("\n",)) == ""


@pytest.mark.parametrize(
    ("settings", "answer", "target", "right"),
    [
        ({}, " four\nfive", "four", True),
        ({}, " Four", "four", False),
        ({"normalise": ("case",)}, " Four", "four", True),
        ({"compare": "number"}, " 4.0 apples", "4", True),
        ({"compare": "number"}, " 1,200", "1200", True),
        ({"compare": "number"}, " none", "4", False),
        ({"compare": "number"}, "\n\n", "4", False),
        ({"compare": "json"}, ' {"b": 2, "a": 1}\n{}', '{"a": 1, "b": 2}', True),
        ({"compare": "json", "stop": (";",)}, ' {"a":\n1}; no', '{"a": 1}', True),
    ],
)
def test_right_and_wrong(settings: dict[str, Any], answer: str, target: str, *, right: bool) -> None:
    assert is_right(head(settings), answer, target) is right
