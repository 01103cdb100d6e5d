"""Models whose layers look back over a sliding window: their cache forgets, and what is reused of it is still right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from slmtui.core.events import FailureKind, Repeated, StopReason
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure
from tests.engine.architectures import gemma3, lfm2, shuffled
from tests.engine.conftest import Build
from tests.engine.support import done, failed, loaded, of, prompted, run, tell, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
STORY = "Lily saw a big red ball and it was in the park. Tom ran to the dog. " * 24
"""Some 600 tokens; the window of 64 and a micro-batch of 64 have room for 256."""


def request(path: Path) -> Load:
    return Load(path=str(path), threads=1, context=2048, micro_batch=64, flash_attention="off")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def windowed(tmp_path_factory: pytest.TempPathFactory, build: Build) -> AsyncIterator[WorkerClient]:
    path = build("gemma3-shuffled.gguf", shuffled(gemma3()))
    async with loaded(tmp_path_factory.mktemp("windowed") / "log", request(path)) as client:
        yield client


async def fresh(client: WorkerClient, prompt: str) -> str:
    """What the model says to a prompt of which nothing is cached."""
    await run(client, Measure(prompt_tokens=1, generated_tokens=0))
    events = await run(client, tell(prompt, 24, ignore_end=True))
    assert prompted(events).cached_tokens == 0
    return text_of(events)


async def test_what_it_says_depends_on_what_it_reads(windowed: WorkerClient) -> None:
    assert await fresh(windowed, STORY) != await fresh(windowed, STORY + "Then a")


@pytest.mark.parametrize("more", [" Then", " Then a big bird came and said that it was sad. " * 3])
async def test_going_on_reuses_the_cache(windowed: WorkerClient, more: str) -> None:
    expected = await fresh(windowed, STORY + more)
    await fresh(windowed, STORY)
    events = await run(windowed, tell(STORY + more, 24, ignore_end=True))
    assert prompted(events).cached_tokens > 500
    assert text_of(events) == expected


async def test_what_the_window_has_forgotten_is_read_again(windowed: WorkerClient) -> None:
    half = STORY[: len(STORY) // 2] + "But the cat"
    expected = await fresh(windowed, half)
    await fresh(windowed, STORY)
    events = await run(windowed, tell(half, 24, ignore_end=True))
    assert prompted(events).cached_tokens == 0, "the tokens before that place are gone"
    assert text_of(events) == expected


@pytest.mark.parametrize("make", [gemma3, lfm2])
async def test_a_depth_is_filled_anew_where_the_cache_forgets(tmp_path: Path, build: Build, make: type) -> None:
    path = build(f"{make.__name__}-shuffled.gguf", shuffled(make()))
    async with loaded(tmp_path / "log", request(path)) as client:
        shape = Measure(prompt_tokens=500, generated_tokens=8, depth=600)
        (found,) = of(await run(client, shape), Repeated)
        assert found.timing.decode_steps == 8
        assert found.timing.depth_s is not None
        done(
            await run(client, Measure(prompt_tokens=500, generated_tokens=8, depth=600, after_prompt=True)),
            StopReason.COMPLETED,
        )
        failed(await run(client, Measure(prompt_tokens=500, depth=1600)), FailureKind.CONTEXT_FULL)
