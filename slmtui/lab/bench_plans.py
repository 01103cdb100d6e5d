"""Plans from one run of the program to the next: taken in hand, checked, let go, found again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from slmtui.core.measurement import Measurement
from slmtui.core.plan import Cell, Plan, Unfinished
from slmtui.lab.plan_files import begin, go_on, leave
from slmtui.lab.services import Services


@dataclass(eq=False)
class HeldPlan:
    """A plan in this process's hands."""

    plan: Plan
    session: str
    """Id of the session that its repetitions go to."""
    measured: list[Measurement] = field(default_factory=list)
    """Its repetitions that are in the store, in the order in which they were measured."""
    given_up: set[str] = field(default_factory=set)
    """Keys of the cells that go no further."""
    notices: tuple[str, ...] = ()
    """Sentences about what is not as it was when the plan began."""

    def __post_init__(self) -> None:
        self._done = {(one.cell, one.repetition) for one in self.measured}

    def note(self, measurement: Measurement) -> None:
        """One more repetition is in the store."""
        self.measured.append(measurement)
        self._done.add((measurement.cell, measurement.repetition))

    def missing(self, cell: Cell) -> tuple[int, ...]:
        """Numbers of the repetitions that the cell still needs."""
        if cell.key in self.given_up:
            return ()
        return tuple(number for number in range(self.plan.repetitions) if (cell.key, number) not in self._done)

    @property
    def todo(self) -> list[Cell]:
        """Cells of which repetitions are missing."""
        return [cell for cell in self.plan.cells if self.missing(cell)]


async def hold(services: Services, plan: Plan) -> HeldPlan:
    """Write a new plan into the store, or take one that is there and see whether it can go on.

    Raises:
        PlanError: a model's file is gone or another one, or a living process runs the plan.
        StoreError: the store cannot be read or written.
    """
    plans = services.store.plans
    stored = await asyncio.to_thread(plans.claim, plan.id)
    if stored is None:
        return HeldPlan(plan, await begin(services, plans, plan))
    try:
        held = HeldPlan(stored.record.plan, stored.session, list(stored.done), set(stored.settled))
        await go_on(services, plans, stored, held)
        return held
    except BaseException:
        await asyncio.to_thread(plans.release, plan.id)
        raise


async def let_go(services: Services, held: HeldPlan) -> None:
    """Leave the plan to whoever continues it, or note that it is done."""
    await leave(services, services.store.plans, held.plan.id, held.session, finished=not held.todo)


async def unfinished(services: Services) -> tuple[Unfinished, ...]:
    """Plans of which repetitions are missing and that nobody runs, newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    return await asyncio.to_thread(services.store.plans.unfinished)


async def forget(services: Services, plan_id: str) -> None:
    """Offer a plan no longer; what it measured stays.

    Raises:
        StoreError: the store cannot be written.
    """
    await asyncio.to_thread(services.store.plans.release, plan_id, "dropped")


async def measured(services: Services, plan_id: str) -> tuple[Measurement, ...]:
    """The plan's repetitions in the order in which they were measured; none for one that was never begun.

    Raises:
        StoreError: the store cannot be read.
    """
    return await asyncio.to_thread(services.store.plans.done, plan_id)
