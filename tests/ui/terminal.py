"""The app on a pseudo-terminal that keeps a picture of its screen, for tests that press keys and read what is shown."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pyte

PATIENCE_S = 60.0
KEYS = {
    "enter": "\r",
    "esc": "\x1b",
    "down": "\x1b[B",
    "ctrl+l": "\x0c",
    "ctrl+q": "\x11",
    "f2": "\x1bOQ",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "f6": "\x1b[17~",
}


COMMAND = (sys.executable, "-m", "slmtui")
ENDLESS = """
from functools import partial
from slmtui.cli import main
from slmtui.engine.protocol import Generate
from slmtui.lab import talk
talk.Generate = partial(Generate, ignore_end=True)
raise SystemExit(main())
"""
"""The app, whose answers end at their limit alone: a test has time to interfere with one."""


class Terminal:
    """A terminal of a size, with a process on it, which it tells that it has gone if it is the controlling one.

    Linux and macOS.
    """

    def __init__(
        self, columns: int, rows: int, *, controlling: bool = False, endless: bool = False, **environment: str
    ) -> None:
        self._ours, theirs = pty.openpty()
        self._kept = theirs  # an end that stays open keeps the terminal's settings readable after the app has left
        self._size(columns, rows)
        self.settings_before = termios.tcgetattr(theirs)
        self.sent = bytearray()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.process = psutil.Popen(
            (sys.executable, "-c", ENDLESS) if endless else COMMAND,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=partial(fcntl.ioctl, theirs, termios.TIOCSCTTY, 0) if controlling else None,
            env={**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **environment},
        )

    @property
    def settings(self) -> list[object]:
        """The terminal's settings, as `stty` shows them."""
        return list(termios.tcgetattr(self._kept))

    def _size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._kept, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size as somebody does who pulls at a window's corner."""
        self._size(columns, rows)
        self._screen.resize(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def look(self, wait_s: float = 0.05) -> str:
        """Take in what was sent meanwhile and return the screen's text."""
        while select.select([self._ours], [], [], wait_s)[0]:
            piece = os.read(self._ours, 65536)
            self.sent += piece
            self._stream.feed(piece)
            wait_s = 0
        return "\n".join(self._screen.display)

    def until(self, predicate: Callable[[str], object], what: str) -> str:
        """Wait until the screen's text is as wanted, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while not predicate(screen := self.look()):
            assert self.process.poll() is None, f"the app ended before {what}\n{screen}"
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{screen}"
        return screen

    def looks(self, text: str) -> tuple[str, str, bool]:
        """Foreground, background and whether they are changed round, where the text begins on the screen."""
        row, line = next(at for at in enumerate(self._screen.display) if text in at[1])
        cell = self._screen.buffer[row][line.index(text)]
        return cell.fg, cell.bg, cell.reverse

    def press(self, *keys: str) -> None:
        """Send keys by name, or text as it is."""
        os.write(self._ours, "".join(KEYS.get(key, key) for key in keys).encode())

    def end(self) -> int:
        """Wait until the process has ended; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end\n{self.look()}"
            self.look()
        self.look()
        return int(self.process.returncode)

    def worker(self, model: str, among: list[psutil.Process] | None = None) -> psutil.Process:
        """The worker process that has the model's file open in memory."""
        for child in self.process.children(recursive=True) if among is None else among:
            with suppress(psutil.Error):
                if any(Path(region.path).name == model for region in child.memory_maps()):
                    return child
        raise AssertionError(f"no worker has loaded {model}")

    def close(self) -> None:
        """End what is left."""
        with suppress(psutil.Error):  # usually it has ended long ago
            for process in [*self.process.children(recursive=True), self.process]:
                process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.vanish()

    def vanish(self) -> None:
        """Close the terminal, as when its window or connection is lost."""
        for end in (self._ours, self._kept):
            with suppress(OSError):
                os.close(end)


@contextmanager
def app_on_terminal(
    columns: int = 120, rows: int = 36, *, controlling: bool = False, endless: bool = False, **environment: str
) -> Iterator[Terminal]:
    """The app, running, with more in its environment."""
    terminal = Terminal(columns, rows, controlling=controlling, endless=endless, **environment)
    try:
        yield terminal
    finally:
        terminal.close()


@contextmanager
def slow_motion(process: psutil.Process, run_s: float = 0.0005, rest_s: float = 0.05) -> Iterator[None]:
    """Let a process run for moments only: the demo models answer faster than a test can press a key."""
    over = threading.Event()
    process.suspend()

    def pulse() -> None:
        while not over.wait(rest_s):
            with suppress(psutil.Error):
                process.resume()
                time.sleep(run_s)
                process.suspend()

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(psutil.Error):
            process.resume()
