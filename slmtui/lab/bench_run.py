"""One run of a plan: waves of workers, warm-up, rotated repetitions, skipped and failed cells, memory given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from typing import Any, TypeVar

import msgspec

from slmtui.core.ceiling import Ceiling
from slmtui.core.events import AnyEvent, Failed, FailureKind, Loaded, Loading, Timing
from slmtui.core.measurement import Measurement
from slmtui.core.pace import Pace, Todo
from slmtui.core.plan import Cell
from slmtui.core.stats import agree
from slmtui.lab import bench_waves, ceiling
from slmtui.lab.bench_cell import Ran, request_for, run_once, stoppable
from slmtui.lab.bench_events import (
    BenchEvent,
    CeilingWanted,
    CellFailed,
    CellLoading,
    CellMeasured,
    CellProgress,
    CellRunning,
    CellSkipped,
    Cooling,
    Released,
    TimeLeft,
)
from slmtui.lab.bench_plans import HeldPlan
from slmtui.lab.bench_waves import BenchWorker, groups_of, together_in, workers_for
from slmtui.lab.control import Control
from slmtui.lab.services import Services
from slmtui.lab.surroundings import Circumstances

MAXIMUM_WARMUPS = 8
_COOLING_STEP_S = 1.0
_WARMUP_SEEDS = 1000
"""Seeds of warm-ups begin here, those of repetitions at 1: a repetition has the same tokens whenever it runs."""
_Item = TypeVar("_Item")
_Group = Sequence[tuple[BenchWorker, Cell]]


class BenchRun:
    """Runs what is missing of a plan and tells of it."""

    def __init__(
        self, services: Services, held: HeldPlan, control: Control, pace: Pace, emit: Callable[[BenchEvent], None]
    ) -> None:
        self._services = services
        self._held = held
        self._plan = held.plan
        self._control = control
        self._pace = pace
        self._emit = emit
        self._ceiling: Ceiling | None = None
        self._warmups: dict[str, int] = {}
        """How many warm-ups each cell has had."""
        self._warm: set[str] = set()
        self._broken: set[str] = set()
        """Cells that cannot go on now but may when the plan is continued."""
        self._open: list[BenchWorker] = []
        """Workers of the running wave that have not been ended."""

    async def run(self) -> None:
        """Wave after wave, until nothing is missing or somebody stops it.

        Raises:
            StoreError: a repetition cannot be written.
        """
        waiting = workers_for(self._services, self._held.todo)
        if waiting and not self._control.stopped:
            self._ceiling = await self._measured_ceiling()
            self._tell_left()
        while waiting and not self._control.stopped:
            self._open = await self._next_wave(waiting)
            waiting = [worker for worker in waiting if worker not in self._open and self._works(worker)]
            await self._load_all()
            await self._warm_up_all()
            await self._repeat_all()
            for worker in list(self._open):
                await self._release(worker)
        await self._note_skips()

    async def close(self) -> None:
        """End all workers."""
        await asyncio.gather(*(worker.loaded.close() for worker in self._open))

    # -- waves

    async def _next_wave(self, waiting: list[BenchWorker]) -> list[BenchWorker]:
        """The workers that are loaded together; one that is alone needs no dry run but the load's own."""
        room = await bench_waves.free(self._services)
        await self._note_skips()
        left = [worker for worker in waiting if self._works(worker)]
        for worker in left:
            worker.leave_out([cell for cell in worker.cells if not self._goes_on(cell)])
            if self._control.stopped or (len(left) == 1 and len(worker.cells) == 1):
                break
            await bench_waves.size(worker)
            for cell, failure in await bench_waves.shrink(worker, room):
                await self._give_up(cell, failure)
        return together_in(left, room)

    async def _load_all(self) -> None:
        for worker in list(self._open):
            await self._load(worker)
            await self._settle()

    async def _warm_up_all(self) -> None:
        for ((worker, cell),) in groups_of(self._open, together=False):
            await self._warm_up(worker, cell)
            await self._settle()

    async def _repeat_all(self) -> None:
        """Each group takes each place equally often."""
        groups = groups_of(self._open, together=self._plan.together)
        for repetition in range(self._plan.repetitions):
            for group in rotated([group for group in groups if self._wants(group)], repetition):
                await self._repeat(group, repetition)
                await self._settle()

    def _goes_on(self, cell: Cell) -> bool:
        ended = self._control.ends(cell) or cell.key in self._broken
        return not ended and bool(self._held.missing(cell))

    def _works(self, worker: BenchWorker) -> bool:
        return any(self._goes_on(cell) for cell in worker.cells)

    def _wants(self, group: _Group) -> bool:
        return any(self._goes_on(cell) for _, cell in group)

    async def _settle(self) -> None:
        """Note which cells were skipped, and end the workers that have nothing left to do."""
        await self._note_skips()
        for worker in list(self._open):
            if not self._works(worker):
                await self._release(worker)

    async def _release(self, worker: BenchWorker) -> None:
        """End a worker and tell what memory came back."""
        loaded = worker.loaded
        ready, memory = loaded.ready, loaded.process_memory
        before = (await self._services.memory_now()).available_bytes
        await loaded.close()
        self._open.remove(worker)
        if ready:
            after = (await self._services.memory_now()).available_bytes
            self._emit(Released(loaded.model, memory.charged_bytes if memory else None, before, after))

    # -- cells

    async def _load(self, worker: BenchWorker) -> None:
        """Load the worker's model; skipping the cell for which it is loaded goes on with the next."""
        loaded = worker.loaded
        while not loaded.ready and (cell := next(filter(self._goes_on, worker.cells), None)) is not None:
            self._emit(CellLoading(cell, 0.0))
            failure: Failed | None = None
            with self._control.running(cell) as end:
                async with aclosing(stoppable(loaded, loaded.load(), end)) as events:
                    async for event in events:
                        match event:
                            case Loading(fraction=fraction):
                                self._emit(CellLoading(cell, fraction))
                            case Loaded():
                                self._emit(CellLoading(cell, 1.0))
                            case Failed():
                                failure = event
                            case _:
                                self._emit(CellProgress(cell, event))
            if failure is not None:
                for each in filter(self._goes_on, worker.cells):
                    await self._give_up(each, failure)

    async def _warm_up(self, worker: BenchWorker, cell: Cell) -> None:
        """Run until two successive runs agree within 5 % in both phases; one run is not enough (llama.cpp #21282)."""
        earlier: Timing | None = None
        for attempt in range(MAXIMUM_WARMUPS):
            if not self._goes_on(cell):
                return
            self._emit(CellRunning(cell, warmup=True, repetition=attempt, of=MAXIMUM_WARMUPS))
            ran = await self._run(worker, cell, seed=_WARMUP_SEEDS + attempt, warmup=True)
            if ran.timing is None:
                return
            self._warmups[cell.key] = attempt + 1
            self._pace.note(cell, ran.timing, ran.wall_s)
            if earlier is not None and settled(earlier, ran.timing):
                break
            earlier = ran.timing
            self._tell_left()
        self._warm.add(cell.key)
        self._pace.note_warmups(self._warmups[cell.key])
        self._tell_left()

    async def _repeat(self, group: _Group, repetition: int) -> None:
        """One repetition of each cell of the group, at the same time where it has several."""
        live = self._live(group, repetition)
        if not live:
            return
        cooled_s = await self._cool(live)
        live = self._live(live, repetition)
        prepared = partial(self._repeat_cell, repetition=repetition, cooled_s=cooled_s, beside=len(live))
        await _all([prepared(worker, cell) for worker, cell in live])

    def _live(self, group: _Group, repetition: int) -> _Group:
        return [pair for pair in group if self._goes_on(pair[1]) and repetition in self._held.missing(pair[1])]

    async def _cool(self, group: _Group) -> float | None:
        """Let the machine rest, and return for how many seconds; None when the plan has no pause."""
        if not self._plan.cool_down_s:
            return None
        started = time.perf_counter()
        with ExitStack() as stack:
            ends = [stack.enter_context(self._control.running(cell)) for _, cell in group]
            while (left_s := self._plan.cool_down_s - (time.perf_counter() - started)) > 0:
                self._emit(Cooling(group[0][1], left_s))
                waits = [asyncio.ensure_future(end.wait()) for end in ends]
                done, _ = await asyncio.wait(waits, timeout=min(_COOLING_STEP_S, left_s), return_when="FIRST_COMPLETED")
                for wait in waits:
                    wait.cancel()
                if done:
                    break
        return time.perf_counter() - started

    async def _repeat_cell(
        self, worker: BenchWorker, cell: Cell, *, repetition: int, cooled_s: float | None, beside: int
    ) -> None:
        """Measure and store one repetition; `beside` is how many cells run at the same time, itself included."""
        self._emit(CellRunning(cell, warmup=False, repetition=repetition, of=self._plan.repetitions))
        before = await self._services.circumstances()
        ran = await self._run(worker, cell, seed=repetition + 1, warmup=False)
        if ran.timing is None:
            return
        after = await self._services.circumstances()
        plain = await self._services.measurement(worker.loaded, "bench", ran.timing, before, self._held.session)
        measurement = msgspec.structs.replace(
            _with_run(plain, ran, after),
            plan=self._plan.id,
            preset=self._plan.preset,
            cell=cell.key,
            repetition=repetition,
            warmup_runs=self._warmups.get(cell.key),
            together=beside > 1,
            after_prompt=cell.shape.after_prompt,
            cool_down_s=cooled_s,
            ceiling=self._ceiling,
        )
        await self._services.keep(measurement)
        self._held.note(measurement)
        self._pace.note(cell, ran.timing, ran.wall_s / beside)
        self._emit(CellMeasured(cell, measurement))
        self._tell_left()

    async def _run(self, worker: BenchWorker, cell: Cell, *, seed: int, warmup: bool) -> Ran:
        def tell(event: AnyEvent) -> None:
            self._emit(CellProgress(cell, event))

        with self._control.running(cell) as end:
            ran = await run_once(worker.loaded, request_for(cell, seed=seed, warmup=warmup), end, tell)
        if ran.failure is not None:
            await self._give_up(cell, ran.failure)
        return ran

    async def _give_up(self, cell: Cell, failure: Failed) -> None:
        """Leave the cell; what the end of the program brought about does not count against it later."""
        if failure.kind is FailureKind.CANCELLED or self._services.closing:
            self._broken.add(cell.key)
        else:
            self._held.given_up.add(cell.key)
            await asyncio.to_thread(
                self._services.store.plans.settle, self._plan.id, cell.key, "failed", failure.message
            )
        self._emit(CellFailed(cell, failure))

    async def _note_skips(self) -> None:
        for cell in self._held.todo:
            if self._control.skips(cell):
                self._held.given_up.add(cell.key)
                await asyncio.to_thread(self._services.store.plans.settle, self._plan.id, cell.key, "skipped")
                self._emit(CellSkipped(cell))

    async def _measured_ceiling(self) -> Ceiling | None:
        """The machine's ceiling; None where it cannot be measured, which does not hinder the plan."""
        try:
            await self._services.machine()
            if ceiling.due(self._services):
                self._emit(CeilingWanted())
            return await ceiling.measured(self._services)
        except OSError:
            return None

    def _tell_left(self) -> None:
        todo = [
            Todo(
                cell,
                repetitions=len(self._held.missing(cell)),
                warmups=None if cell.key in self._warm else self._warmups.get(cell.key, 0),
            )
            for cell in self._held.todo
            if self._goes_on(cell)
        ]
        self._emit(TimeLeft(self._pace.left_s(todo, self._plan.cool_down_s)))


def rotated(items: Sequence[_Item], by: int) -> list[_Item]:
    """The items in an order that begins `by` places later: the rows of a cyclic Latin square."""
    turn = by % len(items) if items else 0
    return [*items[turn:], *items[:turn]]


def settled(earlier: Timing, latest: Timing) -> bool:
    """Whether two runs agree in both phases."""
    return agree(earlier.prefill_tps, latest.prefill_tps) and agree(earlier.decode_tps, latest.decode_tps)


def _with_run(measurement: Measurement, ran: Ran, after: Circumstances) -> Measurement:
    return msgspec.structs.replace(
        measurement,
        wall_s=ran.wall_s,
        memory_samples=ran.memory_samples,
        load_average_after=after.load_average,
        temperature_after_c=after.temperature_c,
    )


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all at the same time; when one fails the others are given up.

    Raises:
        Exception: what one of them raised.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
