"""The Models screen with its 120 rows: from a key in the find field to the frame that shows the rows that are left.

python benchmarks/models_filter.py [--runs N]

The app runs in a pseudo-terminal. The clock runs from writing the key until the frame has come that shows the letter,
the rows that are left and their number: its last byte, after which nothing comes for 5 ms. What follows a frame later,
the scrollbar and keys in the footer that another row greys, is not in the figure. Words are typed letter by letter and
taken back, so that every number of rows between none and all is met. Beside it stands the processor time that the app
took for a key, which other programs on the machine change less. Ends with 1 when one key in twenty takes over 50 ms.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time

import psutil

LIMIT_MS = 50.0
WORDS = ("qwen", "smollm2", "apache-2.0", "nobody's", "e")
SIZES = ((80, 24), (120, 36), (200, 60))
FRAME_S, CALM_S = 0.005, 0.06
"""Silence that ends a frame, and that ends all that a key changed."""
PATIENCE_S = 30.0
_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_COUNT = re.compile(rb"\d+ of \d+|\d{3} models")


def main() -> int:
    """Measure and print; 1 when too many keys took longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often all words are typed (default: 3)")
    runs = parser.parse_args().runs
    slow = False
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(SLMTUI_HOME=home, HF_HOME=home, TERM="xterm-256color", COLORTERM="truecolor")
        for width, height in SIZES:
            times, cpu_ms = typed(width, height, runs)
            p95 = statistics.quantiles(times, n=20)[-1]
            slow = slow or p95 > LIMIT_MS
            print(f"{width}x{height}: {len(times)} keys, median {statistics.median(times):.1f} ms, "
                  f"p95 {p95:.1f} ms (at most {LIMIT_MS:g}), longest {max(times):.1f} ms; "
                  f"processor {cpu_ms:.1f} ms a key")  # fmt: skip
    return int(slow)


def typed(width: int, height: int, runs: int) -> tuple[list[float], float]:
    """Milliseconds of each key, and the processor time of one on average."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "slmtui"])
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        until_quiet(terminal, _COUNT, quiet_s=1.2)  # the machine is detected and the bundled models are read
        os.write(terminal, b"/")
        until_quiet(terminal, re.compile(rb"esc shows all"), quiet_s=0.5)
        times: list[float] = []
        process, cpu_s = psutil.Process(pid), 0.0
        for run in range(runs + 1):
            cpu_s = cpu_s or (_cpu_s(process) if run else 0.0)
            for word in WORDS:
                for key in [*word, *["\x7f"] * len(word)]:
                    started = time.perf_counter()
                    os.write(terminal, key.encode())
                    painted = until_quiet(terminal, _COUNT, quiet_s=FRAME_S)
                    until_quiet(terminal, re.compile(b""), quiet_s=CALM_S)
                    times += [(painted - started) * 1000] if run else []
        return times, (_cpu_s(process) - cpu_s) / len(times) * 1000
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(terminal)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def until_quiet(terminal: int, wanted: re.Pattern[bytes], quiet_s: float) -> float:
    """When the last byte came, once what is wanted has come and nothing more for a while."""
    seen, last = b"", time.perf_counter()
    deadline = last + PATIENCE_S
    while time.perf_counter() < deadline:
        found = wanted.search(_ANSI.sub(b"", seen)) is not None
        if select.select([terminal], [], [], quiet_s if found else 0.5)[0]:
            seen += os.read(terminal, 1 << 16)
            last = time.perf_counter()
        elif found:
            return last
    raise SystemExit(f"it did not come: {wanted.pattern!r} in {seen[-500:]!r}")


if __name__ == "__main__":
    sys.exit(main())
