"""Measuring as llama-bench does: counts, clocks, depth."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import msgspec
import pytest
import pytest_asyncio

from slmtui.core.events import FailureKind, Prefilled, Repeated, StopReason, Timing, Tokens
from slmtui.engine import llama_library
from slmtui.engine.client import WorkerClient, cancelled
from slmtui.engine.llama_steps import compiled
from slmtui.engine.protocol import Load, Measure
from tests.engine.support import STORY, done, failed, loaded, of, prompted, run, tell

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    log = tmp_path_factory.mktemp("story") / "log"
    async with loaded(log, Load(path=str(STORY), threads=1, context=2048)) as client:
        yield client


async def repetitions(client: WorkerClient, request: Measure) -> list[Timing]:
    events = await run(client, request)
    done(events, StopReason.COMPLETED)
    found = of(events, Repeated)
    assert all(one.warmup is request.warmup for one in found)
    return [one.timing for one in found]


def assert_consistent(timing: Timing, accepted_s: float) -> None:
    """Every clock that ran is positive and the parts are not longer than the whole."""
    for seconds in (timing.depth_s, timing.prefill_s, timing.ttft_s, timing.decode_s):
        assert seconds is None or 0 < seconds < accepted_s
    for ours, counted in ((timing.prefill_s, timing.engine_prefill_s), (timing.decode_s, timing.engine_decode_s)):
        assert (ours is None) == (counted is None)
        # It counts whole microseconds, of each step apart.
        assert ours is None or counted is None or 0 < counted <= ours + 1e-6 * max(1, timing.decode_steps)
    assert all(earlier < later for earlier, later in pairwise(timing.token_at_s))
    if timing.token_at_s and timing.decode_s is not None:
        steps = timing.token_at_s[-1] - timing.token_at_s[0]
        assert steps < timing.decode_s
        assert timing.token_at_s[-1] < accepted_s


@pytest.mark.parametrize(("prompt", "generated"), [(512, 128), (64, 0), (0, 64), (1, 1), (33, 7), (0, 1), (2048, 0)])
@pytest.mark.parametrize("depth", [0, 100])
async def test_counts_and_clocks(story: WorkerClient, prompt: int, generated: int, depth: int) -> None:
    depth = min(depth, 2048 - prompt)
    started = time.perf_counter()
    (timing,) = await repetitions(story, Measure(prompt_tokens=prompt, generated_tokens=generated, depth=depth))
    assert_consistent(timing, time.perf_counter() - started)
    assert (timing.prompt_tokens, timing.generated_tokens, timing.depth) == (prompt, generated, depth)
    assert timing.decode_steps == len(timing.token_at_s) == generated
    assert (timing.prefill_s is None) == (timing.ttft_s is None) == (timing.prefill_tps is None) == (prompt == 0)
    assert (timing.decode_s is None) == (timing.decode_tps is None) == (generated == 0)
    assert (timing.depth_s is None) == (depth == 0)
    if timing.prefill_s is not None and timing.ttft_s is not None:
        assert timing.prefill_s <= timing.ttft_s
        assert timing.prefill_tps == pytest.approx(prompt / timing.prefill_s)


async def test_repetitions_come_one_by_one(story: WorkerClient) -> None:
    timings = await repetitions(story, Measure(prompt_tokens=64, generated_tokens=16, repetitions=4, warmup=True))
    assert len(timings) == 4
    assert len({timing.prefill_s for timing in timings}) == 4
    assert len({timing.decode_s for timing in timings}) == 4


async def test_no_repetitions(story: WorkerClient) -> None:
    assert await repetitions(story, Measure(repetitions=0)) == []


async def test_a_deep_context_makes_decoding_slower(story: WorkerClient) -> None:
    """At depth 1,900 attention over the context dominates this model: the depth is really there."""
    shape = Measure(prompt_tokens=0, generated_tokens=100, repetitions=3)
    shallow = await repetitions(story, shape)
    deep = await repetitions(story, msgspec.structs.replace(shape, depth=1900))
    fastest = [min(timing.decode_s or math.inf for timing in timings) for timings in (shallow, deep)]
    assert fastest[1] > 1.3 * fastest[0]


async def test_progress_is_told_meanwhile(story: WorkerClient) -> None:
    events = await run(story, Measure(prompt_tokens=1000, generated_tokens=700))
    (timing,) = [one.timing for one in of(events, Repeated)]
    assert of(events, Prefilled)[-1].done == 1000
    told = of(events, Tokens)
    assert all(event.text == "" for event in told)
    at = [moment for event in told for moment in event.at_s]
    assert tuple(at) == timing.token_at_s[: len(at)]
    assert sum(event.count for event in told) == len(at) <= 700
    if timing.decode_s and timing.decode_s > 0.6:
        assert told


@pytest.mark.parametrize(
    "request_",
    [
        Measure(prompt_tokens=2049, generated_tokens=0),
        Measure(prompt_tokens=0, generated_tokens=2049),
        Measure(prompt_tokens=1000, generated_tokens=10, depth=1049),
        Measure(prompt_tokens=10**9),
    ],
)
async def test_a_shape_that_does_not_fit_is_refused_with_figures(story: WorkerClient, request_: Measure) -> None:
    failure = failed(await run(story, request_), FailureKind.CONTEXT_FULL)
    assert "2,048" in failure.message
    assert "larger context" in failure.message


async def test_a_shape_that_just_fits(story: WorkerClient) -> None:
    (timing,) = await repetitions(story, Measure(prompt_tokens=1000, generated_tokens=20, depth=1048))
    assert timing.decode_steps == 20
    (timing,) = await repetitions(story, Measure(prompt_tokens=8, generated_tokens=40, depth=2008))
    assert timing.decode_steps == 40


@pytest.mark.parametrize(
    "request_",
    [
        Measure(prompt_tokens=-1),
        Measure(generated_tokens=-5),
        Measure(depth=-1, generated_tokens=0),
        Measure(repetitions=-1),
    ],
)
async def test_negative_shapes_are_refused(story: WorkerClient, request_: Measure) -> None:
    failure = failed(await run(story, request_), FailureKind.BAD_REQUEST)
    assert "-" in failure.message
    assert len(await repetitions(story, Measure(prompt_tokens=1, generated_tokens=1))) == 1


async def test_a_measurement_leaves_the_conversation_empty(story: WorkerClient) -> None:
    await run(story, tell("Once upon a time", 4))
    await repetitions(story, Measure(prompt_tokens=16, generated_tokens=4))
    assert prompted(await run(story, tell("Once upon a time", 4))).cached_tokens == 0


async def test_prefill_is_not_faster_than_the_clock_outside(story: WorkerClient) -> None:
    started = time.perf_counter()
    timings = await repetitions(story, Measure(prompt_tokens=1500, generated_tokens=200, repetitions=3))
    outside_s = time.perf_counter() - started
    inside_s = sum((timing.prefill_s or 0) + (timing.decode_s or 0) for timing in timings)
    assert 0 < inside_s < outside_s


async def test_the_engines_own_counters_agree_with_our_clocks(story: WorkerClient) -> None:
    """What is between them is Python's share; of each decode step of so small a model if no loop was compiled."""
    timings = await repetitions(story, Measure(prompt_tokens=1000, generated_tokens=400, repetitions=5))
    alone = 0.95 if compiled(llama_library.load()) else 0.7
    for ours, counted, share in (("prefill_s", "engine_prefill_s", 0.95), ("decode_s", "engine_decode_s", alone)):
        ratios = [getattr(timing, counted) / getattr(timing, ours) for timing in timings]
        assert share < max(ratios) <= 1.001  # the engine counts whole microseconds


