"""Workers for tests: real processes with the real files, one thread each because the machine is shared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from slmtui.core.chat import Message
from slmtui.core.events import AnyEvent, Done, Ending, Failed, FailureKind, Loaded, Prompted, StopReason, Tokens
from slmtui.core.sampling import Sampling
from slmtui.engine.client import WORKER_COMMAND, WorkerClient, cancelled
from slmtui.engine.protocol import Generate, Load, Request
from slmtui.sources.resources import pocket_folder
from tests.engine.gguf_files import Q4_0, Gguf, Tensor

FIXTURES = Path(__file__).parents[1] / "fixtures"
STORY = FIXTURES / "stories260K.gguf"
F16 = pocket_folder() / "pocket-5m-F16.gguf"
Q8_0 = pocket_folder() / "pocket-5m-Q8_0.gguf"
Q4_K_M = pocket_folder() / "pocket-5m-Q4_K_M.gguf"
PATIENCE_S = 60.0
_Event = TypeVar("_Event")


@asynccontextmanager
async def worker(
    log: Path, command: Sequence[str] = WORKER_COMMAND, *, behind: bool = False
) -> AsyncIterator[WorkerClient]:
    """A worker without a model, ended and waited for at the end."""
    client = await WorkerClient.start(log, command, behind=behind)
    try:
        yield client
    finally:
        client.kill()
        await client.close()


@asynccontextmanager
async def loaded(log: Path, request: Load, *, behind: bool = False) -> AsyncIterator[WorkerClient]:
    """A worker with a model."""
    async with worker(log, behind=behind) as client:
        ending = (await run(client, request))[-1]
        assert isinstance(ending, Loaded), ending
        yield client


async def run(client: WorkerClient, request: Request) -> list[AnyEvent]:
    """All events of a request, of which exactly the last one must be an ending."""
    async with asyncio.timeout(PATIENCE_S), aclosing(client.request(request)) as stream:
        events = [event async for event in stream]
    assert [isinstance(event, Ending) for event in events] == [False] * (len(events) - 1) + [True]
    return events


async def cancel_at(client: WorkerClient, request: Request, reached: Callable[[AnyEvent], bool]) -> list[AnyEvent]:
    """All events of a request that is cancelled as soon as `reached` holds for one of them."""
    events: list[AnyEvent] = []
    asked = False
    async with aclosing(client.request(request)) as stream:
        async for event in stream:
            events.append(event)
            if not asked and reached(event):
                asked = True
                await client.cancel()
    assert asked
    assert cancelled(events[-1]), events[-1]
    return events


def of(events: Sequence[AnyEvent], kind: type[_Event]) -> list[_Event]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def text_of(events: Sequence[AnyEvent]) -> str:
    """The whole answer."""
    return "".join(event.text for event in of(events, Tokens))


def done(events: Sequence[AnyEvent], reason: StopReason) -> Done:
    """The ending, which must be `Done` for this reason."""
    assert isinstance(events[-1], Done), events[-1]
    assert events[-1].reason is reason
    return events[-1]


def failed(events: Sequence[AnyEvent], kind: FailureKind) -> Failed:
    """The ending, which must be a failure of this kind with a sentence."""
    assert isinstance(events[-1], Failed), events[-1]
    assert events[-1].kind is kind, events[-1]
    assert events[-1].message.strip().endswith((".", "`")), events[-1].message
    return events[-1]


def prompted(events: Sequence[AnyEvent]) -> Prompted:
    """What the model was about to read."""
    return of(events, Prompted)[0]


def tell(prompt: str, tokens: int = 16, **changes: object) -> Generate:
    """Continue a raw prompt greedily."""
    request = Generate(prompt=prompt, sampling=Sampling(temperature=0, max_tokens=tokens))
    return msgspec.structs.replace(request, **changes)


def ask(*contents: str, tokens: int = 16, **changes: object) -> Generate:
    """Answer a conversation of these contents, the first by the user, greedily."""
    messages = tuple(Message("assistant" if turn % 2 else "user", text) for turn, text in enumerate(contents))
    request = Generate(messages=messages, sampling=Sampling(temperature=0, max_tokens=tokens))
    return msgspec.structs.replace(request, **changes)


async def until(predicate: Callable[[], object], patience_s: float = PATIENCE_S, every_s: float = 0.02) -> None:
    """Wait until the predicate holds; fails when it does not in time."""
    end = time.monotonic() + patience_s
    while not predicate():
        assert time.monotonic() < end, "this did not become true in time"
        await asyncio.sleep(every_s)


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected by its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """Processes that the process started, and theirs."""
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def slow_to_load(model: Gguf) -> Gguf:
    """A model of 170 MB whose weights take a quarter of a second to be rearranged in memory; its file is a hole."""
    wide = 320_000
    model.set("llama.feed_forward_length", wide)
    for name, tensor in model.tensors.items():
        if "ffn_" in name and "norm" not in name:
            shape = (wide, 64) if "down" in name else (64, wide)
            model.tensors[name] = Tensor(shape, Q4_0, bytes(wide * 64 // 32 * 18))
            assert len(shape) == len(tensor.shape)
    return model
