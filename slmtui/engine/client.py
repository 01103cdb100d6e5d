"""The app's end of one worker process: starts it, sends requests, yields its events, notices its death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from slmtui.core.events import AnyEvent, Done, Ending, Failed, FailureKind
from slmtui.engine import protocol

WORKER_COMMAND = (sys.executable, "-P", "-m", "slmtui.engine.worker")
"""-P keeps a `random.py` in the folder where the person works from being taken for Python's own."""
CANCEL_PATIENCE_S = 5.0
"""A worker that has not ended its request this long after a cancel is killed."""
SHUTDOWN_PATIENCE_S = 2.0
SPIN_ROUNDS = "100000"
_LOG_TAIL_BYTES = 2000
_OUT_OF_MEMORY = "Insufficient Memory"
"""Of Metal's `kIOGPUCommandBufferCallbackErrorOutOfMemory`."""


class WorkerBusyError(RuntimeError):
    """A second request was made while one runs; a worker does one thing at a time."""


class WorkerClient:
    """One worker process and the pipe to it.

    Use `start`, then iterate over `request(...)`; the iterator always ends with exactly one of
    `Inspected`, `Loaded`, `Done` or `Failed`. A worker that dies is reported as `Failed` of kind `CRASHED`.
    """

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path
        self._number = 0
        self._running = False

    @classmethod
    async def start(
        cls, log_path: Path, command: Sequence[str] = WORKER_COMMAND, *, behind: bool = False
    ) -> WorkerClient:
        """Start a worker whose own output and engine log go to `log_path`; `behind` lets all other programs go first.

        Raises:
            OSError: the interpreter cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            "--log",
            str(log_path),
            *(["--behind"] if behind else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=protocol.LINE_LIMIT_BYTES,
            env=worker_environment(),
            process_group=0,  # keeps the terminal's Ctrl-C away from the worker; on Windows the flags do
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        return cls(process, log_path)

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not been seen to end."""
        return self._process.returncode is None

    @property
    def busy(self) -> bool:
        """Whether a request is running."""
        return self._running

    async def request(self, request: protocol.Request) -> AsyncGenerator[AnyEvent]:
        """Send a request and yield its events, the last of which is its ending.

        Closing the iterator early cancels the request and waits until the worker is free again.

        Raises:
            WorkerBusyError: another request is running.
        """
        if self._running:
            raise WorkerBusyError("this worker is busy; cancel its request first")
        self._running = True
        self._number += 1
        number = self._number
        ended = False
        try:
            self._send(msgspec.structs.replace(request, number=number))
            with contextlib.suppress(ConnectionError):  # the reader reports the death of the worker
                await self._stdin.drain()
            while not ended:
                event = await self._next_event(number)
                ended = isinstance(event, Ending)
                yield event
        finally:
            if not ended:
                await self._abandon(number)
            self._running = False

    async def cancel(self) -> None:
        """Ask the running request to stop; its ending arrives through its iterator as usual."""
        self._send(protocol.Cancel(number=self._number))

    async def close(self) -> int:
        """End the process, gently first, and return its exit code."""
        if self.alive:
            self._send(protocol.Shutdown())
            try:
                await asyncio.wait_for(self._process.wait(), SHUTDOWN_PATIENCE_S)
            except TimeoutError:
                self.kill()
        code = await self._process.wait()
        if self._process.stdout is not None:
            with contextlib.suppress(RuntimeError):  # whoever iterates over a request reads to the end
                await self._process.stdout.read()  # which also closes the pipe
        return code

    def kill(self) -> None:
        """End the process at once; whatever runs is reported as crashed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    @property
    def _stdin(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None
        return self._process.stdin

    def _send(self, request: protocol.Request) -> None:
        """Queue a request without waiting: a worker that was stopped or hangs does not read."""
        self._stdin.write(protocol.encode(request))

    async def _next_event(self, number: int) -> AnyEvent:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            try:
                line = await stdout.readline()
                if not line.endswith(b"\n"):
                    return await self._crashed(number)
                event = protocol.decode_event(line)
            except (ValueError, msgspec.DecodeError) as error:
                self.kill()
                return Failed(
                    request=number,
                    kind=FailureKind.INTERNAL,
                    message=f"The worker said something that is not in its protocol ({error}). It was ended; "
                    "load the model again and report this.",
                    log_tail=self._log_tail(),
                )
            if event.request == number:
                return event

    async def _abandon(self, number: int) -> None:
        """Cancel a request whose events nobody reads any more; kill a worker that does not obey."""
        if not self.alive:
            return
        await self.cancel()
        try:
            async with asyncio.timeout(CANCEL_PATIENCE_S):
                while not isinstance(await self._next_event(number), Ending):
                    pass
        except TimeoutError:
            self.kill()
            await self._process.wait()

    async def _crashed(self, number: int) -> Failed:
        code = await self._process.wait()
        tail = self._log_tail()
        if code == 0:
            return Failed(request=number, kind=FailureKind.CANCELLED, message="The worker was shut down.")
        return Failed(
            request=number,
            kind=FailureKind.CRASHED,
            message=_death_sentence(code, tail),
            log_tail=tail,
            signal=-code if code < 0 else None,
        )

    def _log_tail(self) -> str:
        try:
            with self._log_path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


def cancelled(event: AnyEvent) -> bool:
    """Whether the event is the ending of a request that was cancelled."""
    from slmtui.core.events import StopReason

    match event:
        case Done(reason=StopReason.CANCELLED) | Failed(kind=FailureKind.CANCELLED):
            return True
        case _:
            return False


def _death_sentence(code: int, log_tail: str) -> str:
    """What ended a worker, for a person; Metal ends its process where the GPU's memory runs out, and only logs why."""
    if code >= 0:
        return f"The worker ended by itself with exit code {code}. Load the model again; the log says more."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return (
            "The worker was killed (SIGKILL), by somebody or by the system because memory ran out. "
            "Load the model again, with a smaller context or variant if memory is short."
        )
    if _OUT_OF_MEMORY in log_tail:
        return (
            f"Memory ran out on the GPU, which ended the worker ({name}). Load the model again with a smaller context, "
            "or choose a smaller variant."
        )
    return (
        f"The engine crashed ({name}). The other models are not affected. Load the model again; "
        "if it happens again, run `slmtui doctor`."
    )


def worker_environment() -> dict[str, str]:
    """The worker's environment; what a person set for OpenMP stays.

    GGML_ASSERT may not fork a debugger onto the terminal. libgomp's threads spin at a barrier for 300,000 rounds before
    they sleep, so one stolen core stops all of them; workers spin for less. `benchmarks/contention.py` prints what that
    gives beside a busy process and what it costs on an idle machine.
    """
    return {
        **({} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": SPIN_ROUNDS}),
        **os.environ,
        "GGML_NO_BACKTRACE": "1",
        "PYTHONUNBUFFERED": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
