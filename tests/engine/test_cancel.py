"""Cancelling in every phase, with a worker that is as good as new afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from slmtui.core.events import (
    AnyEvent,
    FailureKind,
    Loaded,
    Loading,
    MemorySampled,
    Prefilled,
    Repeated,
    StopReason,
    Tokens,
)
from slmtui.engine.client import WorkerClient, cancelled
from slmtui.engine.gauge import page_cache_state
from slmtui.engine.protocol import Load, Measure, Request
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import (
    F16,
    STORY,
    ask,
    cancel_at,
    done,
    failed,
    loaded,
    of,
    prompted,
    run,
    slow_to_load,
    tell,
    text_of,
    until,
    worker,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG = "Lily saw a big red ball and it was " * 230
ONCE = "Once upon a time, there was"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    """The whole of a long prompt is one evaluation, so that cancelling must stop it in its middle."""
    log = tmp_path_factory.mktemp("story") / "log"
    request = Load(path=str(STORY), threads=1, context=8192, batch=8192, micro_batch=8192)
    async with loaded(log, request) as client:
        yield client


def first(kind: type[AnyEvent]) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, kind)


async def test_during_prefill_in_the_middle_of_a_batch(story: WorkerClient) -> None:
    expected = text_of(await run(story, tell(ONCE, 8)))
    await run(story, tell("Other", 1))
    events = await cancel_at(story, tell(ONCE + LONG * 3, 8), first(MemorySampled))
    assert prompted(events).cached_tokens <= 1, "what the model was about to read is told all the same"
    assert not of(events, Prefilled)
    assert not of(events, Tokens)
    timing = done(events, StopReason.CANCELLED).timing
    assert timing is not None
    assert (timing.prefill_s, timing.ttft_s, timing.generated_tokens, timing.decode_tps) == (None, None, 0, None)
    again = await run(story, tell(ONCE, 8))
    assert prompted(again).cached_tokens <= 1, "the batch was not evaluated to its end; BOS was there before"
    assert text_of(again) == expected


async def test_during_prefill_between_batches(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=1, context=2048, micro_batch=64)) as client:
        content = "Prefill is the phase in which the model reads the whole prompt at once. " * 60
        events = await cancel_at(client, ask(content, tokens=8), first(Prefilled))
        read = of(events, Prefilled)[-1]
        assert read.done < read.total
        again = await run(client, ask(content, tokens=8))
        assert 0 <= prompted(again).cached_tokens <= read.done + 256
        reused = text_of(again)
    async with loaded(tmp_path / "log2", Load(path=str(F16), threads=1, context=2048, micro_batch=64)) as fresh:
        assert text_of(await run(fresh, ask(content, tokens=8))) == reused


async def test_during_decode_and_the_cache_is_right_afterwards(story: WorkerClient) -> None:
    expected = text_of(await run(story, tell(ONCE, 200)))
    await run(story, tell("Other", 1))
    events = await cancel_at(
        story, tell(ONCE, 8000, ignore_end=True), lambda event: isinstance(event, Tokens) and event.at_s[0] > 0.1
    )
    timing = done(events, StopReason.CANCELLED).timing
    assert timing is not None
    assert 0 < timing.generated_tokens < 8000
    assert timing.generated_tokens == sum(event.count for event in of(events, Tokens)) == len(timing.token_at_s)
    partial = text_of(events)
    assert expected.startswith(partial[:200])
    more = tell(ONCE + partial[: partial.index(".") + 1], 40)
    again = await run(story, more)
    assert prompted(again).cached_tokens > 10, "what was read and written before the cancel is still there"
    await run(story, tell("Other", 1))
    fresh = await run(story, more)
    assert prompted(fresh).cached_tokens <= 1
    assert text_of(again) == text_of(fresh)
    assert text_of(await run(story, tell(ONCE, 200))) == expected


@pytest.mark.parametrize(
    ("request_", "reached"),
    [
        (Measure(prompt_tokens=2500, generated_tokens=1, repetitions=50), first(Repeated)),
        (Measure(prompt_tokens=0, generated_tokens=8000, repetitions=50), first(Tokens)),
        (Measure(prompt_tokens=1, generated_tokens=8000, repetitions=50), first(Tokens)),
        (Measure(prompt_tokens=16, generated_tokens=16, depth=2000, repetitions=200), first(Repeated)),
    ],
    ids=["prefill", "decode", "decode after a prompt", "depth"],
)
async def test_during_a_measurement(
    story: WorkerClient, request_: Measure, reached: Callable[[AnyEvent], bool]
) -> None:
    expected = text_of(await run(story, tell(ONCE, 50)))
    events = await cancel_at(story, request_, reached)
    done(events, StopReason.CANCELLED)
    assert len(of(events, Repeated)) < request_.repetitions
    again = await run(story, tell(ONCE, 50))
    assert prompted(again).cached_tokens == 0, "a measurement leaves nothing in the context"
    assert text_of(again) == expected


@pytest.mark.parametrize("request_", [tell(LONG, 8000, ignore_end=True), Measure(prompt_tokens=6000, repetitions=50)])
async def test_before_the_worker_has_begun(story: WorkerClient, request_: Request) -> None:
    async def events() -> list[AnyEvent]:
        return await run(story, request_)

    running = asyncio.create_task(events())
    await until(lambda: story.busy, every_s=0)
    await story.cancel()
    seen = await running
    done(seen, StopReason.CANCELLED)
    assert not of(seen, Repeated)
    assert not of(seen, Tokens)
    done(await run(story, tell(ONCE, 4)), StopReason.LIMIT)


async def test_a_late_cancel_does_not_hit_the_next_request(story: WorkerClient) -> None:
    for _ in range(20):
        done(await run(story, tell(ONCE, 1)), StopReason.LIMIT)
        await story.cancel()
    done(await run(story, tell(ONCE, 20)), StopReason.LIMIT)


async def test_during_loading(tmp_path: Path, build: Build) -> None:
    load = Load(path=str(build("slow.gguf", slow_to_load(Gguf.read(STORY)))), threads=1)
    async with worker(tmp_path / "log") as client:
        events = await cancel_at(client, load, lambda event: isinstance(event, Loading) and bool(event.planned))
        assert not of(events, Loaded)
        failed(await run(client, tell(ONCE, 4)), FailureKind.BAD_REQUEST)
        assert isinstance((await run(client, Load(path=str(STORY), threads=1)))[-1], Loaded)
        done(await run(client, tell(ONCE, 4)), StopReason.LIMIT)


async def test_while_a_file_is_read_from_the_disk(tmp_path: Path) -> None:
    """Mapping the file would read all of it without a word; a large model on a slow disk takes a minute."""
    path = slow_to_load(Gguf.read(STORY)).write(tmp_path / "cold.gguf")
    if page_cache_state(path) != "cold":
        pytest.skip("this file system keeps its files in memory")
    async with worker(tmp_path / "log") as client:
        load = Load(path=str(path), threads=1)
        events = await cancel_at(client, load, lambda event: isinstance(event, Loading) and 0 < event.fraction < 0.8)
        assert max(event.fraction for event in of(events, Loading)) < 0.8
        assert page_cache_state(path) != "warm", "the rest was not read"
        ending = (await run(client, load))[-1]
        assert isinstance(ending, Loaded)
        assert ending.page_cache != "warm"
        assert page_cache_state(path) == "warm"
        assert isinstance((await run(client, load))[-1], Loaded)


async def test_before_the_engine_is_even_imported(tmp_path: Path, build: Build) -> None:
    load = Load(path=str(build("slow.gguf", slow_to_load(Gguf.read(STORY)))), threads=1)
    async with worker(tmp_path / "log") as client:
        running = asyncio.create_task(run(client, load))
        await until(lambda: client.busy, every_s=0)
        await client.cancel()
        assert cancelled((await running)[-1])
        assert isinstance((await run(client, Load(path=str(STORY), threads=1)))[-1], Loaded)
