"""Tasks, plans and answers of probes for tests."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import OptionScore
from slmtui.core.probe import Answer, Labels, PlannedTask, ProbeBatch, planned
from slmtui.core.task import Item, Task
from tests.samples import measurement, timing

MOODS = ("good", "bad")


def mood_task(items: int = 24, labels: Sequence[str] = MOODS) -> Task:
    """A task with labels; its items take them in turn."""
    return Task(
        id="mood",
        name="Mood",
        description="Tell the mood.",
        kind="choice",
        language="en",
        template="Story: {input}\nMood: {target}",
        labels=tuple(labels),
        items=tuple(Item(f"story {place}", labels[place % len(labels)]) for place in range(items)),
    )


def ending_task(items: int = 12) -> Task:
    """A task whose questions have options of their own."""
    every = tuple(
        Item(f"begin {place}", f"end {place}", (f"other {place}", f"end {place}"), "ab"[place % 2])
        for place in range(items)
    )
    return msgspec.structs.replace(
        mood_task(), id="ending", labels=(), template="{input} {target}", separator="\n", items=every
    )


def sum_task(items: int = 12) -> Task:
    """A task with open answers."""
    every = tuple(Item(f"{place} + 1", str(place + 1)) for place in range(items))
    return msgspec.structs.replace(
        mood_task(), id="sum", labels=(), kind="open", compare="number", template="{input} = {target}", items=every
    )


def model(name: str = "pocket") -> LocalModel:
    """A model that nobody opens."""
    return LocalModel(id=name, name=name.title(), path=Path(f"/m/{name}.gguf"), size_bytes=5)


def plans(*tasks: Task) -> tuple[PlannedTask, ...]:
    """What plans keep of tasks that their ids find."""
    return tuple(planned(task, task.id) for task in tasks)


def score(logprob: float, tokens: int = 1, size: int = 4) -> OptionScore:
    """One option's score."""
    return OptionScore(logprob, tokens, size, greedy=False)


def answer(question: int, *, right: bool, **changes: object) -> Answer:
    """A question of `mood_task`, answered rightly or not."""
    target = MOODS[question % 2]
    given = target if right else MOODS[1 - question % 2]
    base = Answer(
        question=question,
        right=right,
        answer=given,
        target=target,
        options=MOODS,
        scores=tuple(score(-1.0 if option == given else -2.0) for option in MOODS),
        tail=f"Story: story {question}\nMood:",
        prompt_tokens=9,
    )
    return msgspec.structs.replace(base, **changes)


def batch(
    answers: Mapping[int, bool] | Sequence[Answer],
    *,
    model: str = "pocket",
    shots: int = 0,
    seed: int = 1,
    labels: Labels = "true",
    number: int = 0,
    session: str = "20261121-0131-a7f3",
    **changes: object,
) -> ProbeBatch:
    """A batch of `mood_task`, as the place of each question and whether it was answered rightly."""
    if isinstance(answers, Mapping):
        answers = [answer(place, right=right) for place, right in answers.items()]
    measured = measurement(number, session=session, model=model, cell=f"{model} mood {shots} {seed} {labels}")
    measured = msgspec.structs.replace(
        measured,
        id=f"{measured.cell} {number}",
        kind="probe",
        name=model.title(),
        plan="p1",
        wall_s=0.5,
        timing=timing(generated_tokens=0, decode_steps=0, decode_s=None),
    )
    base = ProbeBatch(
        task="mood",
        task_sha256="ab" * 32,
        shots=shots,
        seed=seed,
        labels=labels,
        style="raw",
        scorer="sum",
        measurement=measured,
        answers=tuple(answers),
    )
    return msgspec.structs.replace(base, **changes)


def drawn(share: float, n: int = 100, seed: int = 1) -> dict[int, bool]:
    """Questions of which about this share is answered rightly."""
    draw = random.Random(f"{share} {seed}")
    return {place: draw.random() < share for place in range(n)}
