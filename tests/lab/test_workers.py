"""The machine, detected once, and how workers are set up, started and ended on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import msgspec
import psutil
import pytest

from slmtui.core.events import AnyEvent, Ending, Loaded, StopReason
from slmtui.core.machine import EngineState
from slmtui.core.sampling import Sampling
from slmtui.engine import trial
from slmtui.engine.protocol import Generate
from slmtui.lab import talk
from slmtui.lab.loaded import LoadedModel, LoadOptions
from slmtui.lab.loading import RESERVE_BYTES
from slmtui.lab.services import Services
from slmtui.lab.talk import Seat
from slmtui.sources import detect
from tests.engine.conftest import Crash
from tests.engine.conftest import crash as _crash
from tests.engine.support import F16, Q4_K_M, STORY, done, until
from tests.lab.seats import load, model, seated, services, workers

crash = _crash
ANSWER = Sampling(temperature=0, max_tokens=4)


@pytest.fixture
async def shared(home: Path) -> AsyncIterator[Services]:
    async with services(home) as opened:
        yield opened


async def sound(version: str, *_: object) -> tuple[EngineState, bool]:
    return EngineState(name="llama.cpp", version=version, devices=("CPU",), trial="sound"), True


async def ask(seat: Seat, text: str = "Hello") -> None:
    async with aclosing(seat.ask(text, ANSWER)) as stream:
        events = [event async for event in stream]
    done(events, StopReason.LIMIT)


# -- machine


async def test_the_machine_is_detected_once_and_its_engine_tried_once(home: Path, crash: Crash) -> None:
    starts = crash("never")
    opened = Services.open(strict=True)
    first, second = await asyncio.gather(opened.machine(), opened.machine())
    assert first is second
    assert starts() == 1
    engine = first.engines[0]
    assert engine.trial == "sound"
    assert first.cpu.threads >= 1
    quick = await opened.quick_machine()
    assert quick.cpu.name == first.cpu.name or quick.cpu.name is None
    assert (await opened.memory_now()).total_bytes == first.memory.total_bytes
    await opened.close()
    again = Services.open(strict=True)
    assert (await again.machine()).engines == first.engines
    assert starts() == 1, "remembered from one run of the program to the next"
    await again.close()


async def test_closing_while_the_engine_is_tried_leaves_no_process(home: Path, crash: Crash) -> None:
    starts = crash("hang")
    opened = Services.open(strict=True)
    waiting = asyncio.create_task(opened.machine())
    await until(lambda: starts() > 0)
    await opened.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not psutil.Process().children()


async def test_circumstances_are_those_of_the_moment(shared: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "power", lambda: "battery 83 %")
    monkeypatch.setattr(detect, "governor", lambda: "powersave")
    monkeypatch.setattr(detect, "temperature_c", lambda: 51.5)
    noted = await shared.circumstances()
    assert (noted.power, noted.governor, noted.temperature_c) == ("battery 83 %", "powersave", 51.5)
    assert noted.load_average == pytest.approx(os.getloadavg()[0], abs=2)


async def test_one_who_waits_for_the_machine_can_leave(shared: Services) -> None:
    waiting = asyncio.create_task(shared.machine())
    await asyncio.sleep(0)
    waiting.cancel()
    assert await shared.machine()


async def test_a_build_that_crashes_is_loaded_without_repacked_weights(home: Path, crash: Crash) -> None:
    """From the trial to the answer: the model works although the build is broken, and the measurement says how."""
    crash("repacked")
    opened = Services.open(strict=True)
    try:
        machine = await opened.machine()
        assert machine.engines[0].trial == "plain buffers only"
        assert machine.engines[0].advice is not None
        request = await opened.load_request(model(Q4_K_M), LoadOptions())
        assert request.extra_buffers is False
        async with seated(opened, [Q4_K_M]) as (seat,):
            await ask(seat)
            assert seat.loaded.facts.extra_buffers is False
            assert seat.measurements[0].settings.extra_buffers is False
    finally:
        await opened.close()


# -- workers


async def with_engine(shared: Services, state: EngineState) -> None:
    machine = msgspec.structs.replace(await shared.machine(), engines=(state,))
    shared.surroundings._machine = asyncio.create_task(asyncio.sleep(0, machine))


@pytest.mark.parametrize(
    ("devices", "device", "layers"),
    [
        (("CPU",), "cpu", 0),
        ((), "cpu", 0),
        (("CPU", "BLAS Accelerate"), "cpu", 0),
        (("CUDA0 NVIDIA H200", "CPU"), "gpu", -1),
        (("MTL0 Apple M3", "BLAS Accelerate", "CPU"), "gpu", -1),
    ],
)
async def test_the_device_is_what_the_engine_can_use(
    shared: Services, devices: tuple[str, ...], device: str, layers: int
) -> None:
    await with_engine(shared, EngineState(name="llama.cpp", devices=devices, trial="sound"))
    request = await shared.load_request(model(F16), LoadOptions())
    assert (request.device, request.gpu_layers, request.extra_buffers) == (device, layers, True)
    assert (await shared.load_request(model(F16), LoadOptions(device="cpu", gpu_layers=7))).gpu_layers == 0
    part = await shared.load_request(model(F16), LoadOptions(device="gpu", gpu_layers=7))
    assert (part.device, part.gpu_layers) == ("gpu", 7)


async def test_settings_of_a_load(shared: Services) -> None:
    machine = await shared.machine()
    plain = await shared.load_request(model(F16), LoadOptions())
    assert (plain.threads, plain.context, plain.type_k, plain.inspect_only) == (machine.cpu.threads, None, "f16", False)
    await shared.change_config(lambda config: msgspec.structs.replace(config, threads=3, context=1024))
    configured = await shared.load_request(model(F16), LoadOptions())
    assert (configured.threads, configured.context) == (3, 1024)
    wished = LoadOptions(
        threads=2,
        threads_batch=4,
        batch=64,
        micro_batch=32,
        context=300,
        type_k="q8_0",
        type_v="q4_0",
        flash_attention="on",
    )
    request = await shared.load_request(model(F16), wished, inspect_only=True)
    assert (request.threads, request.context, request.type_k, request.type_v) == (2, 300, "q8_0", "q4_0")
    assert (request.threads_batch, request.batch, request.micro_batch) == (4, 64, 32)
    assert (request.flash_attention, request.inspect_only, request.path) == ("on", True, str(F16))


async def test_the_memory_budget_is_what_is_free_less_a_reserve(shared: Services) -> None:
    free = (await shared.memory_now()).available_bytes
    assert free is not None
    request = await shared.load_request(model(F16), LoadOptions())
    assert request.memory_budget_bytes == pytest.approx(free - RESERVE_BYTES, rel=0.2)
    unchecked = await shared.load_request(model(F16), LoadOptions(check_memory=False))
    assert unchecked.memory_budget_bytes is None


async def test_each_worker_has_a_log_of_its_own_and_old_ones_go(shared: Services) -> None:
    folder = shared.paths.logs
    for number in range(60):
        log = folder / f"worker-{number:02d}.log"
        log.touch()
        os.utime(log, (number, number))
    (folder / "notes.txt").touch()
    first, second = shared.worker_log(), shared.worker_log()
    assert first != second
    assert first.parent == folder
    left = sorted(path.name for path in folder.glob("worker-*.log"))
    assert len(left) == 50
    assert "worker-09.log" not in left
    assert "worker-10.log" in left
    assert (folder / "notes.txt").exists()


async def test_a_log_folder_that_cannot_be_made(shared: Services) -> None:
    shared.paths.logs.rmdir()
    shared.paths.logs.write_text("in the way")
    log = shared.worker_log()
    assert log.parent.is_dir()
    loaded = await load(shared, STORY)
    assert loaded.ready
    await loaded.close()


async def test_loading_closing_and_loading_again(shared: Services) -> None:
    loaded = LoadedModel(shared, model(STORY), LoadOptions(threads=1))
    assert not loaded.ready
    assert loaded.pid is None
    for _ in range(2):
        async with aclosing(loaded.load()) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], Loaded)
        assert loaded.ready
        assert shared.loaded == [loaded]
        assert workers() == [loaded.pid]
        assert loaded.planned
        assert loaded.memory == events[-1].memory
        await loaded.close()
        await loaded.close()
        assert not loaded.ready
        assert shared.loaded == []
        assert workers() == []


async def test_a_model_is_not_ready_after_a_load_that_failed(shared: Services, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(STORY.read_bytes())
    loaded = LoadedModel(shared, model(path), LoadOptions(threads=1))
    for good in (True, False):
        async with aclosing(loaded.load()) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], Loaded) is good
        assert loaded.ready is good
        path.unlink(missing_ok=True)
    await loaded.close()


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 20, 200])
async def test_closing_while_it_loads_leaves_no_worker(shared: Services, steps: int) -> None:
    loaded = LoadedModel(shared, model(F16), LoadOptions(threads=1))

    async def load_it() -> list[AnyEvent]:
        async with aclosing(loaded.load()) as stream:
            return [event async for event in stream]

    loading = asyncio.create_task(load_it())
    for _ in range(steps):
        await asyncio.sleep(0.001)
    await loaded.close()
    events = await loading
    await loaded.close()
    assert isinstance(events[-1], Ending)
    assert not loaded.ready
    assert workers() == []


async def test_closing_ends_all_workers_whatever_they_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_try", sound)
    opened = Services.open(strict=True)
    monkeypatch.setattr(talk, "Generate", partial(Generate, ignore_end=True))
    loaded = [await load(opened, path, context=32_768) for path in (F16, STORY)]
    busy = asyncio.create_task(ask_for_ever(loaded[0]))
    await until(lambda: loaded[0].busy)
    assert len(workers()) == 2
    await opened.close()
    await busy
    assert workers() == []


async def ask_for_ever(loaded: LoadedModel) -> None:
    seat = Seat(loaded)
    async with aclosing(seat.ask("What is prefill?", Sampling(max_tokens=100_000))) as stream:
        async for _ in stream:
            pass
