"""What ctrl+c and signals leave: exit codes, what is kept and said, and no process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import (
    STORY,
    assert_nothing_left,
    endless_story,
    processes_of,
    run,
    start,
    wait_for,
)
from tests.mlx_models import ENGINES, Forms, endless

_INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                print("raised in the middle of an import")

sys.meta_path.insert(0, Interrupting())
from slmtui.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("argparse", ["models"]), ("slmtui.engine.protocol", ["models"]), ("slmtui.engine.protocol", [])],
)
def test_an_interrupt_while_modules_are_imported(module: str, arguments: list[str]) -> None:
    code = _INTERRUPTED_IMPORT.format(module=module, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"\nInterrupted.\n")


_INTERRUPTED_HASHING = """
import os, signal, sys, threading
from slmtui.cli import main
from slmtui.sources import hashes

def interrupting(*_):
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

hashes._digest = interrupting
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize("arguments", [["bench"], ["probe", "--task", "sentiment"]], ids=["bench", "probe"])
def test_an_interrupt_before_anything_is_kept_promises_nothing(arguments: list[str], home: Path) -> None:
    code = _INTERRUPTED_HASHING.format(arguments=[*arguments, str(STORY)])
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 130
    assert b"Traceback" not in done.stderr and b"--continue" not in done.stderr
    again = run(arguments[0], "--continue")
    assert again.returncode == 1 and "waits to be continued" in again.stderr
    assert_nothing_left(home)


def test_an_interrupted_chat(home: Path, tmp_path: Path) -> None:
    process = start("chat", endless_story(tmp_path), "--raw", "-p", "Once", "-t", "1", "-c", "32768", "-n", "32000")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(20), "the answer has begun"
    assert len(processes_of(home)) >= 2
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.decode().strip().endswith("Interrupted.")
    assert b"Traceback" not in said
    assert_nothing_left(home)


def test_an_interrupted_chat_whose_worker_hangs(home: Path, tmp_path: Path) -> None:
    process = start("chat", endless_story(tmp_path), "--raw", "-p", "Once", "-t", "1", "-c", "32768", "-n", "32000")

    def worker_stopped() -> bool:
        for one in processes_of(home):
            if "slmtui.engine.worker" in one.cmdline():
                one.suspend()
                return True
        return False

    wait_for(worker_stopped, "a worker")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert_nothing_left(home)


def test_an_interrupted_benchmark_keeps_what_was_measured(home: Path) -> None:
    process = start("bench", "pocket-2m", "-p", "16", "-n", "8", "-r", "100000", "-t", "1", "-o", "json")
    wait_for(lambda: len(stored()) >= 2, "two repetitions")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert_nothing_left(home)
    kept = stored()
    assert len(kept) >= 2
    # The repetition that was being written when the signal came is kept, but nobody hears of it.
    assert json.loads(out)[0]["repetitions"] in (len(kept), len(kept) - 1), "what was measured is printed too"
    assert json.loads(run("sessions", "--json").stdout)[0]["ended_at"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_workers_do_not_outlive_a_program_that_is_killed(number: signal.Signals, home: Path, tmp_path: Path) -> None:
    process = start("chat", endless_story(tmp_path), "--raw", "-p", "Once", "-t", "1", "-c", "32768", "-n", "32000")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(20), "the answer has begun"
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number
    assert_nothing_left(home)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_that_is_killed_is_told_and_fails(engine: str, mlx_forms: Forms, home: Path, tmp_path: Path) -> None:
    model = endless(mlx_forms("bf16"), tmp_path) if engine == "MLX" else endless_story(tmp_path)
    process = start("chat", model, "--raw", "-p", "Once", "-c", "32768", "-n", "32000")
    assert process.stdout is not None
    assert process.stdout.read(20), "the answer has begun"
    for one in processes_of(home):
        if "slmtui.engine.worker" in one.cmdline():
            one.kill()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"SIGKILL" in said
    assert b"Traceback" not in said
    assert_nothing_left(home)


def stored() -> list[object]:
    """The measurements of the latest session; none where there is none."""
    done = run("sessions", "latest", "--json")
    return list(json.loads(done.stdout)["measurements"]) if done.returncode == 0 else []
