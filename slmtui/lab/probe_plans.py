"""Probes from one run of the program to the next: taken in hand, checked, let go, found again, extended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from slmtui.core import probe_draw, probe_presets
from slmtui.core.catalog import LocalModel
from slmtui.core.plan import PlanError
from slmtui.core.probe import (
    KeptProbe,
    PlannedTask,
    ProbeBatch,
    ProbeCell,
    ProbePlan,
    planned,
    task_sha256,
)
from slmtui.core.probe_presets import ProbeGrid
from slmtui.core.task import Task
from slmtui.core.text import one_line
from slmtui.lab.plan_files import begin, go_on, hashes, leave
from slmtui.lab.services import Services
from slmtui.sources import tasks as task_files


@dataclass(eq=False)
class HeldProbe:
    """A plan in this process's hands."""

    plan: ProbePlan
    tasks: Mapping[str, Task]
    session: str
    """Id of the session that its answers go to."""
    batches: list[ProbeBatch] = field(default_factory=list)
    """What is in the store, in the order in which it was asked."""
    given_up: set[str] = field(default_factory=set)
    """Keys of the cells that go no further."""
    notices: tuple[str, ...] = ()
    """Sentences about what is not as it was when the plan began."""

    def __post_init__(self) -> None:
        self._questions = {name: probe_draw.questions(task) for name, task in self.tasks.items()}
        self._answered: dict[str, set[int]] = defaultdict(set)
        self._missing: dict[str, tuple[int, ...]] = {}
        self._numbers: dict[str, int] = defaultdict(int)
        for batch in self.batches:
            self._count(batch)

    def note(self, batch: ProbeBatch) -> None:
        """One more batch is in the store."""
        self.batches.append(batch)
        self._count(batch)

    def missing(self, cell: ProbeCell) -> tuple[int, ...]:
        """The questions that the cell still has to be asked, in their order; the same tuple until it is answered."""
        if cell.key in self.given_up:
            return ()
        if cell.key not in self._missing:
            asked, answered = self._questions[cell.task][: self.plan.asked(cell)], self._answered[cell.key]
            self._missing[cell.key] = tuple(place for place in asked if place not in answered)
        return self._missing[cell.key]

    def answered(self, cell: ProbeCell) -> int:
        """How many answers of the cell are in the store."""
        return len(self._answered[cell.key])

    def next_number(self, cell: ProbeCell) -> int:
        """The number of the cell's next batch."""
        return self._numbers[cell.key]

    @property
    def todo(self) -> list[ProbeCell]:
        """Cells with questions that are not answered yet."""
        return [cell for cell in self.plan.cells if self.missing(cell)]

    def _count(self, batch: ProbeBatch) -> None:
        key = batch.measurement.cell
        self._missing.pop(key, None)
        self._answered[key] |= {answer.question for answer in batch.answers}
        self._numbers[key] = max(self._numbers[key], batch.measurement.repetition + 1)


async def read_tasks(specs: Iterable[str]) -> tuple[tuple[PlannedTask, Task], ...]:
    """The tasks that these ids or paths mean, each once.

    Raises:
        TaskError: there is no such task, or it is wrong.
        ResourceError: the installation is damaged.
    """

    def read() -> tuple[tuple[PlannedTask, Task], ...]:
        found = ((spec, task_files.find_task(spec)) for spec in dict.fromkeys(specs))
        return tuple((planned(task, spec), task) for spec, task in found)

    return await asyncio.to_thread(read)


async def tasks_of(plan: ProbePlan) -> Mapping[str, Task]:
    """The plan's tasks by their ids.

    Raises:
        PlanError: one has changed since the plan was made.
        TaskError: one is gone or damaged.
    """
    found: dict[str, Task] = {}
    for wanted, (_, task) in zip(plan.tasks, await read_tasks(task.spec for task in plan.tasks), strict=True):
        if task_sha256(task) != wanted.sha256:
            raise PlanError(
                f"the plan cannot go on: the task {one_line(wanted.spec)} is not the one that was asked (its content "
                "has changed); put that one back, or begin anew"
            )
        found[wanted.id] = task
    return found


async def hold(services: Services, plan: ProbePlan) -> HeldProbe:
    """Write a new plan into the store, or take one that is there and see whether it can go on.

    Raises:
        PlanError: a model's file or a task is gone or another one, or a living process runs the plan.
        TaskError: a task's file is gone or damaged.
        StoreError: the store cannot be read or written.
    """
    probes = services.store.probes
    stored = await asyncio.to_thread(probes.claim, plan.id)
    if stored is None:
        tasks = await tasks_of(plan)
        return HeldProbe(plan, tasks, await begin(services, probes, plan))
    try:
        kept = stored.record.plan
        held = HeldProbe(kept, await tasks_of(kept), stored.session, list(stored.done), set(stored.settled))
        await go_on(services, probes, stored, held)
        return held
    except BaseException:
        await asyncio.to_thread(probes.release, plan.id)
        raise


async def let_go(services: Services, held: HeldProbe) -> None:
    """Leave the plan to whoever continues it, or note that it is done."""
    await leave(services, services.store.probes, held.plan.id, held.session, finished=not held.todo)


async def extend(
    services: Services,
    plan: ProbePlan,
    models: Sequence[LocalModel] = (),
    specs: Sequence[str] = (),
    changes: ProbeGrid | None = None,
) -> ProbePlan:
    """Let a plan that is in the store ask more; answers that it has stay, and cells that failed are tried again.

    Raises:
        PlanError: something would change what was asked so far, or a living process runs the plan.
        TaskError: there is no such task, or it is wrong.
        StoreError: the store cannot be read or written.
    """
    probes = services.store.probes
    tasks = [task for task, _ in await read_tasks(specs)]
    stored = await asyncio.to_thread(probes.claim, plan.id)
    if stored is None:
        return probe_presets.extended(plan, models, tasks, changes)
    try:
        more = probe_presets.extended(stored.record.plan, models, tasks, changes)
        sha256 = {**await hashes(services, more.models), **stored.record.sha256}
        await asyncio.to_thread(probes.rewrite, msgspec.structs.replace(stored.record, plan=more, sha256=sha256))
    finally:
        await asyncio.to_thread(probes.release, plan.id)
    return more


async def kept(services: Services) -> tuple[KeptProbe, ...]:
    """All probes that are in the store, newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    return await asyncio.to_thread(services.store.probes.kept)


async def forget(services: Services, plan_id: str) -> None:
    """Offer a plan no longer; its answers stay.

    Raises:
        StoreError: the store cannot be written.
    """
    await asyncio.to_thread(services.store.probes.release, plan_id, "dropped")


async def batches(services: Services, plan_id: str) -> tuple[ProbeBatch, ...]:
    """What a plan has asked so far, answers included; none for one that was never begun.

    Raises:
        StoreError: the store cannot be read.
    """
    return await asyncio.to_thread(services.store.probes.done, plan_id)
