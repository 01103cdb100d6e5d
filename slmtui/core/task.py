"""Tasks: questions with known answers, and how an example of one is written as text.

A task is a head (`ID.toml`) and its items (`ID.jsonl`). `core.task_checks` says what is wrong with one,
`core.answers` whether an open answer is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

import msgspec

INPUT, TARGET = "{input}", "{target}"
Kind = Literal["choice", "open"]
Normalisation = Literal["case", "space", "punctuation"]
Comparison = Literal["text", "number", "json"]

HEAD_WORDS: Mapping[str, str] = {
    "id": "Lower-case letters, digits, '.', '_' and '-': what the task is called in results.",
    "name": "A few words for lists and charts.",
    "description": "One sentence: what the model has to do.",
    "kind": '"choice": the most likely of the options is the answer. "open": the answer is written by the model.',
    "language": "BCP 47 code of the language: en, de, pt-BR.",
    "licence": "SPDX name of the licence, such as MIT.",
    "origin": "Who wrote the items, or where they come from.",
    "template": "How an example is written: {input} once, and {target} once, at the end.",
    "separator": "What stands between two examples.",
    "instruction": "What stands before the first example, with a blank line after it.",
    "labels": "Options that all items share; leave it out when each item has its own.",
    "compare": 'How open answers are compared: as "text", as a "number", or as "json".',
    "normalise": "What does not count in open answers: case, space, punctuation.",
    "stop": "Where an open answer ends.",
}
"""What each key of a head means, in the order in which they are written."""


class TaskError(ValueError):
    """A task can't be used; the message names the file, the line or the key, and says what to do."""

    def __init__(self, source: str, *faults: str) -> None:
        more = len(faults) - 1
        rest = f" (and {more} more: `slmtui tasks check {source}` lists them)" if more else ""
        super().__init__(f"{source}: {faults[0]}{rest}")
        self.source = source
        self.faults = faults
        """Everything that is wrong, in the order of the file."""


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question of a task, with its answer."""

    input: str
    target: str
    """The right answer; of a choice it is one of the options."""
    options: tuple[str, ...] | None = None
    """Answers to choose from; None where the task's labels are, or where the answer is open."""
    category: str | None = None
    """Which part of the task it belongs to."""


class TaskHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything about a task but its items; `HEAD_WORDS` says what each key means."""

    id: str
    name: str
    description: str
    kind: Kind
    language: str
    licence: str | None = None
    origin: str | None = None
    template: str
    separator: str = "\n\n"
    instruction: str | None = None
    labels: tuple[str, ...] = ()
    compare: Comparison = "text"
    normalise: tuple[Normalisation, ...] = ("space",)
    """Applied to open answers in the order case, space, punctuation, whatever order they are listed in."""
    stop: tuple[str, ...] = ("\n",)


class Task(TaskHead, frozen=True, kw_only=True):
    """A head with its items, checked."""

    items: tuple[Item, ...]

    def prompt(self, item: Item) -> str:
        """The item as text, up to where the answer begins; blanks before the answer belong to `continuation`."""
        return self._opening.rstrip(" ").replace(INPUT, item.input)

    def continuation(self, answer: str) -> str:
        """An answer with the blanks that the template has before it: what a model has to say after `prompt`."""
        opening = self._opening
        return opening[len(opening.rstrip(" ")) :] + answer

    def example(self, item: Item) -> str:
        """The item with its answer: one shot."""
        return self.prompt(item) + self.continuation(item.target)

    def text(self, item: Item, shots: Sequence[Item] = ()) -> str:
        """What a model reads: the instruction, if any, the shots in their order, and the item's prompt."""
        examples = self.separator.join([*map(self.example, shots), self.prompt(item)])
        return f"{self.instruction}\n\n{examples}" if self.instruction else examples

    def options(self, item: Item) -> tuple[str, ...]:
        """What can be chosen from; empty where the answer is open."""
        return item.options or self.labels

    @property
    def chance_frac(self) -> float | None:
        """The expected accuracy of choosing blindly; None where the answer is open."""
        if self.kind == "open":
            return None
        return fmean(1 / len(self.options(item)) for item in self.items)

    @property
    def majority_frac(self) -> float:
        """The accuracy of always giving the most frequent answer."""
        return max(Counter(item.target for item in self.items).values()) / len(self.items)

    @property
    def _opening(self) -> str:
        return self.template.removesuffix(TARGET)
