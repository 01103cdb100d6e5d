"""What tests of the command line share: the program in a process, on pipes or on a terminal, and what it leaves."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests.engine.gguf_files import Gguf

STORY = Path(__file__).parents[1] / "fixtures" / "stories260K.gguf"
SLMTUI = (sys.executable, "-m", "slmtui")
PATIENCE_S = 60.0


def run(
    *arguments: str | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The program on pipes, to its end; `stdin` None is an empty standard input."""
    done = subprocess.run(
        [*SLMTUI, *map(str, arguments)],
        input=stdin or b"",
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=PATIENCE_S,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """The program on pipes, running."""
    return subprocess.Popen(
        [*SLMTUI, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def on_terminal(*arguments: str | Path, columns: int = 100) -> tuple[int, str]:
    """The program on a pseudo-terminal, to its end: exit code and everything that the terminal was sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*SLMTUI, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    sent = bytearray()
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says EIO when the last process has closed the terminal
                break
            if not piece:
                break
            sent += piece
        return process.wait(PATIENCE_S), sent.decode()
    finally:
        process.kill()
        os.close(ours)


def wait_for(predicate: Callable[[], object], what: str) -> None:
    """Poll until the predicate holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not predicate():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every living process that was started with this SLMTUI_HOME, workers included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLMTUI_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def story_with(folder: Path, token: str, name: str = "own.gguf") -> Path:
    """The story model with another text for its token `▁Lily`, which it says soon after "Once upon a time"."""
    model = Gguf.read(STORY)
    tokens = model.array("tokenizer.ggml.tokens")
    tokens[tokens.index("▁Lily")] = token
    folder.mkdir(parents=True, exist_ok=True)
    return model.write(folder / name)


def endless_story(folder: Path) -> Path:
    """The story model without an end of the story: it goes on until its limit."""
    model = Gguf.read(STORY)
    rare = len(model.array("tokenizer.ggml.tokens")) - 1
    model.set("tokenizer.ggml.eos_token_id", rare)
    folder.mkdir(parents=True, exist_ok=True)
    return model.write(folder / "endless.gguf")


def assert_nothing_left(home: Path) -> None:
    """Every process that has its files there has ended."""
    wait_for(lambda: not processes_of(home), "the end of every process")
