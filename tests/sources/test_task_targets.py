"""The targets of computed tasks, worked out once more in another way than in the generators."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from slmtui.sources.tasks import find_task

ROOT = Path(__file__).parents[2]
MONTHS = [date(2024, month, 1).strftime("%B") for month in range(1, 13)]
WEEKDAYS = [date(2024, 1, day).strftime("%A") for day in range(1, 8)]
UNITS = {
    "kilometres": ("m", "1000"), "metres": ("m", "1"), "centimetres": ("m", "0.01"), "millimetres": ("m", "0.001"),
    "feet": ("in", "12"), "inches": ("in", "1"), "yards": ("in", "36"),
    "tonnes": ("g", "1000000"), "kilograms": ("g", "1000"), "grams": ("g", "1"), "pounds": ("oz", "16"),
    "ounces": ("oz", "1"), "cubic metres": ("l", "1000"), "litres": ("l", "1"), "decilitres": ("l", "0.1"),
    "millilitres": ("l", "0.001"), "gallons": ("qt", "4"), "quarts": ("qt", "1"),
    "weeks": ("s", "604800"), "days": ("s", "86400"), "hours": ("s", "3600"), "minutes": ("s", "60"),
    "seconds": ("s", "1"), "decades": ("mo", "120"), "years": ("mo", "12"), "months": ("mo", "1"),
    "dozen": ("n", "12"), "pieces": ("n", "1"), "bytes": ("b", "8"), "bits": ("b", "1"), "euros": ("c", "100"),
    "cents": ("c", "1"),
}  # fmt: skip
"""Each unit as so many of the smallest of its kind."""


def arithmetic(question: str) -> str:
    value = eval(question, {"__builtins__": {}})
    assert value == int(value) and value > 0
    return str(int(value))


def code_output(program: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(program, {})
    return output.getvalue().rstrip("\n")


def moment(text: str, shape: str) -> datetime:
    return datetime.strptime(text, shape).replace(tzinfo=UTC)


def dates(question: str) -> str:
    if found := re.fullmatch(r"Which (\w+) is (\d+) \w+ (after|before) (?:an? )?(.+)\?", question):
        what, number, direction, start = found.groups()
        step = int(number) * (1 if direction == "after" else -1)
        if what == "weekday":
            return WEEKDAYS[(WEEKDAYS.index(start) + step) % 7]
        if what == "month":
            return MONTHS[(MONTHS.index(start) + step) % 12]
        if what == "time":
            return (moment(start, "%H:%M") + timedelta(minutes=step)).strftime("%H:%M")
        return words_of(moment(start, "%d %B %Y") + timedelta(days=step))
    if found := re.fullmatch(r"How is (.+) written as YYYY-MM-DD\?", question):
        return moment(found[1], "%d %B %Y").strftime("%Y-%m-%d")
    found = re.fullmatch(r"How is (.+) written in words\?", question)
    assert found
    return words_of(moment(found[1], "%Y-%m-%d"))


def words_of(day: datetime) -> str:
    return day.strftime("%d %B %Y").removeprefix("0")


def units(question: str) -> str:
    found = re.match(r"(-?[\d.]+) ([a-z A-Z]+) in ([a-zA-Z ]+)", question)
    assert found
    amount, given, wanted = Fraction(found[1]), found[2], found[3]
    if "degrees" in given:
        celsius = amount if given == "degrees Celsius" else (amount - 32) * 5 / 9
        result = celsius + 273 if wanted == "kelvin" else amount * 9 / 5 + 32 if "Fahr" in wanted else celsius
    else:
        assert UNITS[given][0] == UNITS[wanted][0]
        result = amount * Fraction(UNITS[given][1]) / Fraction(UNITS[wanted][1])
    return str(result)


LIST_WORK: dict[str, Callable[[list[str]], str]] = {
    "Give the first word": lambda words: words[0],
    "Give the second word": lambda words: words[1],
    "Give the last word": lambda words: words.pop(),
    "Give the longest word": lambda words: max(words, key=len),
    "Reverse the order": lambda words: ", ".join(words[::-1]),
    "Sort alphabetically": lambda words: ", ".join(sorted(words)),
    "Leave out the first word": lambda words: ", ".join(words[1:]),
    "Count the words": lambda words: str(len(words)),
    "Write in capital letters": lambda words: words[0].upper(),
    "Spell backwards": lambda words: "".join(reversed(words[0])),
    "Give the first letter": lambda words: words[0][:1],
    "Count the letters": lambda words: str(len(words[0])),
    "Leave out the vowels": lambda words: re.sub("[aeiou]", "", words[0]),
    "Put hyphens between the letters": lambda words: "-".join(list(words[0])),
}


def lists(question: str) -> str:
    what, _, given = question.partition(": ")
    return LIST_WORK[what](given.split(", "))


def first_word(words: str) -> str:
    return words.partition(" ")[0]


def look_up(table: str) -> str:
    *pairs, asked = table.split("\n")
    return dict(pair.split(" -> ") for pair in pairs)[asked]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("arithmetic", arithmetic),
        ("code-output", code_output),
        ("dates", dates),
        ("units", units),
        ("lists-and-strings", lists),
        ("pocket-first-word", first_word),
        ("pocket-look-up", look_up),
    ],
)
def test_the_target_is_right(name: str, answer: Callable[[str], str]) -> None:
    for item in find_task(name).items:
        if name == "units":
            assert Fraction(item.target) == Fraction(answer(item.input)), item
        else:
            assert item.target == answer(item.input), item


RULES: dict[str, Callable[[list[int]], bool]] = {
    "constant step": lambda n: len({b - a for a, b in pairwise(n)}) == 1,
    "constant ratio": lambda n: all(a * c == b * b for a, b, c in zip(n, n[1:], n[2:], strict=False)),
    "growing step": lambda n: len({c - 2 * b + a for a, b, c in zip(n, n[1:], n[2:], strict=False)}) == 1,
    "alternating steps": lambda n: len({c - a for a, c in zip(n, n[2:], strict=False)}) == 1,
    "sum of the last two": lambda n: all(a + b == c for a, b, c in zip(n, n[1:], n[2:], strict=False)),
    "double and add": lambda n: len({b - 2 * a for a, b in pairwise(n)}) == 1,
}


def test_the_last_number_follows_the_rule_of_the_others() -> None:
    for item in find_task("number-rules").items:
        numbers = [*(int(number) for number in item.input.split(", ")), int(item.target)]
        followed = {name for name, rule in RULES.items() if rule(numbers[:-1])}
        assert item.category in followed, item
        # Numbers that follow a second rule too would have a second answer, unless both rules give the same one.
        assert all(RULES[name](numbers) for name in followed), item


def test_extracted_facts_stand_in_the_text() -> None:
    for item in find_task("json-extraction").items:
        text, _, keys = item.input.partition("\nKeys: ")
        facts = json.loads(item.target)
        assert list(facts) == keys.split(", ")
        for value in facts.values():
            for fact in value if isinstance(value, list) else [value]:
                assert isinstance(fact, bool) or str(fact) in text, item


@pytest.mark.parametrize(
    "name", ["pocket-2-categories", "pocket-4-categories", "pocket-new-categories", "pocket-judgements"]
)
def test_a_pocket_label_stands_for_one_category(name: str) -> None:
    task = find_task(name)
    meant = {(item.category, item.target) for item in task.items}
    assert len(meant) == len(task.labels) == len({category for category, _ in meant})


def test_the_generators_write_the_files_that_are_shipped(tmp_path: Path) -> None:
    script = ROOT / "tools" / "tasks" / "generate.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=60, capture_output=True)
    made = sorted(tmp_path.iterdir())
    assert len(made) == 13
    for path in made:
        assert path.read_bytes() == (ROOT / "slmtui" / "tasks" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    "task",
    ["pocket-2-categories", "pocket-4-categories", "pocket-judgements", "pocket-look-up", "pocket-new-categories"],
)
def test_labels_of_pocket_s_tasks_stand_nowhere_in_what_writes_its_training(task: str) -> None:
    scripts = "\n".join(path.read_text("utf-8") for path in (ROOT / "tools" / "pocket").glob("*.py"))
    for label in {item.target for item in find_task(task).items}:
        (found,) = re.finditer(label, scripts, re.IGNORECASE)
        assert scripts[: found.start()].rpartition("_words(")[0].endswith("\nHELD_OUT_LABELS = "), label
