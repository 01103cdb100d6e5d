"""Probes: whether a model learns from examples. What a plan asks, cell by cell, and what each answer was."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import OptionScore
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Begun
from slmtui.core.task import Kind, Task
from slmtui.core.text import counted

Labels = Literal["true", "shuffled", "flipped", "unrelated"]
"""What the examples' answers are: the right ones; such that they tell nothing; each label exchanged for another; or
each replaced, in the question's options too, by a word that has nothing to do with the task."""
Style = Literal["raw", "turns", "turn"]
"""The prompt as plain text; a conversation with a turn for each example; or one turn that holds them all."""
Scorer = Literal["sum", "token", "byte"]
"""What the options are compared by: the logarithm of their probability, or that divided by their tokens or bytes."""

LABELS: dict[Labels, str] = {
    "true": "right answers in the examples",
    "shuffled": "answers in the examples that tell nothing",
    "flipped": "each label exchanged for another in the examples",
    "unrelated": "words that have nothing to do with the task as labels",
}
STYLES: dict[Style, str] = {
    "raw": "plain text",
    "turns": "chat template, a turn for each example",
    "turn": "chat template, all examples in one turn",
}
SCORERS: dict[Scorer, str] = {
    "sum": "log-probability",
    "token": "log-probability per token",
    "byte": "log-probability per byte",
}


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was when the plan was made."""

    id: str
    name: str
    spec: str
    """What finds it again: an id, or the path of its file."""
    sha256: str
    """Of everything in it."""
    kind: Kind
    items: int
    labels: int
    """How many options all items share; 0 where each has its own or is open."""
    chance_frac: float | None
    """The expected accuracy of choosing blindly; None where the answer is open."""


class ProbeCell(msgspec.Struct, frozen=True, kw_only=True):
    """One model, one task, one number of shots, one draw of examples: the same questions as in every other cell."""

    key: str
    """Unique in its plan, and the same whenever the plan is continued or extended."""
    model: LocalModel
    task: str
    """Id of the task."""
    shots: int
    seed: int
    """Draws the examples; the same examples for all models."""
    labels: Labels = "true"

    @property
    def label(self) -> str:
        """What is asked, without the model: `sentiment · 4 shots · seed 2 · shuffled labels`."""
        parts = [self.task, counted(self.shots, "shot")]
        parts += [f"seed {self.seed}"] if self.shots or self.labels == "unrelated" else []
        return " · ".join([*parts, f"{self.labels} labels"] if self.labels != "true" else parts)


class ProbePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, of which models, and how."""

    id: str
    preset: str
    tasks: tuple[PlannedTask, ...]
    cells: tuple[ProbeCell, ...]
    questions: int
    """How many of each task; of one that has fewer items, all."""
    style: Style = "raw"
    scorer: Scorer = "sum"
    calibrated: bool = False
    """Whether an option counts by how much likelier it is after the question than after one without content."""
    exact: bool = False
    """Whether the cache holds 32-bit numbers: of 16-bit ones an option's log-probability depends a little on what is
    evaluated beside it (in a quantized model by 0.1 or more), and attention is several times faster."""
    threads: int | None = None
    device: str | None = None
    batch: int = 20
    """Questions of a cell that are asked, and written to the store, together."""
    created_at: str
    """ISO 8601 in UTC."""

    @property
    def models(self) -> tuple[LocalModel, ...]:
        """Each model once, in the order of the cells."""
        return tuple({cell.model.id: cell.model for cell in self.cells}.values())

    def task(self, name: str) -> PlannedTask:
        """The task with this id."""
        return next(task for task in self.tasks if task.id == name)

    def asked(self, cell: ProbeCell) -> int:
        """How many questions the cell has."""
        return min(self.questions, self.task(cell.task).items)


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question of a cell, answered."""

    question: int
    """Place of the item in its task, from 0."""
    right: bool
    """By the plan's scorer, or by the task's comparison where the answer is open."""
    answer: str
    """The option that was chosen, or what the model wrote."""
    target: str
    """The right answer."""
    options: tuple[str, ...] = ()
    """What could be chosen; empty where the answer is open."""
    scores: tuple[OptionScore, ...] = ()
    """Of each option."""
    examples: tuple[int, ...] = ()
    """Places of the items that were shown as examples, in their order."""
    shared: int = 0
    """How many characters of its batch's opening its prompt begins with."""
    tail: str
    """The rest of the prompt."""
    prompt_tokens: int
    written_tokens: int = 0
    """Tokens of an open answer."""


class ProbeBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Questions of one cell that were asked together, and all that is known about how."""

    task: str
    """Id of the task."""
    task_sha256: str
    shots: int
    seed: int
    labels: Labels
    style: Style
    scorer: Scorer
    measurement: Measurement
    """Time, tokens, memory, settings, machine; its `cell` is the cell's key, its `repetition` the batch's number."""
    opening: str = ""
    """What most prompts of the batch begin with."""
    calibration: tuple[tuple[OptionScore, ...], ...] = ()
    """Scores of the task's labels after questions without content; empty where nothing is calibrated."""
    answers: tuple[Answer, ...] = ()
    """In the order of the task's items."""

    def prompt(self, answer: Answer) -> str:
        """The exact text that the model read before it answered."""
        return self.opening[: answer.shared] + answer.tail


class ProbeRecord(Begun, frozen=True, kw_only=True):
    """A plan as it is stored."""

    plan: ProbePlan


class KeptProbe(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is in the store."""

    plan: ProbePlan
    session: str
    answered: int
    total: int
    """Questions of all cells that were not given up."""
    held: bool
    """Whether a living process runs it."""
    dropped: bool
    """Whether somebody asked not to be offered it any more."""

    @property
    def unfinished(self) -> bool:
        """Whether it can be continued."""
        return self.answered < self.total and not self.held and not self.dropped


def planned(task: Task, spec: str) -> PlannedTask:
    """What a plan keeps of a task that `spec` finds."""
    return PlannedTask(
        id=task.id,
        name=task.name,
        spec=spec,
        sha256=task_sha256(task),
        kind=task.kind,
        items=len(task.items),
        labels=len(task.labels),
        chance_frac=task.chance_frac,
    )


def task_sha256(task: Task) -> str:
    """Hash of everything in a task, by which a changed one is known."""
    return hashlib.sha256(msgspec.json.encode(task)).hexdigest()
