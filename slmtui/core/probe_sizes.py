"""How many tokens a probe takes, from the tokens of each item: what is evaluated, and what the context must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from slmtui.core.probe import ProbeCell
from slmtui.core.probe_draw import Examples
from slmtui.core.task import Task

_TURN = 16
"""Tokens that a chat template writes around a turn, amply."""
_STEP = 256
_SLACK = 64
"""Tokens by which joined texts may differ from the sum of their parts."""


class Work(msgspec.Struct, frozen=True):
    """Tokens to evaluate and tokens to write."""

    prompt_tokens: int = 0
    written_tokens: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.prompt_tokens + other.prompt_tokens, self.written_tokens + other.written_tokens)


class TaskSizes:
    """Tokens of the parts of one task's prompts in one model's vocabulary."""

    def __init__(self, task: Task, counts: Mapping[str, int], style: str) -> None:
        self._task = task
        self._drawn: dict[int, Examples] = {}
        turn = 0 if style == "raw" else _TURN
        separator = counts[task.separator] + (2 * turn if style == "turns" else 0)
        self._opening = (counts[task.instruction] if task.instruction else 0) + turn + 1
        self._prompts = [counts[task.prompt(item)] for item in task.items]
        self._answers = [counts[task.continuation(item.target)] for item in task.items]
        self._options = [sum(counts[task.continuation(option)] for option in task.options(item)) for item in task.items]
        self._examples = [sum(pair) + separator for pair in zip(self._prompts, self._answers, strict=True)]

    @staticmethod
    def texts(task: Task) -> tuple[str, ...]:
        """What has to be counted."""
        every = {task.separator, task.instruction or ""}
        for item in task.items:
            every |= {task.prompt(item), *map(task.continuation, (item.target, *task.options(item)))}
        return tuple(sorted(every - {""}))

    def work(self, cell: ProbeCell, questions: Sequence[int]) -> Work:
        """What these questions of a cell take; what they share is evaluated once."""
        usual = self._shown(cell)
        shared = self._opening + sum(self._examples[place] for place in usual)
        own = sum(self._prompts[place] + self._options[place] for place in questions)
        others = sum(shared for place in questions if place in usual)
        written = sum(self._answers[place] + 1 for place in questions) if self._task.kind == "open" else 0
        return Work(shared + own + others if questions else 0, written)

    def _shown(self, cell: ProbeCell) -> tuple[int, ...]:
        """Places of the examples that most questions of the cell have; each seed draws them once."""
        if cell.seed not in self._drawn:
            self._drawn[cell.seed] = Examples(self._task, cell.seed)
        return self._drawn[cell.seed].shown(cell.shots)

    def longest(self, cell: ProbeCell) -> tuple[int, int]:
        """Tokens of the examples, and of the longest question with its options or its answer, amply."""
        usual = self._shown(cell)
        substitute = max(self._examples) if usual else 0
        shown = self._opening + sum(self._examples[place] for place in usual) + substitute
        return shown, max(map(sum, zip(self._prompts, self._options, strict=True))) + answer_limit(self._task)


def answer_limit(task: Task) -> int:
    """Tokens after which an open answer is cut: a token has a byte at least, so every right answer has room."""
    return max(len(item.target.encode()) for item in task.items) + 8 if task.kind == "open" else 0


def context_for(longest: Sequence[tuple[int, int]], micro_batch: int) -> int:
    """Tokens of context: a question that shares its examples with no other stands beside those of the others."""
    needed = max(max(2 * shown + own, shown + micro_batch) for shown, own in longest) + _SLACK
    return -(-needed // _STEP) * _STEP
