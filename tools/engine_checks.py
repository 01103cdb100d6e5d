"""Checks that an engine does on a device what the worker's protocol promises, for `engines_table.py`.

Each runs a real worker, and says in a word what it found or raises AssertionError.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from slmtui.core.chat import Message
from slmtui.core.events import (
    AnyEvent,
    Done,
    Failed,
    FailureKind,
    Inspected,
    Loaded,
    MemorySampled,
    Prefilled,
    Prompted,
    Repeated,
    Scored,
    StopReason,
    Tokens,
)
from slmtui.core.sampling import Sampling
from slmtui.engine.client import WorkerClient, cancelled
from slmtui.engine.protocol import Generate, Load, Measure, Question, Request, Score

ASKED = "What is prefill?"
LONG = "Once upon a time there was a dog and a cat. " * 30


class Place(msgspec.Struct, frozen=True):
    """One engine on one device, with the models to try it on and what they become when they are damaged."""

    engine: str
    device: str
    files: tuple[Path, ...]
    """The first one is used for everything."""
    broken: dict[str, Path]

    def load(self, **changes: object) -> Load:
        """The request that loads the first model, or with a `path` another one."""
        layers = 0 if self.device == "cpu" else -1
        request = Load(path=str(self.files[0]), engine=self.engine, device=self.device, gpu_layers=layers, sequences=8)
        return msgspec.structs.replace(request, **changes)


async def run(client: WorkerClient, request: Request) -> list[AnyEvent]:
    """All events of a request."""
    async with aclosing(client.request(request)) as stream:
        return [event async for event in stream]


@asynccontextmanager
async def loaded(place: Place, folder: Path, **changes: object) -> AsyncIterator[WorkerClient]:
    """A worker with the first model."""
    client = await WorkerClient.start(folder / "log")
    try:
        ending = (await run(client, place.load(**changes)))[-1]
        assert isinstance(ending, Loaded), ending
        yield client
    finally:
        client.kill()
        await client.close()


def ask(*contents: str, tokens: int = 32, **drawn: object) -> Generate:
    """A conversation, greedily unless `drawn` (fields of `Sampling`) says how."""
    messages = tuple(Message("assistant" if turn % 2 else "user", text) for turn, text in enumerate(contents))
    sampling = msgspec.structs.replace(Sampling(temperature=0, max_tokens=tokens), **drawn)
    return Generate(messages=messages, sampling=sampling)


def text_of(events: Sequence[AnyEvent]) -> str:
    """The whole answer."""
    return "".join(event.text for event in events if isinstance(event, Tokens))


def of(events: Sequence[AnyEvent], kind: type) -> list[Any]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def reason(events: Sequence[AnyEvent]) -> StopReason | FailureKind:
    """How a request ended."""
    ending = events[-1]
    assert isinstance(ending, Done | Failed), ending
    return ending.reason if isinstance(ending, Done) else ending.kind


# -- the checks; each says in a word what it found, or fails


async def load(place: Place, folder: Path) -> str:
    """Every form of the model loads and says a token."""
    client = await WorkerClient.start(folder / "log")
    forms = []
    try:
        for file in place.files:
            ending = (await run(client, place.load(path=str(file))))[-1]
            assert isinstance(ending, Loaded), ending
            assert text_of(await run(client, ask(ASKED, tokens=2)))
            forms.append(str(ending.facts.quantization))
    finally:
        client.kill()
        await client.close()
    return " ".join(forms)


async def inspect(place: Place, folder: Path) -> str:
    """A dry run tells what a load then takes."""
    client = await WorkerClient.start(folder / "log")
    try:
        told = (await run(client, place.load(inspect_only=True, texts=(ASKED,))))[-1]
        assert isinstance(told, Inspected), told
        assert told.tokens[0] > 2
        assert reason(await run(client, ask(ASKED))) is FailureKind.BAD_REQUEST, "nothing is loaded"
        ending = (await run(client, place.load()))[-1]
        assert isinstance(ending, Loaded)
        assert {part.kind for part in told.planned} >= {"weights", "KV cache"}
        assert ending.facts.weights_bytes == told.facts.weights_bytes
    finally:
        client.kill()
        await client.close()
    return "✓"


async def generate(place: Place, folder: Path) -> str:
    """Text, each way in which an answer ends, seeds, and the clocks of n tokens and n - 1 steps."""
    async with loaded(place, folder) as client:
        whole = await run(client, ask(ASKED, tokens=100))
        assert reason(whole) is StopReason.END
        stop = text_of(whole)[10:16]
        cut = await run(client, msgspec.structs.replace(ask(ASKED, tokens=100), stop=(stop,)))
        assert (reason(cut), text_of(cut)) == (StopReason.STOP_STRING, text_of(whole).partition(stop)[0])
        limited = await run(client, ask(ASKED, tokens=5))
        assert reason(limited) is StopReason.LIMIT
        (timing,) = [event.timing for event in of(limited, Done)]
        assert (timing.generated_tokens, timing.decode_steps) == (5, 4)
        drawn = [text_of(await run(client, ask("Tell me a story.", temperature=1.5, seed=seed))) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
    async with loaded(place, folder, context=256) as client:
        full = msgspec.structs.replace(ask("Hi", tokens=400), ignore_end=True)
        assert reason(await run(client, full)) is StopReason.CONTEXT_FULL
        assert reason(await run(client, ask(LONG))) is FailureKind.CONTEXT_FULL
    return "✓"


async def reuse(place: Place, folder: Path) -> str:
    """A second turn reads only what is new, and says what a fresh model says."""
    async with loaded(place, folder) as client:
        answer = text_of(await run(client, ask("Hello", tokens=60)))
        second = await run(client, ask("Hello", answer, ASKED))
        (prompted,) = of(second, Prompted)
        assert prompted.cached_tokens > prompted.tokens // 2
    async with loaded(place, folder) as client:
        assert text_of(await run(client, ask("Hello", answer, ASKED))) == text_of(second)
    return "✓"


PHASES: dict[str, tuple[Request, type[AnyEvent]]] = {
    "prefill": (ask(LONG), Prefilled),
    "decode": (msgspec.structs.replace(ask(ASKED, tokens=400), ignore_end=True), Tokens),
    "measure": (Measure(prompt_tokens=16, generated_tokens=64, repetitions=500), Repeated),
    "score": (Score(questions=(Question(prompt=ASKED, options=(" a", " b")),) * 500), Scored),
}
"""A request to be ended in each phase, and the event that says that it is in it."""


async def ended(client: WorkerClient, phase: str, *, killed: bool) -> AnyEvent:
    """The last event of a request that is cancelled, or its worker killed, in a phase."""
    request, reached = PHASES[phase]
    begun = False
    async with aclosing(client.request(request)) as stream:
        async for event in stream:
            if begun or not isinstance(event, reached):
                continue
            begun = True
            if killed:
                client.kill()
            else:
                await client.cancel()
    return event


async def cancel(place: Place, folder: Path) -> str:
    """Each phase can be stopped, and the worker is as good as new."""
    async with loaded(place, folder, micro_batch=16, batch=64) as client:
        expected = text_of(await run(client, ask(ASKED)))
        for phase in PHASES:
            ending = await ended(client, phase, killed=False)
            assert cancelled(ending), f"{phase}: {ending}"
            assert text_of(await run(client, ask(ASKED))) == expected, phase
    return "✓"


async def score(place: Place, folder: Path) -> str:
    """Options score together what each scores alone."""
    options = (" the model", " a", " Prefill is the phase")
    questions = tuple(Question(prompt=f"{text} Prefill is", options=options) for text in ("Q.", "A token."))
    async with loaded(place, folder) as client:
        events = await run(client, Score(questions=questions))
        found = sorted(of(events, Scored), key=lambda event: event.index)
        assert reason(events) is StopReason.COMPLETED
        for event, question in zip(found, questions, strict=True):
            for option, text in zip(event.options, options, strict=True):
                alone = of(
                    await run(client, Score(questions=(msgspec.structs.replace(question, options=(text,)),))), Scored
                )
                assert math.isclose(alone[0].options[0].logprob, option.logprob, abs_tol=0.1 * option.tokens)
    return "✓"


async def measure(place: Place, folder: Path) -> str:
    """Repetitions of prefill and decode at a depth, one clock reading a token."""
    async with loaded(place, folder) as client:
        events = await run(client, Measure(prompt_tokens=64, generated_tokens=8, depth=32, repetitions=2))
        timings = [event.timing for event in of(events, Repeated)]
        assert len(timings) == 2
        for timing in timings:
            assert (timing.prompt_tokens, timing.decode_steps, timing.depth) == (64, 8, 32)
            assert len(timing.token_at_s) == 8
            assert timing.prefill_s > 0
            assert timing.decode_s > 0
    return "✓"


async def memory(place: Place, folder: Path) -> str:
    """Samples while a request runs, the engine's own account, and a budget that is kept."""
    async with loaded(place, folder) as client:
        sampled = of(await run(client, ask(ASKED)), MemorySampled)[-1]
        assert sampled.memory.rss_bytes > 1_000_000
        assert (sampled.engine is not None) == (place.engine == "MLX")
        refused = await run(client, place.load(memory_budget_bytes=1_000_000))
        assert reason(refused) is FailureKind.OUT_OF_MEMORY
    return "✓"


