"""A real GPU: where memory lies by engine and driver, answers, benchmarks, cancelling, deaths, too little room."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from slmtui.core.events import (
    Failed,
    FailureKind,
    Inspected,
    Loaded,
    Loading,
    MemorySampled,
    Repeated,
    StopReason,
    Tokens,
    total_bytes,
)
from slmtui.core.offload import ALL, FIT
from slmtui.engine.client import WorkerClient, cancelled
from slmtui.engine.protocol import Load, Measure
from tests.engine.support import (
    F16,
    Q4_K_M,
    Q8_0,
    done,
    failed,
    loaded,
    of,
    run,
    tell,
    text_of,
    until,
    worker,
)
from tests.gpu.support import GIB, MIB, OVERHEAD_BYTES, Graphics, Hog, free_bytes

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("graphics"), pytest.mark.asyncio(loop_scope="module")]
LAYERS = 6
"""Of Pocket 5M, its output not counted."""
ONCE = "Once upon a time, there was a"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(graphics: Graphics, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    """A worker with Pocket 5M F16, all of it on the GPU."""
    request = Load(path=str(F16), device=graphics.name, gpu_layers=ALL, context=2048)
    async with loaded(tmp_path_factory.mktemp("gpu") / "log", request) as one:
        yield one


@pytest.mark.parametrize("model", [F16, Q8_0, Q4_K_M], ids=lambda path: path.stem)
@pytest.mark.parametrize(("wanted", "layers"), [(ALL, LAYERS + 1), (FIT, LAYERS + 1), (3, 3), (1, 1), (0, 0)])
async def test_layers_go_where_they_are_wished(
    graphics: Graphics, tmp_path: Path, model: Path, wanted: int, layers: int
) -> None:
    request = Load(path=str(model), device=graphics.name, gpu_layers=wanted, context=512)
    async with worker(tmp_path / "log") as one:
        events = await run(one, request)
        ending = events[-1]
        assert isinstance(ending, Loaded), ending
        assert (ending.facts.device, ending.facts.gpu_layers) == (graphics.name, layers)
        planned, there = of(events, Loading)[0].planned, ending.memory
        assert graphics.bytes_of(planned) == pytest.approx(graphics.bytes_of(there), rel=0.02, abs=MIB)
        assert total_bytes(planned) == pytest.approx(total_bytes(there), rel=0.05, abs=2 * MIB)
        weights = tuple(part for part in there if part.kind == "weights")
        assert (graphics.bytes_of(weights) > 0) == (layers > 0)
        assert len(text_of(await run(one, tell(ONCE, 8)))) > 4


async def test_the_gpu_writes_what_the_processor_writes(client: WorkerClient, tmp_path: Path) -> None:
    there = text_of(await run(client, tell(ONCE, 24)))
    async with loaded(tmp_path / "log", Load(path=str(F16))) as processor:
        here = text_of(await run(processor, tell(ONCE, 24)))
    assert there[:20] == here[:20], "rounding may part them later"


async def test_the_drivers_figures_agree_with_the_engines(nvidia: Graphics, wide: Path, tmp_path: Path) -> None:
    before = free_bytes()
    request = Load(path=str(wide), device=nvidia.name, gpu_layers=ALL, context=512, batch=8, micro_batch=8)
    async with worker(tmp_path / "log") as one:
        ending = (await run(one, request))[-1]
        assert isinstance(ending, Loaded), ending
        await run(one, tell("Once", 2))
        engine = nvidia.bytes_of(ending.memory)
        assert engine > 1900 * MIB
        taken = before - free_bytes()
        assert engine <= taken + 64 * MIB
        assert taken <= engine + OVERHEAD_BYTES
        sampled = of(await run(one, tell("Once", 2)), MemorySampled)[-1].memory.gpu_bytes
        if sampled is not None:  # a driver in a container may not list the process
            assert engine <= sampled + 64 * MIB
            assert sampled <= engine + OVERHEAD_BYTES
    await until(lambda: free_bytes() > before - 64 * MIB)


@pytest.mark.parametrize(
    ("keys", "flash"), [("q8_0", "on"), ("q4_0", "on"), ("f16", "off"), ("f32", "off"), ("f16", "auto")]
)
async def test_cache_types_and_flash_attention(
    graphics: Graphics, client: WorkerClient, tmp_path: Path, keys: str, flash: str
) -> None:
    request = Load(
        path=str(Q8_0),
        device=graphics.name,
        gpu_layers=ALL,
        context=512,
        type_k=keys,
        type_v=keys,
        flash_attention=flash,
    )
    async with loaded(tmp_path / "log", request) as one:
        assert len(text_of(await run(one, tell(ONCE, 8)))) > 4


async def test_a_benchmark(client: WorkerClient) -> None:
    events = await run(client, Measure(prompt_tokens=128, generated_tokens=16, depth=64, repetitions=2))
    done(events, StopReason.COMPLETED)
    for repetition in of(events, Repeated)[1:]:
        timing = repetition.timing
        assert (timing.prompt_tokens, timing.decode_steps, timing.depth) == (128, 16, 64)
        assert timing.prefill_s is not None
        assert timing.decode_s is not None
        assert timing.engine_prefill_s == pytest.approx(timing.prefill_s, rel=0.3, abs=0.002)
        assert timing.engine_decode_s == pytest.approx(timing.decode_s, rel=0.3, abs=0.002)
        assert list(timing.token_at_s) == sorted(timing.token_at_s)
        assert timing.energy is None or timing.energy.meter.startswith("NVML GPU")


async def test_cancelling_while_it_decodes_and_going_on(client: WorkerClient) -> None:
    tokens = 0
    async with aclosing(client.request(tell(ONCE, 1500, ignore_end=True))) as stream:
        async for event in stream:
            if isinstance(event, Tokens):
                tokens += event.count
                await client.cancel()
    assert cancelled(event), event
    assert 0 < tokens < 1500
    done(await run(client, tell(ONCE, 4, ignore_end=True)), StopReason.LIMIT)


async def test_cancelling_a_benchmark(client: WorkerClient) -> None:
    repeated = 0
    async with aclosing(client.request(Measure(prompt_tokens=32, generated_tokens=64, repetitions=500))) as stream:
        async for event in stream:
            if isinstance(event, Repeated):
                repeated += 1
                await client.cancel()
    assert cancelled(event), event
    assert 0 < repeated < 500
    done(await run(client, tell(ONCE, 4, ignore_end=True)), StopReason.LIMIT)


async def test_two_models_at_once(graphics: Graphics, client: WorkerClient, tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(Q8_0), device=graphics.name, gpu_layers=ALL)) as other:
        for one in (client, other):
            done(await run(one, tell(ONCE, 4, ignore_end=True)), StopReason.LIMIT)


async def test_sigkill_gives_the_video_memory_back(nvidia: Graphics, tmp_path: Path) -> None:
    before = free_bytes()
    request = Load(path=str(F16), device=nvidia.name, gpu_layers=ALL, context=2048)
    async with loaded(tmp_path / "log", request) as one:
        assert free_bytes() < before
        async with aclosing(one.request(tell(ONCE, 1500, ignore_end=True))) as stream:
            async for event in stream:
                if isinstance(event, Tokens) and one.alive:
                    os.kill(one.pid, signal.SIGKILL)
    assert isinstance(event, Failed)
    assert (event.kind, event.signal) == (FailureKind.CRASHED, signal.SIGKILL)
    await until(lambda: free_bytes() > before - 64 * MIB)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cuda:63"}, "cuda:63"),
        ({"device": "metal"}, "metal"),
        ({"gpu_layers": -7}, "gpu_layers"),
        ({"tensor_split": (1.0, 2.0, 3.0)}, "shares"),
        ({"split_mode": "diagonal"}, "diagonal"),
        ({"type_v": "q8_0", "flash_attention": "off"}, "flash attention"),
    ],
)
async def test_wishes_that_cannot_be_granted(
    graphics: Graphics, client: WorkerClient, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    base = Load(path=str(Q8_0), device=graphics.name, gpu_layers=ALL)
    async with worker(tmp_path / "log") as one:
        failure = failed(await run(one, msgspec.structs.replace(base, **changes)), FailureKind.BAD_REQUEST)
        assert words in failure.message
        assert isinstance((await run(one, base))[-1], Loaded)


async def test_a_damaged_file(graphics: Graphics, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(F16.read_bytes()[:-40_000])
    async with worker(tmp_path / "log") as one:
        failed(await run(one, Load(path=str(cut), device=graphics.name, gpu_layers=ALL)), FailureKind.BAD_FILE)
        assert isinstance((await run(one, Load(path=str(F16), device=graphics.name, gpu_layers=ALL)))[-1], Loaded)


async def test_too_little_room(nvidia: Graphics, wide: Path, hog: Hog, tmp_path: Path) -> None:
    """A model of 2.3 GiB where less than that is left: refused by the dry run, or by CUDA, or partly loaded."""
    hog(2300 * MIB)
    base = Load(path=str(wide), device=nvidia.name, context=512, batch=8, micro_batch=8, extra_buffers=False)
    careful = msgspec.structs.replace(base, gpu_layers=ALL, memory_budget_bytes=64 * GIB)
    async with worker(tmp_path / "log") as one:
        failure = failed(await run(one, careful), FailureKind.OUT_OF_MEMORY)
        assert f"on {nvidia.name}" in failure.message
        assert "-ngl fit" in failure.message
        failed(await run(one, msgspec.structs.replace(base, gpu_layers=ALL)), FailureKind.OUT_OF_MEMORY)
        told = (await run(one, msgspec.structs.replace(base, gpu_layers=FIT, inspect_only=True)))[-1]
        assert isinstance(told, Inspected), told
        ending = (await run(one, msgspec.structs.replace(base, gpu_layers=FIT)))[-1]
        assert isinstance(ending, Loaded), ending
        assert 0 < (ending.facts.gpu_layers or 0) < LAYERS
        assert (ending.facts.gpu_layers or 0) <= (told.facts.gpu_layers or 0)
        done(await run(one, tell("Once", 2, ignore_end=True)), StopReason.LIMIT)
