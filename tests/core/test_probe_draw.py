"""Questions and examples: drawn again the same, balanced, never the question itself; controls that do what they say."""

from __future__ import annotations

from collections import Counter

import pytest

from slmtui.core import probe_draw
from slmtui.core.probe import Labels, ProbeCell, Style
from slmtui.core.probe_draw import Examples
from slmtui.core.probe_prompt import Prompts
from slmtui.core.task import Item, Task
from tests.core.probes import ending_task, model, mood_task, sum_task

FOUR = ("north", "south", "east", "west")
TASKS = {"labels": mood_task(), "four labels": mood_task(40, FOUR), "own options": ending_task(), "open": sum_task()}


def cell(task: Task, shots: int = 4, seed: int = 1, labels: Labels = "true") -> ProbeCell:
    return ProbeCell(key="k", model=model(), task=task.id, shots=shots, seed=seed, labels=labels)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_questions_are_all_items_in_one_order(task: Task) -> None:
    order = probe_draw.questions(task)
    assert sorted(order) == list(range(len(task.items)))
    assert order == probe_draw.questions(task)
    assert order != tuple(sorted(order))
    for first in range(2, len(order)):
        counts = Counter(task.items[place].target for place in order[:first]) if task.labels else Counter([0])
        assert max(counts.values()) - min(counts.values()) <= 1 or len(counts) < len(task.labels)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("shots", [0, 1, 2, 3, 8])
def test_examples_never_hold_the_question(task: Task, shots: int) -> None:
    examples = Examples(task, 3)
    usual = examples.shown(shots)
    assert len(set(usual)) == shots
    assert usual == examples.shown(8)[:shots], "fewer shots are the beginning of more"
    for question in range(len(task.items)):
        shown = examples.shown(shots, question)
        assert question not in shown
        assert len(set(shown)) == shots
        differing = [place for place, (one, other) in enumerate(zip(shown, usual, strict=True)) if one != other]
        assert len(differing) == (question in usual)
        for place in differing:
            if task.labels:
                assert task.items[shown[place]].target == task.items[question].target


def test_seeds_draw_other_examples_and_the_same_ones_again() -> None:
    task = TASKS["labels"]
    drawn = [Examples(task, seed).shown(8) for seed in range(1, 6)]
    assert len(set(drawn)) == 5
    assert drawn == [Examples(mood_task(), seed).shown(8) for seed in range(1, 6)]
    assert drawn[0] == (13, 18, 20, 7, 11, 16, 23, 10), "the draw stays what it is from version to version"


def test_examples_are_not_asked_where_there_are_enough_items() -> None:
    for task in (mood_task(120, FOUR), mood_task(120), ending_task(120)):
        asked = set(probe_draw.questions(task)[:96])
        for seed in range(1, 6):
            assert not asked & set(Examples(task, seed).shown(16))
        assert len({place for seed in range(1, 30) for place in Examples(task, seed).shown(8)}) == 24


@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize("shots", [4, 8])
def test_examples_are_balanced(labels: int, shots: int) -> None:
    task = mood_task(40, FOUR[:labels])
    for seed in range(5):
        counts = Counter(task.items[place].target for place in Examples(task, seed).shown(shots))
        assert set(counts.values()) == {shots // labels}


def test_shuffled_labels_tell_nothing() -> None:
    task = mood_task(80, FOUR)
    for seed in range(8):
        shown = Examples(task, seed).shown(16)
        told = probe_draw.answers(task, shown, "shuffled", seed)
        pairs = Counter((task.items[place].target, label) for place, label in zip(shown, told, strict=True))
        assert set(pairs.values()) == {1}, "each label stands once with each kind of example"
        assert told[:8] == probe_draw.answers(task, shown[:8], "shuffled", seed)


@pytest.mark.parametrize("task", [TASKS["own options"], TASKS["open"]])
def test_shuffled_answers_of_other_tasks_are_others(task: Task) -> None:
    shown = Examples(task, 1).shown(8)
    told = probe_draw.answers(task, shown, "shuffled", 1)
    right = [task.items[place].target for place in shown]
    assert list(told) != right
    for place, answer in zip(shown, told, strict=True):
        item = task.items[place]
        assert answer in item.options if item.options else answer != item.target


def test_flipped_labels_are_all_wrong_and_one_for_one() -> None:
    task = mood_task(40, FOUR)
    flips = probe_draw.flips(task)
    assert sorted(flips) == sorted(flips.values())
    assert all(label != other for label, other in flips.items())
    shown = Examples(task, 1).shown(8)
    told = probe_draw.answers(task, shown, "flipped", 1)
    assert told == tuple(flips[task.items[place].target] for place in shown)


def test_unrelated_words_take_the_labels_places_everywhere() -> None:
    task = mood_task(24, ("stone", "bad"))
    changed = probe_draw.with_words(task, 1)
    assert not set(changed.labels) & {"stone", "bad", "good"}
    assert set(changed.labels) <= set(probe_draw.WORDS)
    words = dict(zip(task.labels, changed.labels, strict=True))
    assert [item.target for item in changed.items] == [words[item.target] for item in task.items]
    assert probe_draw.with_words(task, 2).labels != changed.labels
    asked = Prompts(task, cell(task, 2, labels="unrelated"), "raw").asked(0)
    assert asked.options == changed.labels
    assert asked.target == changed.items[0].target
    assert asked.prompt is not None
    assert "Mood: bad" not in asked.prompt


# -- prompts

TALK = Task(
    id="t",
    name="T",
    description="D.",
    kind="choice",
    language="en",
    template="Q: {input}\nA: {target}",
    instruction="Say it.",
    labels=("yes", "no"),
    items=(Item("one", "yes"), Item("two", "no"), Item("three", "yes")),
)


def test_a_raw_prompt_is_the_text_to_the_letter() -> None:
    asked = Prompts(TALK, cell(TALK, 2, seed=1), "raw").asked(2)
    first, second = (TALK.items[place] for place in asked.examples)
    assert asked.prompt == (
        f"Say it.\n\nQ: {first.input}\nA: {first.target}\n\nQ: {second.input}\nA: {second.target}\n\nQ: three\nA:"
    )
    assert asked.continuations == (" yes", " no")
    assert asked.options == ("yes", "no")
    assert asked.target == "yes"
    assert not asked.messages
    assert Prompts(TALK, cell(TALK, 0), "raw").asked(0).prompt == "Say it.\n\nQ: one\nA:"


@pytest.mark.parametrize("style", ["turns", "turn"])
def test_a_conversation_says_the_same(style: Style) -> None:
    raw = Prompts(TALK, cell(TALK, 2), "raw").asked(2)
    asked = Prompts(TALK, cell(TALK, 2), style).asked(2)
    assert asked.prompt is None
    assert asked.continuations == ("yes", "no"), "the template has the blank"
    roles = [message.role for message in asked.messages]
    if style == "turn":
        assert [message.content for message in asked.messages] == [raw.prompt]
        return
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    assert asked.messages[0].content.startswith("Say it.\n\nQ: ")
    assert [message.content for message in asked.messages[1::2]] == [
        TALK.items[place].target for place in asked.examples
    ]
    assert asked.messages[-1].content == "Q: three\nA:"


def test_questions_without_content_have_the_usual_examples() -> None:
    task = mood_task()
    prompts = Prompts(task, cell(task, 2), "raw")
    empty = prompts.without_content()
    usual = Examples(task, 1).shown(2)
    assert [asked.examples for asked in empty] == [usual] * 3
    assert empty[0].prompt is not None
    assert empty[0].prompt.endswith("\n\nStory: N/A\nMood:")
    assert prompts.labels == task.labels
