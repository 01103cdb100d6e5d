"""What a probe takes of a model: tokens counted in its own vocabulary, the context, the way it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, Inspected
from slmtui.core.probe import ProbeCell, ProbePlan
from slmtui.core.probe_sizes import TaskSizes, Work, context_for
from slmtui.core.task import Task
from slmtui.lab.loading import LoadOptions
from slmtui.lab.services import Services

SEQUENCES = 64
"""Branches at the same time: 63 questions whose options are single tokens, 15 of four longer options."""
PLAIN = LoadOptions(sequences=SEQUENCES)
"""What loading for probes has in common."""


class Sizes:
    """Tokens of everything that one model is asked."""

    def __init__(self, model: LocalModel, inspected: Inspected, tasks: Mapping[str, TaskSizes]) -> None:
        self.inspected = inspected
        self._model = model
        self._tasks = tasks

    def work(self, cell: ProbeCell, questions: Sequence[int]) -> Work:
        """What these questions of a cell take."""
        return self._tasks[cell.task].work(cell, questions)

    def too_long(self, cells: Sequence[ProbeCell]) -> tuple[ProbeCell, ...]:
        """Cells whose texts may be longer than those that the model was trained with."""
        trained = self.inspected.facts.trained_context
        return tuple(cell for cell in cells if trained and sum(self._tasks[cell.task].longest(cell)) > trained)

    def options(self, plan: ProbePlan, cells: Sequence[ProbeCell]) -> LoadOptions:
        """How to load the model for these cells."""
        trained = self.inspected.facts.trained_context
        longest = [self._tasks[cell.task].longest(cell) for cell in cells]
        if trained:  # what is longer is refused anyway
            longest = [(min(shown, trained), min(own, trained)) for shown, own in longest]
        return plain(plan, self._model, context_for(longest, PLAIN.micro_batch))


def plain(plan: ProbePlan, model: LocalModel, context: int) -> LoadOptions:
    """How to load a model of the plan with so many tokens of context."""
    options = msgspec.structs.replace(PLAIN, context=context, threads=plan.threads, device=plan.device)
    cache = "f32" if plan.exact else "f16"  # MLX refuses the first: its cache has the model's own numbers
    # Flash attention rounds more than the attention without it; MLX has one kind.
    attention = "auto" if model.format == "MLX" else "off"
    return msgspec.structs.replace(options, flash_attention=attention, type_k=cache, type_v=cache)


async def sizes(services: Services, plan: ProbePlan, model: LocalModel, tasks: Mapping[str, Task]) -> Sizes | Failed:
    """Count the tokens of everything that a model is asked; `Failed` when it cannot be opened."""
    texts = tuple(sorted({text for task in tasks.values() for text in TaskSizes.texts(task)}))
    told = await services.inspect(model, options=LoadOptions(context=256, check_memory=False), texts=texts)
    if isinstance(told, Failed):
        return told
    counts = dict(zip(texts, told.tokens, strict=True))
    return Sizes(model, told, {name: TaskSizes(task, counts, plan.style) for name, task in tasks.items()})