async def test_a_chat_has_the_engines_counters_too(story: WorkerClient) -> None:
    timing = done(await run(story, tell("Lily saw a dog. " * 60, 100, ignore_end=True)), StopReason.LIMIT).timing
    assert timing is not None
    assert timing.prefill_s is not None
    assert timing.decode_s is not None
    assert timing.engine_prefill_s is not None
    assert timing.engine_decode_s is not None
    assert 0.5 * timing.prefill_s < timing.engine_prefill_s <= timing.prefill_s
    assert 0.4 * timing.decode_s < timing.engine_decode_s < timing.decode_s
    (only,) = [done(await run(story, tell("Once", 1)), StopReason.LIMIT).timing]
    assert only is not None
    assert only.engine_decode_s is None, "one token has no decode step"


async def test_decode_after_the_prompt_needs_room_for_both(story: WorkerClient) -> None:
    shape = Measure(prompt_tokens=1500, generated_tokens=500, depth=48, after_prompt=True)
    (timing,) = await repetitions(story, shape)
    assert (timing.depth, timing.prompt_tokens, timing.decode_steps) == (48, 1500, 500)
    more = msgspec.structs.replace(shape, generated_tokens=501)
    assert "2,049" in failed(await run(story, more), FailureKind.CONTEXT_FULL).message
    assert len(await repetitions(story, msgspec.structs.replace(more, after_prompt=False))) == 1


async def test_decode_after_a_long_prompt_is_as_slow_as_at_that_depth(story: WorkerClient) -> None:
    shape = Measure(prompt_tokens=1900, generated_tokens=100, repetitions=3)
    before = await repetitions(story, shape)
    after = await repetitions(story, msgspec.structs.replace(shape, after_prompt=True))
    fastest = [min(timing.decode_s or math.inf for timing in timings) for timings in (before, after)]
    assert fastest[1] > 1.3 * fastest[0]


async def test_filling_a_depth_is_told_apart_and_timed(story: WorkerClient) -> None:
    events = await run(story, Measure(prompt_tokens=100, generated_tokens=3, depth=1800))
    told = of(events, Prefilled)
    filling = [event for event in told if event.filling]
    assert told[: len(filling)] == filling
    assert [(event.done, event.total) for event in filling] == [(512, 1800), (1024, 1800), (1536, 1800), (1800, 1800)]
    assert [(event.done, event.total) for event in told[len(filling) :]] == [(100, 100)]
    (timing,) = [one.timing for one in of(events, Repeated)]
    assert timing.depth_s is not None
    assert timing.prefill_s is not None
    assert timing.depth_s >= filling[-1].elapsed_s
    assert timing.depth_s > timing.prefill_s, "1,800 tokens take longer than 100"


async def test_a_depth_is_filled_once_and_gone_back_to(story: WorkerClient) -> None:
    events = await run(story, Measure(prompt_tokens=20, generated_tokens=3, depth=600, repetitions=3))
    assert [event.done for event in of(events, Prefilled) if event.filling] == [512, 600]
    timings = [one.timing for one in of(events, Repeated)]
    assert [(timing.depth, timing.prompt_tokens, len(timing.token_at_s)) for timing in timings] == [(600, 20, 3)] * 3
    first, *later = [timing.depth_s for timing in timings]
    assert first is not None
    assert all(depth_s is not None and depth_s < first for depth_s in later)


async def test_filling_a_depth_can_be_stopped(story: WorkerClient) -> None:
    async with aclosing(
        story.request(Measure(prompt_tokens=64, generated_tokens=64, depth=1900, repetitions=50))
    ) as stream:
        async for event in stream:
            if isinstance(event, Prefilled) and event.filling:
                await story.cancel()
    assert cancelled(event)
    assert prompted(await run(story, tell("Once upon a time", 4))).cached_tokens == 0
