"""The app's end of a worker: endings, deaths in every phase, and workers that misbehave."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from slmtui.core.events import (
    AnyEvent,
    Done,
    Ending,
    FailureKind,
    Loaded,
    MemorySampled,
    Prefilled,
    Prompted,
    StopReason,
    Tokens,
)
from slmtui.engine import client as client_module
from slmtui.engine.client import WorkerBusyError, WorkerClient
from slmtui.engine.protocol import LINE_LIMIT_BYTES, Load, Measure, Request
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import (
    F16,
    PATIENCE_S,
    Q8_0,
    STORY,
    ask,
    descendants,
    done,
    failed,
    lives,
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

LONG = "Lily saw a big red ball and it was " * 350


def stand_in(folder: Path, script: str) -> tuple[str, ...]:
    """A command that runs this script in place of the worker."""
    path = folder / "stand_in.py"
    path.write_text(f"import sys, time, os, json\nask = sys.stdin.buffer.readline\n{script}\n", encoding="utf-8")
    return sys.executable, str(path)


def say(data: bytes) -> str:
    return f"sys.stdout.buffer.write({data!r}); sys.stdout.flush()"


@pytest.mark.parametrize(
    "line",
    [
        b"hello there\n",
        b"\xff\xfe\x00\n",
        b"{}\n",
        b'{"event":"nonsense","request":1}\n',
        b'{"event":"done","request":1}\n',
        b'{"event":"done","request":1,"reason":"because"}\n',
        b"[" * 100_000 + b"\n",
        b"\n",
    ],
)
async def test_a_worker_that_says_garbage_is_killed(tmp_path: Path, line: bytes) -> None:
    script = f"ask(); {say(line)}; time.sleep(600)"
    async with worker(tmp_path / "log", stand_in(tmp_path, script)) as client:
        failure = failed(await run(client, Measure()), FailureKind.INTERNAL)
        assert "load the model again" in failure.message
        await until(lambda: not lives(client.pid))
        assert not client.busy


async def test_a_line_without_end_is_garbage(tmp_path: Path) -> None:
    script = f"ask(); sys.stdout.buffer.write(b'x' * {LINE_LIMIT_BYTES + 100_000}); sys.stdout.flush(); time.sleep(600)"
    async with worker(tmp_path / "log", stand_in(tmp_path, script)) as client:
        failed(await run(client, Measure()), FailureKind.INTERNAL)


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("ask(); sys.exit(0)", FailureKind.CANCELLED, "shut down"),
        ("ask(); sys.exit(1)", FailureKind.CRASHED, "exit code 1"),
        ("sys.exit(7)", FailureKind.CRASHED, "exit code 7"),
        (f"ask(); {say(b'half a li')}; sys.exit(3)", FailureKind.CRASHED, "exit code 3"),
        ("ask(); os.kill(os.getpid(), 11)", FailureKind.CRASHED, "SIGSEGV"),
        ("ask(); os.abort()", FailureKind.CRASHED, "SIGABRT"),
        ("ask(); os.kill(os.getpid(), 15)", FailureKind.CRASHED, "SIGTERM"),
    ],
)
async def test_a_worker_that_ends(tmp_path: Path, script: str, kind: FailureKind, words: str) -> None:
    (tmp_path / "log").write_text("the last words\n")
    async with worker(tmp_path / "log", stand_in(tmp_path, script)) as client:
        failure = failed(await run(client, Measure()), kind)
        assert words in failure.message
        if kind is FailureKind.CRASHED:
            assert failure.log_tail == "the last words\n"
        assert not client.alive
        failed(await run(client, Measure()), kind)


async def test_a_gpu_that_ran_out_of_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPU…)\n")
    async with worker(tmp_path / "log", stand_in(tmp_path, "ask(); os.abort()")) as client:
        message = failed(await run(client, Measure()), FailureKind.CRASHED).message
        assert "Memory ran out on the GPU" in message
        assert "smaller context" in message


async def test_events_of_an_earlier_request_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    old, new = (
        b'{"event":"done","request":7,"reason":"completed"}\n',
        b'{"event":"done","request":1,"reason":"token limit"}\n',
    )
    async with worker(tmp_path / "log", stand_in(tmp_path, f"ask(); {say(old + new)}; time.sleep(600)")) as client:
        done(await run(client, Measure()), StopReason.LIMIT)


async def test_a_worker_that_ignores_a_cancel_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CANCEL_PATIENCE_S", 0.3)
    token = b'{"event":"tokens","request":1,"text":"a","count":1,"at_s":[0.1]}\n'
    async with worker(tmp_path / "log", stand_in(tmp_path, f"ask(); {say(token)}; time.sleep(600)")) as client:
        async with aclosing(client.request(Measure())) as stream:
            async for _ in stream:
                break
        assert not lives(client.pid)
        assert not client.busy


async def test_a_worker_that_ignores_the_shutdown_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SHUTDOWN_PATIENCE_S", 0.3)
    async with worker(tmp_path / "log", stand_in(tmp_path, "time.sleep(600)")) as client:
        assert await client.close() == -signal.SIGKILL
        assert await client.close() == -signal.SIGKILL


async def test_a_worker_that_never_reads_can_be_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe fills, so that sending waits; neither leaving nor closing may wait with it."""
    monkeypatch.setattr(client_module, "CANCEL_PATIENCE_S", 0.3)
    monkeypatch.setattr(client_module, "SHUTDOWN_PATIENCE_S", 0.3)
    async with worker(tmp_path / "log", stand_in(tmp_path, "time.sleep(600)")) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await run(client, tell("x" * 5_000_000))
        async with asyncio.timeout(10):
            assert await client.close() == -signal.SIGKILL


