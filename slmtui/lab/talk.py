"""Conversations with one to four loaded models: one prompt goes to all, in turn or together."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Literal

import msgspec

from slmtui.core.chat import Message
from slmtui.core.events import AnyEvent, Done, MemorySampled, Prompted, StopReason, Tokens
from slmtui.core.measurement import Measurement, MemorySample, Settings
from slmtui.core.sampling import Sampling
from slmtui.engine.protocol import Generate
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.services import Circumstances, prompt_sha256

Order = Literal["in turn", "together"]


EVENT_EVERY_S = 0.05
"""Seconds between two events, whichever model they are from: each wakes the program, which takes the models' cores."""


class _Asked(msgspec.Struct, kw_only=True):
    """A question under way: what its measurement says besides the worker's figures."""

    request: Generate
    turn: list[Message]
    """The conversation with the question."""
    together: bool
    raw: bool
    surroundings: Circumstances
    began_s: float
    pieces: list[str] = []
    """The answer's text as far as it came."""
    memory_samples: list[MemorySample] = []


class Seat:
    """One column of a chat: a model with its side of the conversation."""

    def __init__(self, loaded: LoadedModel, system: str | None = None) -> None:
        self.loaded = loaded
        self.messages: list[Message] = [Message("system", system)] if system else []
        self.prompted: Prompted | None = None
        """The exact prompt of the last request."""
        self.measurements: list[Measurement] = []

    @property
    def converses(self) -> bool:
        """Whether the model has a chat template; without one it can only continue a text."""
        return self.loaded.facts.template_source is not None

    async def ask(
        self, text: str, sampling: Sampling, *, others: int = 0, raw: bool = False
    ) -> AsyncGenerator[AnyEvent]:
        """Send one prompt and yield the worker's events; the measurement is on disk before `Done` is yielded.

        With `others` that answer at the same time, all share the threads that one would have alone. A cancelled answer
        stays in the conversation as far as it came; a failed one leaves no trace. A model without a chat template
        continues the text instead of answering it, as every model does with `raw`.

        Raises:
            StoreError: the measurement cannot be written.
        """
        raw = raw or not self.converses
        if sampling.seed is None:
            sampling = msgspec.structs.replace(sampling, seed=random.getrandbits(32))
        turn = [*self.messages, Message("user", text)]
        threads = self.loaded.settings.threads
        request = Generate(
            messages=() if raw else tuple(turn),
            prompt=text if raw else None,
            sampling=sampling,
            emit_every_s=EVENT_EVERY_S * (1 + others),
            threads=max(1, threads // (1 + others)) if others and threads else None,
        )
        asked = _Asked(
            request=request,
            turn=turn,
            together=others > 0,
            raw=raw,
            surroundings=await self.loaded.services.circumstances(),
            began_s=time.perf_counter(),
        )
        async with aclosing(self.loaded.request(request)) as stream:
            async for event in stream:
                await self._note(event, asked)
                yield event

    async def _note(self, event: AnyEvent, asked: _Asked) -> None:
        """Take from an event what the conversation and the measurement keep of it."""
        match event:
            case Prompted():
                self.prompted = event
            case Tokens():
                asked.pieces.append(event.text)
            case MemorySampled():
                asked.memory_samples.append(MemorySample(at_s=event.at_s, memory=event.memory))
            case Done():
                if not asked.raw and (asked.pieces or event.reason is not StopReason.CANCELLED):
                    self.messages = [*asked.turn, Message("assistant", "".join(asked.pieces))]
                await self._keep(event, asked)
            case _:
                pass

    async def _keep(self, done: Done, asked: _Asked) -> None:
        if done.timing is None or not done.timing.generated_tokens:
            return
        wall_s = time.perf_counter() - asked.began_s
        services = self.loaded.services
        after = await services.circumstances()
        measurement = msgspec.structs.replace(
            await services.measurement(self.loaded, "chat", done.timing, asked.surroundings),
            reason=done.reason,
            settings=_used(self.loaded.settings, asked.request),
            sampling=asked.request.sampling,
            prompt_sha256=prompt_sha256(self.prompted.text) if self.prompted else None,
            template_sha256=None if asked.raw else self.loaded.facts.template_sha256,
            together=asked.together,
            wall_s=wall_s,
            memory_samples=tuple(asked.memory_samples),
            load_average_after=after.load_average,
            temperature_after_c=after.temperature_c,
        )
        await services.keep(measurement)
        self.measurements.append(measurement)


async def ask_all(
    seats: Sequence[Seat], text: str, sampling: Sampling, order: Order = "in turn", *, raw: bool = False
) -> AsyncGenerator[tuple[Seat, AnyEvent]]:
    """Send one prompt to all seats and yield each event with its seat.

    "in turn" runs one model after another, so that each has the machine to itself; "together" runs all at once
    and marks the measurements as contended. Closing the iterator cancels whatever runs.
    """
    if sampling.seed is None:
        sampling = msgspec.structs.replace(sampling, seed=random.getrandbits(32))
    if order == "in turn" or len(seats) < 2:
        for seat in seats:
            async with aclosing(seat.ask(text, sampling, raw=raw)) as stream:
                async for event in stream:
                    yield seat, event
        return
    streams = [(seat, seat.ask(text, sampling, others=len(seats) - 1, raw=raw)) for seat in seats]
    async with aclosing(_merged(streams)) as merged:
        async for item in merged:
            yield item


async def _merged(
    streams: Sequence[tuple[Seat, AsyncGenerator[AnyEvent]]],
) -> AsyncGenerator[tuple[Seat, AnyEvent]]:
    """Yield the events of several streams as they come; closing this closes all of them."""
    queue: asyncio.Queue[tuple[Seat, AnyEvent] | None] = asyncio.Queue()

    async def pump(seat: Seat, stream: AsyncGenerator[AnyEvent]) -> None:
        try:
            async with aclosing(stream):
                async for event in stream:
                    queue.put_nowait((seat, event))
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.create_task(pump(seat, stream)) for seat, stream in streams]
    running = len(tasks)
    try:
        while running:
            item = await queue.get()
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _used(settings: Settings, request: Generate) -> Settings:
    """The engine's settings while it answered."""
    if request.threads is None:
        return settings
    return msgspec.structs.replace(settings, threads=request.threads, threads_batch=request.threads)