async def refusals(place: Place, folder: Path) -> str:
    """What cannot be opened is refused with a sentence, and the worker goes on."""
    client = await WorkerClient.start(folder / "log")
    try:
        for fault, path in place.broken.items():
            ending = (await run(client, place.load(path=str(path))))[-1]
            assert isinstance(ending, Failed), f"{fault}: {ending}"
            wanted = FailureKind.UNSUPPORTED_ARCHITECTURE if fault == "unknown" else FailureKind.BAD_FILE
            assert ending.kind is wanted, f"{fault}: {ending}"
        assert isinstance((await run(client, place.load()))[-1], Loaded)
    finally:
        client.kill()
        await client.close()
    return "✓"


async def killed(place: Place, folder: Path) -> str:
    """A worker that is killed in any phase is reported with its signal."""
    for phase in PHASES:
        async with loaded(place, folder, micro_batch=16, batch=64) as client:
            ending = await ended(client, phase, killed=True)
            assert isinstance(ending, Failed), f"{phase}: {ending}"
            assert (ending.kind, ending.signal) == (FailureKind.CRASHED, 9), f"{phase}: {ending}"
    return "✓"


CHECKS: tuple[Callable[[Place, Path], Awaitable[str]], ...] = (
    load, inspect, generate, reuse, cancel, score, measure, memory, refusals, killed,
)  # fmt: skip
