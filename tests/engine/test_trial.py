"""The engine's trial, with children in which llama.cpp really crashes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from slmtui.core.events import FailureKind, Loaded, StopReason
from slmtui.core.machine import EngineState
from slmtui.engine import trial
from slmtui.engine.child import run_child
from slmtui.engine.protocol import Load
from slmtui.engine.trial import engine_state, fingerprint
from tests.engine.conftest import Crash
from tests.engine.support import F16, Q4_K_M, ask, done, failed, lives, run, until, worker


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "trial.json"


def put(cache: Path, content: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)


def kept(cache: Path) -> dict[str, object] | None:
    """What is remembered; None for nothing, and then no half-written file either."""
    if not cache.parent.exists():
        return None
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    known = json.loads(cache.read_bytes())
    assert isinstance(known, dict)
    return known


async def test_a_sound_build(cache: Path, crash: Crash) -> None:
    starts = crash("never")
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert (state.name, state.trial, state.advice) == ("llama.cpp", "sound", None)
    assert state.version is not None
    assert state.build is not None
    assert "CPU" in state.build
    assert state.devices[0] == "CPU"
    assert starts() == 1
    assert await engine_state(Q4_K_M, cache, "cpu") == state
    assert starts() == 1, "it is remembered"


async def test_a_build_that_crashes_with_repacked_weights(cache: Path, crash: Crash) -> None:
    starts = crash("repacked")
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert state.trial == "plain buffers only"
    assert state.advice is not None
    for words in ("signal 11", "without repacked weights", "slower", "pip install", "-fno-dse"):
        assert words in state.advice
    assert state.devices[0] == "CPU"
    assert state.build is not None
    assert starts() == 2
    assert await engine_state(Q4_K_M, cache, "cpu") == state
    assert starts() == 2, "it is remembered"


async def test_such_a_build_works_in_a_worker_without_repacked_weights(tmp_path: Path, crash: Crash) -> None:
    """What the trial found out is true for the worker, and its advice helps."""
    crash("repacked")
    async with worker(tmp_path / "log") as client:
        assert isinstance((await run(client, Load(path=str(Q4_K_M), threads=1, extra_buffers=False)))[-1], Loaded)
        done(await run(client, ask("Hello", tokens=4, ignore_end=True)), StopReason.LIMIT)
        assert isinstance((await run(client, Load(path=str(Q4_K_M), threads=1)))[-1], Loaded)
        failure = failed(await run(client, ask("Hello")), FailureKind.CRASHED)
        assert failure.signal == 11
        assert "slmtui doctor" in failure.message


async def test_a_gpu_that_fails_is_left_alone(cache: Path, crash: Crash) -> None:
    starts = crash("gpu")
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert (state.trial, state.offloads) == ("processor only", False)
    assert state.advice is not None
    for words in ("fails on CUDA0 NVIDIA T4", "signal 6", "leaves the GPU alone"):
        assert words in state.advice
    assert starts() == 3
    assert await engine_state(Q4_K_M, cache, "cpu") == state
    assert starts() == 3, "it is remembered"


async def test_the_trial_of_the_processor_alone_decodes(cache: Path, tmp_path: Path) -> None:
    ended = await run_child([*trial.TRIAL_COMMAND, str(Q4_K_M), "--processor"], os.environ, 60)
    assert ended.code == 0
    assert b'{"decoded": [8]}' in ended.output


async def test_a_build_that_always_crashes(cache: Path, crash: Crash) -> None:
    crash("always")
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert state.trial == "unusable"
    assert state.advice is not None
    assert "signal 11" in state.advice
    assert "pip install" in state.advice


async def test_a_library_that_does_not_load(cache: Path, crash: Crash) -> None:
    crash("import")
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert state.trial == "unusable"
    assert state.advice is not None
    assert "libgomp is missing" in state.advice


async def test_a_build_that_hangs(cache: Path, crash: Crash, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered: the machine may only have been busy."""
    monkeypatch.setattr(trial, "PATIENCE_S", 1.0)
    starts = crash("hang")
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert state.trial == "unusable"
    assert state.advice is not None
    assert "no answer within 1 s" in state.advice
    assert not psutil.Process().children()
    before = starts()
    await engine_state(Q4_K_M, cache, "cpu")
    assert starts() > before


