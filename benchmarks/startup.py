"""Start-up: first paint against an empty Textual app, `slmtui --help`, and the app's own memory.

python benchmarks/startup.py [--runs N]

Both apps start in a pseudo-terminal, in turn. First paint is the time from starting the process until the terminal
has received the text that the app is for, ours the first model's name; resident memory is that of the app's process
alone, without its workers, two seconds later. Prints medians and the ratio of each pair.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

EMPTY_APP = """
from textual.app import App, ComposeResult
from textual.widgets import Static
class Empty(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("slmtui-empty")
Empty().run()
"""
SETTLE_S = 2.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="counted runs of each, after one warm-up (default: 9)")
    runs = parser.parse_args().runs
    python = sys.executable
    with tempfile.TemporaryDirectory() as home:
        os.environ["SLMTUI_HOME"] = home
        pairs = [
            (first_paint([python, "-m", "slmtui"], b"Pocket"), first_paint([python, "-c", EMPTY_APP], b"slmtui-empty"))
            for _ in range(runs + 1)
        ][1:]
        helps = [wall([python, "-m", "slmtui", "--help"]) for _ in range(runs + 1)][1:]
    ours = [pair[0] for pair in pairs]
    empty = [pair[1] for pair in pairs]
    ratio = statistics.median(own[0] / bare[0] for own, bare in pairs)
    print(f"first paint   slmtui {_median(ours, 0):.3f} s   empty Textual app {_median(empty, 0):.3f} s   "
          f"ratio {ratio:.2f} (at most 2.5)")  # fmt: skip
    print(f"--help        {statistics.median(helps):.3f} s (at most 0.25)")
    print(f"memory (RSS)  slmtui {_median(ours, 1) / 1e6:.0f} MB (under 150)   "
          f"empty Textual app {_median(empty, 1) / 1e6:.0f} MB")  # fmt: skip


def first_paint(command: list[str], wanted: bytes) -> tuple[float, float]:
    """Seconds until the terminal shows `wanted`, and the process's resident bytes after it settled."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    painted: float | None = None
    seen = b""
    deadline = started + 30
    while time.perf_counter() < (deadline if painted is None else painted + SETTLE_S):
        if select.select([terminal], [], [], 0.01)[0]:
            try:
                seen = (seen + os.read(terminal, 65536))[-200_000:]
            except OSError:
                break
        if painted is None and wanted in seen:
            painted = time.perf_counter()
    if painted is None:
        raise SystemExit(f"{command} did not paint: {seen[-500:]!r}")
    resident = psutil.Process(pid).memory_info().rss
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    os.close(terminal)
    return painted - started, resident


def wall(command: Sequence[str]) -> float:
    """Seconds that a command takes as a whole process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _median(runs: Sequence[tuple[float, float]], index: int) -> float:
    return statistics.median(run[index] for run in runs)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
