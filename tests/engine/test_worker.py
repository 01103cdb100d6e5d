"""The worker process itself: where prints go, what it does when the app dies, what it does with nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from slmtui.core.events import FailureKind, Inspected, Loaded, Loading, StopReason
from slmtui.engine.client import WORKER_COMMAND, WorkerClient
from slmtui.engine.protocol import Cancel, Load, Measure, Shutdown, encode
from tests.engine.support import (
    F16,
    STORY,
    ask,
    descendants,
    done,
    failed,
    lives,
    loaded,
    run,
    tell,
    text_of,
    until,
    worker,
)

NOISY = """
import ctypes, os, sys
from slmtui.engine import backends, worker
libc = ctypes.CDLL(None)
real = backends.create

def create(engine):
    backend = real(engine)
    generate, load = backend.generate, backend.load

    def noise(where):
        print(f"python says {where}")
        print(f"python complains {where}", file=sys.stderr)
        libc.puts(f"native says {where}".encode())
        libc.fflush(None)
        os.write(1, f"one {where}\\n".encode())
        os.write(2, f"two {where}\\n".encode())
        os.system(f"echo child says {where}")
        assert sys.stdin.read() == ""

    def noisy_load(*arguments):
        noise("while loading")
        return load(*arguments)

    def noisy_generate(*arguments):
        noise("while generating")
        return generate(*arguments)

    backend.load, backend.generate = noisy_load, noisy_generate
    return backend

backends.create = create
sys.exit(worker.main())
"""


@pytest.fixture
def noisy(tmp_path: Path) -> tuple[str, ...]:
    script = tmp_path / "noisy.py"
    script.write_text(NOISY, encoding="utf-8")
    return sys.executable, str(script)


async def test_what_native_code_and_python_print_lands_in_the_log(tmp_path: Path, noisy: tuple[str, ...]) -> None:
    log = tmp_path / "log"
    async with worker(log, noisy) as client:
        assert isinstance((await run(client, Load(path=str(STORY), threads=1)))[-1], Loaded)
        events = await run(client, tell("Once upon a time", 8))
        done(events, StopReason.LIMIT)
        assert text_of(events)
        assert await client.close() == 0
    said = log.read_text(encoding="utf-8")
    for where in ("while loading", "while generating"):
        for who in ("python says", "python complains", "native says", "one", "two", "child says"):
            assert f"{who} {where}\n" in said
    assert "llama_model_loader" in said


async def test_a_log_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    async with loaded(tmp_path / "missing folder" / "log", Load(path=str(STORY), threads=1)) as client:
        done(await run(client, tell("Once", 2)), StopReason.LIMIT)
        failure = failed(await run(client, Load(path="/nothing")), FailureKind.BAD_FILE)
        assert failure.log_tail == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
async def test_a_full_disk_under_the_log_does_not_matter() -> None:
    async with loaded(Path("/dev/full"), Load(path=str(F16), threads=1)) as client:
        done(await run(client, ask("Hello", tokens=2, ignore_end=True)), StopReason.LIMIT)


async def test_the_log_is_private_and_its_tail_comes_with_a_failure(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with worker(log) as client:
        bad = tmp_path / "bad.gguf"
        bad.write_bytes(STORY.read_bytes()[:5000])
        failure = failed(await run(client, Load(path=str(bad))), FailureKind.BAD_FILE)
        assert 0 < len(failure.log_tail) <= 2000
        assert failure.log_tail in log.read_text(encoding="utf-8")
        assert log.stat().st_mode & 0o077 == 0


async def test_a_worker_does_not_take_modules_from_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody starts slmtui in a folder that has a random.py."""
    for name in ("random", "queue", "msgspec", "jinja2", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    monkeypatch.chdir(tmp_path)
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=1)) as client:
        done(await run(client, ask("Hello", tokens=2, ignore_end=True)), StopReason.LIMIT)


async def test_a_worker_is_out_of_reach_of_the_terminals_interrupt(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=1)) as client:
        assert os.getpgid(client.pid) != os.getpgid(0)
        for child in descendants(client.pid):
            assert os.getpgid(child) == os.getpgid(client.pid)


@pytest.mark.parametrize("behind", [False, True])
async def test_a_worker_behind_others_is_nicer_with_all_its_threads(tmp_path: Path, *, behind: bool) -> None:
    """And is so beside the app: in a session of its own Linux would give it a share of its own."""
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=2), behind=behind) as client:
        done(await run(client, ask("Hello", tokens=2, ignore_end=True)), StopReason.LIMIT)
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        linux = sys.platform == "linux"  # elsewhere a thread has no priority of its own, and who may list them differs
        threads = [thread.id for thread in psutil.Process(client.pid).threads()] if linux else [client.pid]
        nicer = {os.getpriority(os.PRIO_PROCESS, thread) - ours for thread in threads}
        assert len(threads) > 1 or not linux
        assert min(nicer) == max(nicer)
        assert (nicer.pop() > 0) is behind
        assert os.getsid(client.pid) == os.getsid(0)


