"""Benchmarks: adaptive warm-up, interleaved and rotated repetitions, one model running at a time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import AnyEvent, Failed, Loaded, Loading, Repeated, Timing
from slmtui.core.measurement import Measurement
from slmtui.core.results import CellResult, cell_results
from slmtui.core.stats import agree
from slmtui.engine.protocol import Measure
from slmtui.lab.loaded import LoadedModel, LoadOptions
from slmtui.lab.services import Services

MAXIMUM_WARMUPS = 8
_Item = TypeVar("_Item")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How much a repetition measures."""

    prompt_tokens: int = 512
    generated_tokens: int = 128
    depth: int = 0
    repetitions: int = 5


PRESETS: dict[str, Shape] = {
    "quick": Shape(prompt_tokens=128, generated_tokens=32, repetitions=3),
    "standard": Shape(),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure."""

    models: tuple[LocalModel, ...]
    shape: Shape = Shape()
    threads: int | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one shape."""

    key: str
    model: LocalModel
    shape: Shape


class CellLoading(msgspec.Struct, frozen=True):
    """The cell's model is being loaded."""

    cell: Cell
    fraction: float


class CellRunning(msgspec.Struct, frozen=True):
    """A run of the cell begins: a warm-up, or repetition number `repetition` of `of` (from 0)."""

    cell: Cell
    warmup: bool
    repetition: int
    of: int


class CellProgress(msgspec.Struct, frozen=True):
    """A live event (`Prefilled`, `Tokens` without text, `Repeated`, `MemorySampled`) of the running cell."""

    cell: Cell
    event: AnyEvent


class CellMeasured(msgspec.Struct, frozen=True):
    """A repetition is in the store."""

    cell: Cell
    measurement: Measurement


class CellFailed(msgspec.Struct, frozen=True):
    """The cell is given up; the others go on."""

    cell: Cell
    failure: Failed


class PlanEnded(msgspec.Struct, frozen=True):
    """Always last: the result of each cell that has at least one repetition."""

    results: tuple[CellResult, ...]
    stopped: bool


BenchEvent = CellLoading | CellRunning | CellProgress | CellMeasured | CellFailed | PlanEnded


async def run(services: Services, plan: Plan, stop: asyncio.Event | None = None) -> AsyncGenerator[BenchEvent]:
    """Measure the plan: load every model, warm each up, then rotate through them, one repetition at a time.

    Each repetition is in the store before it is yielded. A cell that fails is given up and the rest goes on.
    Setting `stop` cancels the running repetition and ends with `PlanEnded`; closing the iterator ends at once.

    Raises:
        StoreError: a repetition cannot be written.
    """
    bench = _Bench(services, plan, stop or asyncio.Event())
    services.benchmarks += 1
    try:
        async with aclosing(bench.events()) as events:
            async for event in events:
                yield event
        yield PlanEnded(cell_results(bench.measured), bench.stopped)
    finally:
        services.benchmarks -= 1
        await bench.close()


class _Bench:
    """The state of one run of a plan."""

    def __init__(self, services: Services, plan: Plan, stop: asyncio.Event) -> None:
        self._services = services
        self._shape = plan.shape
        self._stop = stop
        self._seed = 0
        self._cells = [
            (
                Cell(key=secrets.token_hex(4), model=model, shape=plan.shape),
                LoadedModel(services, model, LoadOptions(context=self._context(), threads=plan.threads)),
            )
            for model in plan.models
        ]
        self._warmups: dict[str, int] = {}
        self._given_up: set[str] = set()
        self.measured: list[Measurement] = []

    @property
    def stopped(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.is_set()

    async def close(self) -> None:
        """End the workers."""
        await asyncio.gather(*(loaded.close() for _, loaded in self._cells))

    async def events(self) -> AsyncGenerator[BenchEvent]:
        """Load all, warm up each, then repeat in a rotated order (each model takes each place equally often)."""
        for step in (self._load, self._warm_up):
            for cell, loaded in self._live():
                async with aclosing(step(cell, loaded)) as events:
                    async for event in events:
                        yield event
        for repetition in range(self._shape.repetitions):
            for cell, loaded in rotated(self._live(), repetition):
                async with aclosing(self._repeat(cell, loaded, repetition)) as events:
                    async for event in events:
                        yield event

    def _live(self) -> list[tuple[Cell, LoadedModel]]:
        """The cells that have not failed; none when somebody asked to stop."""
        return [] if self.stopped else [pair for pair in self._cells if pair[0].key not in self._given_up]

    def _context(self) -> int:
        shape = self._shape
        needed = shape.depth + max(shape.prompt_tokens, shape.generated_tokens)
        return max(256, -(-needed // 256) * 256)

    async def _load(self, cell: Cell, loaded: LoadedModel) -> AsyncGenerator[BenchEvent]:
        if self.stopped:
            return
        yield CellLoading(cell, 0.0)
        async with aclosing(self._stoppable(loaded, loaded.load())) as events:
            async for event in events:
                match event:
                    case Loading(fraction=fraction):
                        yield CellLoading(cell, fraction)
                    case Loaded():
                        yield CellLoading(cell, 1.0)
                    case Failed():
                        yield self._give_up(cell, event)
                    case _:
                        yield CellProgress(cell, event)

    async def _warm_up(self, cell: Cell, loaded: LoadedModel) -> AsyncGenerator[BenchEvent]:
        """Run until two successive runs agree within 5 % in both phases; one run is not enough (llama.cpp #21282)."""
        earlier: Timing | None = None
        for attempt in range(MAXIMUM_WARMUPS):
            if self.stopped or cell.key in self._given_up:
                return
            yield CellRunning(cell, warmup=True, repetition=attempt, of=MAXIMUM_WARMUPS)
            latest: Timing | None = None
            async with aclosing(self._measure(cell, loaded, warmup=True)) as events:
                async for event in events:
                    if isinstance(event, Timing):
                        latest = event
                    else:
                        yield event
            self._warmups[cell.key] = attempt + 1
            if earlier and latest and _settled(earlier, latest):
                return
            earlier = latest

    async def _repeat(self, cell: Cell, loaded: LoadedModel, repetition: int) -> AsyncGenerator[BenchEvent]:
        if self.stopped or cell.key in self._given_up:
            return
        yield CellRunning(cell, warmup=False, repetition=repetition, of=self._shape.repetitions)
        surroundings = await self._services.circumstances()
        timing: Timing | None = None
        async with aclosing(self._measure(cell, loaded, warmup=False)) as events:
            async for event in events:
                if isinstance(event, Timing):
                    timing = event  # the last memory sample of the repetition follows it
                else:
                    yield event
        if timing is None:
            return
        measurement = msgspec.structs.replace(
            await self._services.measurement(loaded, "bench", timing, surroundings),
            cell=cell.key,
            repetition=repetition,
            warmup_runs=self._warmups.get(cell.key),
        )
        await self._services.keep(measurement)
        self.measured.append(measurement)
        yield CellMeasured(cell, measurement)

    async def _measure(
        self, cell: Cell, loaded: LoadedModel, *, warmup: bool
    ) -> AsyncGenerator[CellProgress | CellFailed | Timing]:
        self._seed += 1
        shape = self._shape
        request = Measure(
            prompt_tokens=shape.prompt_tokens,
            generated_tokens=shape.generated_tokens,
            depth=shape.depth,
            warmup=warmup,
            seed=self._seed,
        )
        async with aclosing(self._stoppable(loaded, loaded.request(request))) as events:
            async for event in events:
                match event:
                    case Repeated(timing=timing):
                        yield CellProgress(cell, event)
                        yield timing
                    case Failed():
                        yield self._give_up(cell, event)
                    case _:
                        yield CellProgress(cell, event)

    def _give_up(self, cell: Cell, failure: Failed) -> CellFailed:
        self._given_up.add(cell.key)
        return CellFailed(cell, failure)

    async def _stoppable(self, loaded: LoadedModel, stream: AsyncGenerator[AnyEvent]) -> AsyncGenerator[AnyEvent]:
        """Pass the stream on, and cancel its request when somebody asks to stop."""

        async def cancel_on_stop() -> None:
            await self._stop.wait()
            await loaded.cancel()

        watcher = asyncio.create_task(cancel_on_stop())
        late = False
        try:
            async with aclosing(stream):
                async for event in stream:
                    if self.stopped and not late:  # the wish may have come before the worker was busy
                        await loaded.cancel()
                        late = True
                    yield event
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)


def rotated(items: Sequence[_Item], by: int) -> list[_Item]:
    """The items in an order that begins `by` places later: the rows of a cyclic Latin square."""
    turn = by % len(items) if items else 0
    return [*items[turn:], *items[:turn]]


def _settled(earlier: Timing, latest: Timing) -> bool:
    return agree(earlier.prefill_tps, latest.prefill_tps) and agree(earlier.decode_tps, latest.decode_tps)
