"""The worker process: one model, one request at a time, JSON lines on pipes that native code cannot reach.

`python -m slmtui.engine.worker --log FILE` reads requests from standard input and writes events to what was
standard output when it started. llama.cpp, MLX and Python's own prints go to the log file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import sys
import threading
import time
from typing import BinaryIO

import msgspec

from slmtui.core.events import AnyEvent, Done, Failed, FailureKind, StopReason
from slmtui.engine import backends, protocol
from slmtui.engine.gauge import Gauge

_LOG_TAIL_BYTES = 2000
_BROKEN_PROTOCOL = 2
_BEHIND = 10
"""How much nicer than the app a worker is that shall not slow it down: Linux gives it a tenth of the app's share."""


class _Numbered(msgspec.Struct):
    number: int


class Worker:
    """Reads requests on one thread, runs them on the calling thread."""

    def __init__(self, requests: BinaryIO, events: BinaryIO) -> None:
        self._requests = requests
        self._events = events
        self._write_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[protocol.AnyRequest, float]] = queue.SimpleQueue()
        self._backend: backends.Backend | None = None
        self._engine = ""
        self._gauge = Gauge()
        self._running: int | None = None
        self._cancelled: set[int] = set()
        self._ending = False

    def run(self) -> int:
        """Serve until `Shutdown`; a closed input means that the app is gone and ends the process at once."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            request, accepted_s = self._waiting.get()
            if isinstance(request, protocol.Shutdown):
                break
            self._serve(request, accepted_s)
        if self._backend is not None:
            self._backend.close()
        return 0

    def _read(self) -> None:
        code = _BROKEN_PROTOCOL
        try:
            for line in self._requests:
                accepted_s = time.perf_counter()
                try:
                    self._accept(protocol.decode_request(line), accepted_s)
                except msgspec.DecodeError as error:
                    self._refuse(line, error)
            code = 0
        except msgspec.DecodeError as error:
            os.write(2, f"not a request: {error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(code)  # native code may run on the other thread for a long time yet

    def _refuse(self, line: bytes, why: msgspec.DecodeError) -> None:
        """Say that a request has a value that it cannot have.

        Raises:
            msgspec.DecodeError: the line is no request at all, so nobody waits for its ending.
        """
        number = msgspec.json.decode(line, type=_Numbered).number
        self._write(
            Failed(request=number, kind=FailureKind.BAD_REQUEST, message=f"The worker cannot take this request: {why}.")
        )

    def _accept(self, request: protocol.AnyRequest, accepted_s: float) -> None:
        match request:
            case protocol.Cancel():
                self._cancel(request.number)
            case protocol.Shutdown():
                self._ending = True
                self._cancel(self._running)
                self._waiting.put((request, accepted_s))
            case _:
                self._waiting.put((request, accepted_s))

    def _cancel(self, number: int | None) -> None:
        with self._state_lock:
            if number is None:
                return
            self._cancelled.add(number)
            if number == self._running and self._backend is not None:
                self._backend.cancel()

    def _serve(self, request: protocol.AnyRequest, accepted_s: float) -> None:
        number = request.number

        def emit(event: AnyEvent) -> None:
            self._write(msgspec.structs.replace(event, request=number))

        try:
            backend = self._prepare(request)
            with self._gauge.watching(emit, backend.watched):
                ending = _dispatch(backend, request, emit, accepted_s)
        except backends.EngineError as error:
            ending = Failed(kind=error.kind, message=error.message, log_tail=_log_tail())
        except MemoryError:
            ending = Failed(
                kind=FailureKind.OUT_OF_MEMORY,
                message="Memory ran out in the worker. Choose a smaller context or a smaller variant.",
            )
        with self._state_lock:
            self._running = None
        emit(ending)

    def _prepare(self, request: protocol.AnyRequest) -> backends.Backend:
        """The backend that the request is for, ready to be cancelled."""
        if isinstance(request, protocol.Load) and request.engine != self._engine:
            if self._backend is not None:
                self._backend.close()
            self._backend, self._engine = backends.create(request.engine), request.engine
        if self._backend is None:
            raise backends.EngineError(FailureKind.BAD_REQUEST, "No model is loaded; load one first.")
        with self._state_lock:
            self._running = request.number
            self._backend.reset()
            if self._ending or request.number in self._cancelled:
                self._backend.cancel()
            self._cancelled.clear()
        return self._backend

    def _write(self, event: AnyEvent) -> None:
        with self._write_lock:
            try:
                self._events.write(protocol.encode(event))
                self._events.flush()
            except BrokenPipeError:
                os._exit(0)


def _dispatch(
    backend: backends.Backend, request: protocol.AnyRequest, emit: backends.Emit, accepted_s: float
) -> AnyEvent:
    match request:
        case protocol.Load():
            return backend.load(request, emit)
        case protocol.Generate():
            return backend.generate(request, emit, accepted_s)
        case protocol.Measure():
            return backend.measure(request, emit)
        case protocol.Score():
            return backend.score(request, emit)
        case _:
            return Done(reason=StopReason.COMPLETED)


def _log_tail() -> str:
    """The end of the log, which is this process's file descriptor 2."""
    with contextlib.suppress(OSError):
        size = os.fstat(2).st_size
        return os.pread(2, _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES)).decode("utf-8", "replace")
    return ""


def _take_over_pipes(log_path: str) -> tuple[BinaryIO, BinaryIO]:
    """Move the protocol off file descriptors 0 and 1 and point 0, 1 and 2 elsewhere; returns (requests, events).

    llama.cpp and its binding print to 1 and 2, and the binding redirects both while it loads.
    """
    requests, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    try:
        log = os.open(log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        log = null
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    return requests, events


def _go_behind() -> None:
    """Lower the priority of this process; its threads must not have begun yet."""
    if sys.platform == "win32":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(_BEHIND)


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="slmtui.engine.worker", description=__doc__)
    parser.add_argument("--log", required=True, help="file that takes everything the engine prints")
    parser.add_argument("--behind", action="store_true", help="let other programs have the processor first")
    arguments = parser.parse_args()
    if arguments.behind:
        _go_behind()
    requests, events = _take_over_pipes(arguments.log)
    return Worker(requests, events).run()


if __name__ == "__main__":
    sys.exit(main())
