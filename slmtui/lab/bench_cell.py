"""One run of one cell: the request to its worker, what it reports, how it is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from slmtui.core.events import AnyEvent, Failed, MemorySampled, Repeated, Timing
from slmtui.core.measurement import MemorySample
from slmtui.core.plan import Cell
from slmtui.engine.protocol import Measure
from slmtui.lab.loaded import LoadedModel


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How a run has ended; neither timing nor failure when it was cancelled."""

    timing: Timing | None
    failure: Failed | None
    memory_samples: tuple[MemorySample, ...]
    wall_s: float
    """From the request to its last event."""


def request_for(cell: Cell, *, seed: int, warmup: bool) -> Measure:
    """The cell's shape as a request for one repetition."""
    shape = cell.shape
    return Measure(
        prompt_tokens=shape.prompt_tokens,
        generated_tokens=shape.generated_tokens,
        depth=shape.depth,
        after_prompt=shape.after_prompt,
        warmup=warmup,
        seed=seed,
    )


async def run_once(loaded: LoadedModel, request: Measure, end: asyncio.Event, tell: Callable[[AnyEvent], None]) -> Ran:
    """Let the worker run the request and tell of all but a failure; setting `end` cancels it."""
    timing: Timing | None = None
    failure: Failed | None = None
    samples: list[MemorySample] = []
    started = time.perf_counter()
    async with aclosing(stoppable(loaded, loaded.request(request), end)) as events:
        async for event in events:
            match event:
                case Failed():
                    failure = event
                    continue
                case Repeated():
                    timing = event.timing
                case MemorySampled():
                    samples.append(MemorySample(at_s=event.at_s, memory=event.memory))
                case _:
                    pass
            tell(event)
    wall_s = time.perf_counter() - started
    return Ran(timing=timing, failure=failure, memory_samples=tuple(samples), wall_s=wall_s)


async def stoppable(
    loaded: LoadedModel, stream: AsyncGenerator[AnyEvent], end: asyncio.Event
) -> AsyncGenerator[AnyEvent]:
    """Pass the stream on, and cancel its request when `end` is set."""

    async def cancel_on_end() -> None:
        await end.wait()
        await loaded.cancel()

    watcher = asyncio.create_task(cancel_on_end())
    late = False
    try:
        async with aclosing(stream):
            async for event in stream:
                if end.is_set() and not late:  # the wish may have come before the worker was busy
                    await loaded.cancel()
                    late = True
                yield event
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
