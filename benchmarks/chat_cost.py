"""What the screen costs: four models that answer together in the app, against the same request without a screen.

python benchmarks/chat_cost.py [--size 2m|125m|both] [--rounds N] [--tokens N] [--keys-per-s N]

One side is the real `slmtui` in a pseudo-terminal that is drained as a terminal does it: four marked columns, one
question to all of them together, letters typed into the prompt meanwhile, each timed until the terminal has received
the field with that letter in it. The other is the same lab path in a process that only takes the events. Workers,
models, threads, sampling and seed are the same; the sides take turns, and while one answers the other is stopped.
Decode speeds are read from each side's store. A round's ratio is the geometric mean of the four models' ratios;
printed are the rounds' mean with a 95 % bootstrap interval, and the keys' percentiles.

"2m" has the shape of Pocket 2M, which makes the app's part look as large as it can; "125m" has the size of the smallest
models that people use. Both have random weights, and their answers end only at the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import math
import os
import pty
import random
import re
import select
import signal
import sqlite3
import statistics
import string
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import long_answers
import psutil
import pyte
from peers import ROOT

from slmtui.core.stats import quantile

COLUMNS, ROWS = 170, 45
MODELS = 4
COMMAND = [sys.executable, "-m", "slmtui"]
QUESTION = "Tell me everything about prefill and decode."
SEED = 7
PATIENCE_S = 60.0
LOST_S = 2.0
"""A key without an echo for this long counts with this latency."""
ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78])")
KEYS = {"enter": "\r", "esc": "\x1b", "f3": "\x1bOR", "f8": "\x1b[19~", "ctrl+l": "\x0c", "ctrl+o": "\x0f"}
KEYS |= {"ctrl+u": "\x15", "ctrl+s": "\x13", "tab": "\t", "ctrl+q": "\x11", "end": "\x1b[F"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("2m", "125m", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=8, help="counted rounds, after one warm-up (default: 8)")
    parser.add_argument("--tokens", type=int, help="tokens of each answer (default: 2000 at 2m, 160 at 125m)")
    parser.add_argument("--threads", type=int, help="of each worker on both sides (default: the program's choice)")
    parser.add_argument("--keys-per-s", type=float, default=4.0, help="letters typed while models answer (default: 4)")
    parser.add_argument("--headless", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.headless is not None:
        asyncio.run(headless(options.headless))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process is left behind
    print(f"{'models':<7} {'rounds':>6} {'app tok/s':>10} {'no screen':>10}  ratio (95 %)          "
          f"keys   p50    p99    max   app CPU   painted")  # fmt: skip
    for size in ("2m", "125m") if options.size == "both" else (options.size,):
        with tempfile.TemporaryDirectory(prefix="chat-cost-") as folder:
            compare(Path(folder), size, options)


def compare(folder: Path, size: str, options: argparse.Namespace) -> None:
    """All rounds with models of one size, and a line about them."""
    tokens = options.tokens or (2000 if size == "2m" else 160)
    make_models(folder / "models", size)
    homes = {side: home(folder, side, options.threads) for side in ("app", "headless")}
    chance = random.Random(SEED)
    with Headless(homes["headless"], folder / "models") as bare, App(homes["app"], tokens) as app:
        rounds: list[tuple[list[float], list[float]]] = []
        for number in range(options.rounds + 1):
            sides: dict[str, list[float]] = {}
            for side in ("app", "bare") if number % 2 else ("bare", "app"):
                if side == "app":
                    with stopped(bare.process):
                        app.ask(options.keys_per_s, chance)
                    sides[side] = speeds(homes["app"], number + 1, tokens)
                else:
                    with stopped(app.process):
                        bare.ask(tokens)
                    sides[side] = speeds(homes["headless"], number + 1, tokens)
            if number:
                rounds.append((sides["app"], sides["bare"]))
            else:
                app.forget()
        tell(size, rounds, app)


def tell(size: str, rounds: list[tuple[list[float], list[float]]], app: App) -> None:
    """One line of the table."""
    ratios = [math.exp(statistics.fmean(math.log(a / b) for a, b in zip(*pair, strict=True))) for pair in rounds]
    low, high = interval(ratios)
    ours, bare = (statistics.fmean(statistics.fmean(pair[side]) for pair in rounds) for side in (0, 1))
    waits = sorted(app.waits) or [math.nan]
    p50, p99 = (quantile(waits, share) * 1e3 for share in (0.5, 0.99))
    print(f"{size:<7} {len(rounds):>6} {ours:>10,.1f} {bare:>10,.1f}  {statistics.fmean(ratios):.3f} "
          f"({low:.3f} to {high:.3f})  {len(app.waits):>4}  {p50:>4.0f}   {p99:>4.0f}   {waits[-1] * 1e3:>4.0f} ms   "
          f"{app.cpu_s / app.asked_s:>5.1%}   {app.painted / app.asked_s / 1e3:>4.0f} kB/s", flush=True)  # fmt: skip


def interval(ratios: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    chance = random.Random(SEED)
    means = [statistics.fmean(chance.choices(ratios, k=len(ratios))) for _ in range(4000)]
    return quantile(means, 0.025), quantile(means, 0.975)


# -- what both sides use


def make_models(folder: Path, size: str) -> None:
    """Four files, each a model of its own."""
    folder.mkdir()
    for number in range(MODELS):
        long_answers.make(folder / f"cost{number}.gguf", long_answers.SIZES[size], seed=1000 * number)


def home(folder: Path, side: str, threads: int | None = None) -> Path:
    """A program folder whose settings name the models."""
    config = folder / side / "config"
    config.mkdir(parents=True)
    settings = f'folders = ["{folder / "models"}"]\ncontext = 4096\n'
    if threads is not None:
        settings += f"threads = {threads}\n"
    (config / "config.toml").write_text(settings, "utf-8")
    return folder / side


def environment(folder: Path) -> dict[str, str]:
    """What a process of either side runs in."""
    return {**os.environ, "SLMTUI_HOME": str(folder), "TERM": "xterm-256color", "COLORTERM": "truecolor",
            "PYTHONPATH": str(ROOT)}  # fmt: skip


def _stored(folder: Path, what: str) -> list[Any]:
    store = folder / "data" / "slmtui.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return connection.execute(f"SELECT {what} FROM measurement WHERE kind = 'chat' ORDER BY rowid").fetchall()


def answered(folder: Path) -> int:
    """How many answers are in the store: asked while models answer, so it must cost them nothing."""
    return int(_stored(folder, "count(*)")[0][0])


def answers(folder: Path) -> list[dict[str, Any]]:
    """The times of every answer in the store, oldest first."""
    return [json.loads(row[0]) for row in _stored(folder, "record")]


def speeds(folder: Path, asked: int, tokens: int) -> list[float]:
    """Decode tokens per second of the newest answer of each model, by model."""
    newest = sorted(answers(folder)[(asked - 1) * MODELS :], key=lambda answer: str(answer["model"]))
    timings = [answer["timing"] for answer in newest]
    lengths = [timing["generated_tokens"] for timing in timings]
    if lengths != [tokens] * MODELS:
        raise SystemExit(f"answers of {lengths} tokens instead of {tokens}")
    return [timing["decode_steps"] / timing["decode_s"] for timing in timings]


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """Nothing of a process runs meanwhile; its idle workers only wait for it."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