@pytest.mark.parametrize("path", [STORY, F16])
async def test_a_worker_ends_with_code_zero_and_leaves_nothing(tmp_path: Path, path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(path), threads=1)) as client:
        children = descendants(client.pid)
        assert len(children) == (1 if path == F16 else 0), "the template's process"
        assert await client.close() == 0
        await until(lambda: not any(lives(pid) for pid in children))
        assert await client.close() == 0


async def collect(client: WorkerClient, request: Request, events: list[AnyEvent]) -> None:
    """Add each event to the list when it comes."""
    async with aclosing(client.request(request)) as stream:
        async for event in stream:
            events.append(event)  # noqa: PERF401 (seen while it grows)


async def test_closing_a_busy_worker_stops_what_runs(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1, context=8192)) as client:
        events: list[AnyEvent] = []
        running = asyncio.create_task(collect(client, tell(LONG), events))
        await until(lambda: of(events, Prefilled))
        assert await client.close() == 0
        await running
        assert isinstance(events[-1], Ending)
        assert not client.alive


async def test_closing_right_after_a_load_was_asked_for(tmp_path: Path, build: Build) -> None:
    path = build("slow.gguf", slow_to_load(Gguf.read(STORY)))
    async with worker(tmp_path / "log") as client:
        running = asyncio.create_task(run(client, Load(path=str(path), threads=1)))
        await until(lambda: client.busy)
        assert await client.close() == 0
        assert not isinstance((await running)[-1], Loaded), "the load was not given up"


async def test_one_request_at_a_time(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        async with aclosing(client.request(tell("Once", 200, ignore_end=True))) as stream:
            await anext(stream)
            assert client.busy
            with pytest.raises(WorkerBusyError, match="busy"):
                await run(client, tell("Twice"))
            async for event in stream:
                last = event
        assert isinstance(last, Done)
        assert not client.busy
        done(await run(client, tell("Once", 4)), StopReason.LIMIT)


@pytest.mark.parametrize("after", [1, 3])
async def test_leaving_the_iterator_cancels_and_frees_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(client_module, "CANCEL_PATIENCE_S", PATIENCE_S)
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1, context=8192)) as client:
        expected = text_of(await run(client, tell("Once upon a time", 30)))
        for prompt in ("Once upon a time", LONG):
            async with aclosing(client.request(tell(prompt, 8000, ignore_end=True))) as stream:
                for _ in range(after):
                    await anext(stream)
            assert not client.busy
            assert client.alive, "it obeyed and was not killed"
        assert text_of(await run(client, tell("Once upon a time", 30))) == expected


async def test_a_task_that_is_cancelled_frees_the_worker(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1, context=8192)) as client:
        events: list[AnyEvent] = []
        task = asyncio.create_task(collect(client, tell("Once", 8000, ignore_end=True), events))
        await until(lambda: of(events, Tokens))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client.busy
        done(await run(client, tell("Once", 4)), StopReason.LIMIT)


async def test_long_lines_both_ways(tmp_path: Path) -> None:
    """The rendered prompt that comes back is as long as the one that was sent: over 64 KiB, asyncio's own limit."""
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=1, context=32_768)) as client:
        content = "Prefill is the phase in which the model reads the whole prompt at once. " * 1000
        async with aclosing(client.request(ask(content, tokens=2))) as stream:
            events: list[AnyEvent] = []
            while not of(events, Prompted):
                events.append(await anext(stream))
        shown = prompted(events)
        assert len(shown.text) > len(content) > 65_536
        assert content in shown.text
        assert client.alive
        failed(await run(client, ask(content * 20, tokens=2)), FailureKind.CONTEXT_FULL)


async def test_a_worker_killed_while_idle_is_reported_by_the_next_request(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(Q8_0), threads=1)) as client:
        children = descendants(client.pid)
        client.kill()
        await until(lambda: not client.alive)
        failure = failed(await run(client, ask("Hello")), FailureKind.CRASHED)
        assert failure.signal == signal.SIGKILL
        await until(lambda: not any(lives(pid) for pid in children))
        assert await client.close() == -signal.SIGKILL


async def test_memory_is_sampled_four_times_a_second_at_most(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1, context=8192)) as client:
        at = [0.0]
        async with aclosing(client.request(tell("Once", 8000, ignore_end=True))) as stream:
            while len(at) < 4:
                event = await anext(stream)
                if isinstance(event, MemorySampled):
                    at.append(event.at_s)
        assert all(later - earlier > 0.24 for earlier, later in pairwise(at)), at
