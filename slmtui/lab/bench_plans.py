"""Plans from one run of the program to the next: taken in hand, checked, let go, found again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from slmtui import __version__
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Cell, Plan, PlanRecord, Unfinished
from slmtui.lab.plan_files import check_files, differences, engine_version, hashes, leave
from slmtui.lab.services import Services
from slmtui.sources.store_plans import StoredPlan


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
    stored = await asyncio.to_thread(services.store.plans.claim, plan.id)
    if stored is None:
        session = await services.running_session()
        record = PlanRecord(
            plan=plan,
            sha256=await hashes(services, plan.models),
            slmtui=__version__,
            engine=await engine_version(services),
        )
        await asyncio.to_thread(services.store.plans.begin, record, session.id)
        return HeldPlan(plan, session.id)
    try:
        return await _continued(services, stored)
    except BaseException:
        await asyncio.to_thread(services.store.plans.release, plan.id)
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
    return await asyncio.to_thread(services.store.plans.measurements, plan_id)


async def _continued(services: Services, stored: StoredPlan) -> HeldPlan:
    plan, store = stored.record.plan, services.store
    held = HeldPlan(plan, stored.session, list(stored.measurements), set(stored.settled))
    await check_files(services, {cell.model.id: cell.model for cell in held.todo}.values(), stored.record.sha256)
    session = await asyncio.to_thread(store.reopen_session, stored.session)
    if session is None:  # it ended before its first repetition
        held.session = (await services.running_session()).id
        await asyncio.to_thread(store.plans.move, plan.id, held.session)
    elif held.todo:
        held.notices = tuple(differences(stored.record.slmtui, stored.record.engine, await engine_version(services)))
    return held
