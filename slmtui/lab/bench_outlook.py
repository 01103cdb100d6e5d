"""What a plan will take, said before it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.measurement import Measurement
from slmtui.core.pace import Pace, Todo
from slmtui.core.plan import Plan
from slmtui.lab import bench_waves
from slmtui.lab.bench_plans import measured
from slmtui.lab.bench_waves import BenchWorker, Room
from slmtui.lab.services import Services


class NoRoom(msgspec.Struct, frozen=True):
    """A model that does not fit into the free memory in one of the plan's setups."""

    model: LocalModel
    needed_bytes: int
    """The worker itself included."""
    available_bytes: int


class Refused(msgspec.Struct, frozen=True):
    """A model that can't be opened in one of the plan's setups."""

    model: LocalModel
    why: str


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan will take."""

    cells: int
    repetitions: int
    """Of all cells together, without warm-ups."""
    seconds: float | None
    """None when nothing was measured before from which it could be told."""
    basis: str
    """What the time rests on, or why it is not known."""
    will_not_fit: tuple[NoRoom, ...]
    refused: tuple[Refused, ...] = ()
    """Each model and reason once."""
    hopeless: bool = False
    """Whether something is left to measure and nothing of it can be."""


async def outlook(services: Services, plan: Plan) -> Outlook:
    """Say how much is still to be measured, how long it will take, and what does not fit.

    Raises:
        StoreError: the store cannot be read.
    """
    done_so_far = await measured(services, plan.id)
    pace = await pace_for(services, plan, done_so_far)
    done = Counter(one.cell for one in done_so_far)
    todo = [
        Todo(cell, repetitions, warmups=0)
        for cell in plan.cells
        if (repetitions := plan.repetitions - done[cell.key]) > 0
    ]
    seconds = pace.left_s(todo, plan.cool_down_s)
    workers = bench_waves.workers_for(services, [each.cell for each in todo])
    room = await bench_waves.free(services)
    no_room = await _will_not_fit(workers, room)
    return Outlook(
        cells=len(todo),
        repetitions=sum(each.repetitions for each in todo),
        seconds=seconds,
        basis=_basis(todo, pace, continued=bool(done_so_far)),
        will_not_fit=no_room,
        refused=_refused(workers),
        hopeless=bool(workers) and not any([await _works(each, room) for each in workers]),
    )


async def pace_for(services: Services, plan: Plan, repetitions: Iterable[Measurement]) -> Pace:
    """What is known before the next run: earlier speeds on this machine, and the plan's own repetitions.

    Raises:
        StoreError: the store cannot be read.
    """
    pace = Pace(await services.speeds())
    cells = {cell.key: cell for cell in plan.cells}
    for one in repetitions:
        if one.cell in cells and one.wall_s is not None:
            pace.note(cells[one.cell], one.timing, one.wall_s)
    return pace


def _basis(todo: Sequence[Todo], pace: Pace, *, continued: bool) -> str:
    if not todo:
        return "nothing is left to measure"
    unknown = {each.cell.model.id: each.cell.model.name for each in todo if pace.run_s(each.cell) is None}
    if unknown:
        return f"not known yet: nothing was measured here before with {', '.join(unknown.values())}"
    return "from the repetitions so far" if continued else "from earlier measurements on this machine"


async def _will_not_fit(workers: Sequence[BenchWorker], room: Room) -> tuple[NoRoom, ...]:
    """One for each model, the largest need of those that are too large."""
    found: dict[str, NoRoom] = {}
    for worker in workers:
        await bench_waves.size(worker)
        short = worker.need.beyond(room) if worker.need is not None else None
        if short is None:
            continue
        model, (needed, available) = worker.loaded.model, short
        if model.id not in found or found[model.id].needed_bytes < needed:
            found[model.id] = NoRoom(model, needed, available)
    return tuple(found.values())


def _refused(workers: Sequence[BenchWorker]) -> tuple[Refused, ...]:
    found = (Refused(each.loaded.model, each.refusal) for each in workers if each.refusal is not None)
    return tuple({(each.model.id, each.why): each for each in found}.values())


async def _works(worker: BenchWorker, room: Room) -> bool:
    """Whether one of its cells can be measured, those with a smaller context included."""
    if worker.refusal is None and worker.need is not None and not room.holds([worker.need]):
        await bench_waves.shrink(worker, room)
    return worker.need is not None and room.holds([worker.need])