# -- the side without a screen


async def headless(folder: Path) -> None:
    """Load the models, then answer once for each line on standard input, saying when all have ended."""
    from slmtui.core.sampling import Sampling
    from slmtui.lab.loaded import LoadedModel
    from slmtui.lab.services import Services
    from slmtui.lab.talk import Seat, ask_all

    services = Services.open(strict=True)
    paths = await asyncio.to_thread(lambda: sorted(folder.glob("*.gguf")))
    seats = [Seat(LoadedModel(services, services.find(str(path)))) for path in paths]
    for seat in seats:
        async for _ in seat.loaded.load():
            pass
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        sampling = Sampling(seed=SEED, max_tokens=int(line))
        for seat in seats:
            seat.messages = []
        async for _ in ask_all(seats, QUESTION, sampling, "together"):
            pass
        print("done", flush=True)
    await services.close()


class Headless:
    """The process without a screen."""

    def __init__(self, folder: Path, models: Path) -> None:
        self._pipe = subprocess.Popen(
            [sys.executable, __file__, "--headless", str(models)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(folder), start_new_session=True,
        )  # fmt: skip
        self.process = psutil.Process(self._pipe.pid)

    def __enter__(self) -> Headless:
        self._expect("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.resume()
        with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._pipe.communicate(timeout=10)
        self._pipe.kill()

    def ask(self, tokens: int) -> None:
        """One question to all four, to the end."""
        assert self._pipe.stdin is not None
        self._pipe.stdin.write(f"{tokens}\n")
        self._pipe.stdin.flush()
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self._pipe.stdout is not None
        if (line := self._pipe.stdout.readline().strip()) != word:
            raise SystemExit(f"the side without a screen said {line!r} instead of {word!r}")


# -- the app


class App:
    """The real app on a pseudo-terminal, driven by keys."""

    def __init__(self, folder: Path, tokens: int) -> None:
        self._folder, self._tokens = folder, tokens
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = psutil.Popen(
            COMMAND,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment(folder), cwd=ROOT,
        )  # fmt: skip
        os.close(theirs)
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._asked = 0
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.waits: list[float] = []
        self.cpu_s = self.asked_s = 0.0
        self.painted = 0

    def _mark(self, number: int) -> None:
        other = f"cost{(number + 1) % MODELS}"
        self._press("/")
        self._until(lambda text: "name, maker" in text, "the field that filters")
        self._press(f"cost{number}", "enter")
        self._until(lambda text: other not in text, "one row")
        self._press(" ")
        self._until(lambda text: f"{number + 1} marked" in text, "a mark")
        self._press("esc")
        self._until(lambda text: other in text, "all rows")

    def __enter__(self) -> App:
        self._until(lambda text: all(f"cost{number}" in text for number in range(MODELS)), "the models")
        for number in range(MODELS):
            self._mark(number)
        self._press("f3")
        self._until(lambda text: text.count("loaded in") == MODELS, "four loaded models")
        self._press("ctrl+o")
        self._until(lambda text: "● together" in text, "the order")
        self._press("f8")
        self._until(lambda text: "Settings of this chat" in text, "the settings")
        self._press(*["tab"] * 6, "end", "ctrl+u", str(SEED), "tab", "end", "ctrl+u", str(self._tokens))
        self._until(lambda text: re.search(rf"Limit\W+{self._tokens}\b", text), "the limit")
        self._press("ctrl+s")
        self._until(lambda text: "Settings of this chat" not in text, "the chat")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.resume()
        processes = [*self.process.children(recursive=True), self.process]
        self._press("ctrl+q")
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def ask(self, keys_per_s: float, chance: random.Random) -> None:
        """Put the question to all four and type letters until all have ended."""
        self._press("ctrl+u", "ctrl+l", QUESTION)
        self._until(lambda text: QUESTION in text and "tokens" not in text, "the question in its field")
        self._asked += MODELS
        cpu, began = sum(self.process.cpu_times()[:2]), time.monotonic()
        self._press("enter")
        self._type(keys_per_s, chance)
        self.asked_s += time.monotonic() - began
        self.cpu_s += sum(self.process.cpu_times()[:2]) - cpu
        self._press("ctrl+u")
        self._until(lambda text: len(re.findall(r"\d tokens", text)) >= MODELS, "the remarks under the answers")

    def _type(self, keys_per_s: float, chance: random.Random) -> None:
        typed, next_key, next_look = "", time.monotonic() + 0.5, time.monotonic() + 0.5
        while True:
            now = time.monotonic()
            if now >= next_look:
                if answered(self._folder) >= self._asked:
                    return
                if now > next_look + PATIENCE_S:
                    raise SystemExit("the answers do not end")
                next_look = now + 0.5
            if keys_per_s and now >= next_key:
                if len(typed) >= 60:
                    self._press("ctrl+u")
                    self._drain(0.2)
                    typed = ""
                typed += chance.choice(string.ascii_uppercase)
                self.waits.append(self._echo(typed))
                next_key = now + 1 / keys_per_s * chance.uniform(0.5, 1.5)
            self._drain(max(0.0, min(next_key, next_look) - time.monotonic()))

    def _echo(self, typed: str) -> float:
        """Seconds from pressing the last letter until the terminal was told to show it."""
        wanted, heard = typed[-8:].encode(), b""
        began = time.monotonic()
        os.write(self._terminal, typed[-1].encode())
        while (waited := time.monotonic() - began) < LOST_S:
            heard += self._read(LOST_S - waited)
            if wanted in ESCAPES.sub(b"", heard):
                return time.monotonic() - began
        return LOST_S

    def _drain(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._read(left)

    def _read(self, wait_s: float) -> bytes:
        if not select.select([self._terminal], [], [], wait_s)[0]:
            return b""
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:  # the app has left
            return b""
        self.painted += len(piece)
        self._unseen += piece
        return piece

    def _until(self, predicate: Callable[[str], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._read(0.05)
            self._stream.feed(bytes(self._unseen))
            self._unseen.clear()
            text = "\n".join(self._screen.display)
            if predicate(text):
                return
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"waited in vain for {what}\n{text}")

    _unseen = bytearray()

    def _press(self, *keys: str) -> None:
        for key in keys:
            os.write(self._terminal, KEYS.get(key, key).encode())
            if key in KEYS:
                time.sleep(0.1)


if __name__ == "__main__":
    main()