async def test_a_trial_that_is_given_up_leaves_no_process(cache: Path, crash: Crash) -> None:
    starts = crash("hang")
    running = asyncio.create_task(engine_state(Q4_K_M, cache, "cpu"))
    await until(lambda: starts() > 0)
    (child,) = psutil.Process().children()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not lives(child.pid), 5)
    assert kept(cache) is None


async def test_another_engine_or_machine_is_tried_again(
    cache: Path, crash: Crash, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = crash("never")
    await engine_state(Q4_K_M, cache, "one")
    assert starts() == 1
    await engine_state(Q4_K_M, cache, "another")
    assert starts() == 2
    monkeypatch.setattr(trial, "fingerprint", lambda: "other build")
    await engine_state(Q4_K_M, cache, "another")
    assert starts() == 3
    await engine_state(Q4_K_M, cache, "another")
    assert starts() == 3


def test_the_fingerprint_changes_with_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = fingerprint()
    assert installed == fingerprint()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    empty = fingerprint()
    (tmp_path / "libllama.so").write_bytes(b"one")
    one = fingerprint()
    (tmp_path / "libllama.so").write_bytes(b"two!")
    two = fingerprint()
    assert len({installed, empty, one, two}) == 4
    monkeypatch.setattr(trial, "_version", lambda: "9.9.9")
    assert fingerprint() != two


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"x": 5}', b"\xff\xfe", b'{"x": {"name": 3}}'])
async def test_a_damaged_memory_is_ignored_and_replaced(cache: Path, crash: Crash, content: bytes) -> None:
    starts = crash("fast")
    put(cache, content)
    assert (await engine_state(Q4_K_M, cache, "cpu")).trial == "sound"
    assert (await engine_state(Q4_K_M, cache, "cpu")).trial == "sound"
    assert starts() == 1
    assert len(kept(cache) or {}) == 1


async def test_a_memory_that_cannot_be_written_is_done_without(tmp_path: Path, crash: Crash) -> None:
    starts = crash("fast")
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "trial.json", None):
        assert (await engine_state(Q4_K_M, place, "cpu")).trial == "sound"
    assert starts() == 2


async def test_no_engine_at_all(cache: Path, crash: Crash, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = crash("never")
    monkeypatch.setattr(trial, "_version", lambda: None)
    state = await engine_state(Q4_K_M, cache, "cpu")
    assert isinstance(state, EngineState)
    assert state.trial == "unusable"
    assert state.advice is not None
    assert "not installed" in state.advice
    assert starts() == 0


async def test_a_model_for_the_trial_that_is_missing(cache: Path, tmp_path: Path) -> None:
    state = await engine_state(tmp_path / "missing.gguf", cache, "cpu")
    assert state.trial == "unusable"
    assert state.advice is not None
    assert "missing.gguf" in state.advice


async def test_an_f16_model_would_prove_nothing(crash: Crash) -> None:
    """The crash needs repacked weights; the trial must therefore be made with the quantized model."""
    crash("repacked")
    async with worker(Path("/dev/null")) as client:
        assert isinstance((await run(client, Load(path=str(F16), threads=1)))[-1], Loaded)


async def test_a_child_has_ended_when_its_caller_was_cancelled_again_and_again() -> None:
    before = set(psutil.Process().children())
    caller = asyncio.create_task(run_child([sys.executable, "-c", "import time; time.sleep(600)"], os.environ, 600))
    await until(lambda: set(psutil.Process().children()) - before)
    children = set(psutil.Process().children()) - before
    while not caller.done():
        caller.cancel()
        await asyncio.sleep(0)
    assert not [child for child in children if child.is_running()]


async def test_a_child_is_waited_for_when_that_wait_is_cancelled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that closes cancels every task; a child that takes its time to end would be left behind."""
    monkeypatch.setattr(asyncio.subprocess.Process, "kill", lambda _: None)
    before = set(psutil.Process().children())
    caller = asyncio.create_task(run_child([sys.executable, "-c", "import time; time.sleep(600)"], os.environ, 600))
    await until(lambda: set(psutil.Process().children()) - before)
    (child,) = set(psutil.Process().children()) - before

    def waits() -> list[asyncio.Task[object]]:
        return [each for each in asyncio.all_tasks() if getattr(each.get_coro(), "__name__", "") == "communicate"]

    caller.cancel()
    await until(waits)
    (wait,) = waits()
    wait.cancel()
    await asyncio.wait({wait})
    await until(lambda: caller.done() or waits())
    assert not caller.done()
    child.kill()
    await asyncio.wait({caller})
    assert not child.is_running()
