"""The exact prompt of a question: instruction, examples, question, as plain text or as a conversation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slmtui.core import probe_draw
from slmtui.core.chat import Message
from slmtui.core.probe import ProbeCell, Style
from slmtui.core.probe_draw import Examples
from slmtui.core.task import Item, Task

WITHOUT_CONTENT = ("N/A", "[MASK]", "")
"""Questions that say nothing, by which options are calibrated (Zhao et al. 2021, arXiv:2102.09690)."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question as the model gets it; exactly one of prompt and messages is given."""

    question: int
    target: str
    options: tuple[str, ...]
    """As a person reads them; empty where the answer is open."""
    continuations: tuple[str, ...]
    """As the model would write them, the blank before each included."""
    examples: tuple[int, ...]
    prompt: str | None = None
    messages: tuple[Message, ...] = ()


class Prompts:
    """The prompts of one cell."""

    def __init__(self, task: Task, cell: ProbeCell, style: Style) -> None:
        self._task = probe_draw.with_words(task, cell.seed) if cell.labels == "unrelated" else task
        self._cell = cell
        self._style = style
        self._examples = Examples(task, cell.seed)

    @property
    def labels(self) -> tuple[str, ...]:
        """The options that all questions share; empty where each has its own or is open."""
        return self._task.labels

    def asked(self, question: int) -> Asked:
        """A question of the task, which is never among its own examples."""
        shown = self._examples.shown(self._cell.shots, question)
        return self._asked(question, self._task.items[question], shown)

    def without_content(self) -> tuple[Asked, ...]:
        """Questions that say nothing, with the examples that most of the cell's questions have."""
        shown = self._examples.shown(self._cell.shots)
        return tuple(self._asked(-1, Item(text, self._task.labels[0]), shown) for text in WITHOUT_CONTENT)

    def _asked(self, question: int, item: Item, shown: Sequence[int]) -> Asked:
        task, cell = self._task, self._cell
        told = probe_draw.answers(task, shown, cell.labels, cell.seed)
        examples = [
            msgspec.structs.replace(task.items[place], target=answer) for place, answer in zip(shown, told, strict=True)
        ]
        options = task.options(item)
        raw = self._style == "raw"
        return Asked(
            question=question,
            target=item.target,
            options=options,
            continuations=tuple(map(task.continuation, options)) if raw else options,
            examples=tuple(shown),
            prompt=_text(task, examples, item) if raw else None,
            messages=() if raw else _conversation(task, examples, item, self._style),
        )


def _text(task: Task, examples: Sequence[Item], item: Item) -> str:
    return _opening(task) + task.separator.join([*map(task.example, examples), task.prompt(item)])


def _conversation(task: Task, examples: Sequence[Item], item: Item, style: Style) -> tuple[Message, ...]:
    if style == "turn":
        return (Message("user", _text(task, examples, item)),)
    turns = [(task.prompt(example), example.target) for example in examples]
    first, *others = [*turns, (task.prompt(item), None)]
    messages: list[Message] = []
    for number, (question, answer) in enumerate((first, *others)):
        messages.append(Message("user", (_opening(task) if number == 0 else "") + question))
        if answer is not None:
            messages.append(Message("assistant", answer))
    return tuple(messages)


def _opening(task: Task) -> str:
    return f"{task.instruction}\n\n" if task.instruction else ""