class Pipe:
    """A worker without a client, for lines that a client never sends."""

    def __init__(self, log: Path) -> None:
        self.process = subprocess.Popen(
            [*WORKER_COMMAND, "--log", str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def end(self, data: bytes) -> tuple[int, bytes]:
        """Send all this, close the pipe, and return the exit code and what was said."""
        said, _ = self.process.communicate(data, timeout=60)
        return self.process.returncode, said

    def tell(self, data: bytes) -> int:
        """Send this, keep the pipe open, and return the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.process.communicate()


@pytest.mark.parametrize("line", [b"nonsense\n", b"\n", b"\xff\n", b'{"request_kind":"load"}\n'])
def test_a_line_that_is_no_request_ends_the_worker(tmp_path: Path, line: bytes) -> None:
    """Were it only ignored, or were only the reading thread to die, the app would wait for ever."""
    assert Pipe(tmp_path / "log").tell(line) == 2
    assert "not a request" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_closed_pipe_ends_the_worker_quietly(tmp_path: Path) -> None:
    assert Pipe(tmp_path / "log").end(b"") == (0, b"")
    assert Pipe(tmp_path / "log").end(encode(Cancel(number=5))) == (0, b"")


def test_a_shutdown_ends_the_worker(tmp_path: Path) -> None:
    assert Pipe(tmp_path / "log").tell(encode(Cancel()) + encode(Shutdown())) == 0


APP = """
import asyncio, sys
from contextlib import aclosing
from pathlib import Path
from slmtui.core.events import *
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import *

async def main():
    client = await WorkerClient.start(Path(sys.argv[1]))
    async for event in client.request(Load(path=sys.argv[2], threads=1, context=8192)):
        last = event
    assert isinstance(last, Loaded), last
    if sys.argv[3] == "idle":
        print(client.pid, flush=True)
        await asyncio.sleep(600)
    wishes = {
        "decoding": Generate(prompt="Once", sampling=Sampling(max_tokens=8000), ignore_end=True),
        "reading": Generate(prompt="Lily saw a big red ball and " * 800),
        "measuring": Measure(prompt_tokens=8000, repetitions=99),
    }
    async for event in client.request(wishes[sys.argv[3]]):
        if isinstance(event, MemorySampled):
            continue
        if isinstance(event, (Tokens, Prefilled)):
            print(client.pid, flush=True)
            await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("phase", ["idle", "decoding", "reading", "measuring"])
async def test_a_worker_ends_when_the_app_is_killed(tmp_path: Path, phase: str) -> None:
    app = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APP, str(tmp_path / "log"), str(F16), phase, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert app.stdout is not None
        pid = int(await app.stdout.readline())
        children = descendants(pid)
        assert lives(pid)
        assert children
        app.kill()
        assert await app.wait() == -signal.SIGKILL
        await until(lambda: not lives(pid) and not any(map(lives, children)), 15)
    finally:
        if app.returncode is None:
            app.kill()
            await app.wait()


async def test_a_stopped_worker_goes_on_after_a_continue(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        process = psutil.Process(client.pid)
        async with aclosing(client.request(tell("Once", 300, ignore_end=True))) as stream:
            await anext(stream)
            process.suspend()
            process.resume()
            events = [event async for event in stream]
        done(events, StopReason.LIMIT)


async def test_many_workers_at_once(tmp_path: Path) -> None:
    """Started and ended in any order, none is left."""
    clients = [await WorkerClient.start(tmp_path / f"log{number}") for number in range(3)]
    pids = [client.pid for client in clients]
    for client in clients:
        events = await run(client, Load(path=str(STORY), inspect_only=True))
        assert isinstance(events[-1], Inspected)
    for client in reversed(clients):
        assert await client.close() == 0
    assert not any(map(lives, pids))


async def test_measuring_and_loading_need_no_answer_from_a_reader(tmp_path: Path) -> None:
    """Events of a request that was left are not mixed into the next one."""
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        async with aclosing(client.request(Measure(prompt_tokens=64, generated_tokens=64, repetitions=500))) as stream:
            await anext(stream)
        events = await run(client, Load(path=str(F16), threads=1))
        assert isinstance(events[0], Loading)
        assert isinstance(events[-1], Loaded)
        assert {event.request for event in events} == {events[0].request}
