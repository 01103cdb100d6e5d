from __future__ import annotations

import pytest

from slmtui.core.task import Item, Task, TaskError


def task(*items: Item, template: str = "Q: {input}\nA: {target}", instruction: str | None = None) -> Task:
    labelled = not items or items[0].options is None
    return Task(
        id="t",
        name="T",
        description="Answer.",
        kind="choice",
        language="en",
        template=template,
        instruction=instruction,
        labels=("yes", "no", "maybe") if labelled else (),
        items=items or (Item("is {target} fine?", "yes"), Item("is it {input}?", "yes"), Item("well?", "no")),
    )


@pytest.mark.parametrize(
    ("template", "prompt", "continuation"),
    [
        ("Q: {input}\nA: {target}", "Q: well?\nA:", " no"),
        ("Q: {input}\nA:\n{target}", "Q: well?\nA:\n", "no"),
        ("{input}  {target}", "well?", "  no"),
        ("{input}{target}", "well?", "no"),
    ],
)
def test_blanks_before_the_answer_are_part_of_what_a_model_says(template: str, prompt: str, continuation: str) -> None:
    found = task(template=template)
    assert (found.prompt(found.items[2]), found.continuation("no")) == (prompt, continuation)
    assert found.example(found.items[2]) == prompt + continuation == template.format(input="well?", target="no")


def test_what_a_model_reads_is_instruction_shots_and_prompt() -> None:
    found = task(instruction="Answer me.")
    first, second, third = found.items
    assert found.text(third) == "Answer me.\n\nQ: well?\nA:"
    assert found.text(third, [second, first]) == (
        "Answer me.\n\nQ: is it {input}?\nA: yes\n\nQ: is {target} fine?\nA: yes\n\nQ: well?\nA:"
    )


def test_chance_is_that_of_each_item_and_the_majority_that_of_the_answers() -> None:
    shared = task()
    assert shared.options(shared.items[0]) == ("yes", "no", "maybe")
    assert shared.chance_frac == pytest.approx(1 / 3)
    assert shared.majority_frac == pytest.approx(2 / 3)
    own = task(Item("a", "b", ("b", "c")), Item("d", "e", ("b", "c", "d", "e")))
    assert own.options(own.items[1]) == ("b", "c", "d", "e")
    assert own.chance_frac == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_an_error_shows_the_first_fault_and_keeps_all() -> None:
    assert str(TaskError("my.jsonl", "line 1: a")) == "my.jsonl: line 1: a"
    error = TaskError("my.jsonl", "line 1: a", "line 2: b", "line 3: c")
    assert str(error) == "my.jsonl: line 1: a (and 2 more: `slmtui tasks check my.jsonl` lists them)"
    assert error.faults == ("line 1: a", "line 2: b", "line 3: c")
