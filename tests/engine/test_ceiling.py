"""The child that measures the machine: really on this one, and with children that crash or hang."""

from __future__ import annotations

import ctypes
import math
import sys
from pathlib import Path

import msgspec
import pytest

from slmtui.core.ceiling import Ceiling
from slmtui.engine import bandwidth, ceiling, llama_matmul
from slmtui.engine.bandwidth import MIB, Part, buffer_bytes, passes, read_bandwidth
from slmtui.engine.ceiling import Order, measure
from slmtui.engine.llama_matmul import STEP_TYPES, WEIGHT_TYPES, Multiplier

ORDER = Order(threads=1, cache_bytes=1 * MIB, available_bytes=256 * MIB)
"""64 MiB: the tests' machine is shared."""


async def test_every_figure_is_there() -> None:
    found = await measure(ORDER)
    assert found.read_bytes_per_s is not None
    assert 0 < found.read_bytes_per_s < math.inf
    assert found.buffer_bytes == 64 * MIB
    assert found.reader in bandwidth.READERS
    assert {rate.type for rate in found.matmul} == set(WEIGHT_TYPES)
    assert all(0 < rate.flops < math.inf and rate.buffer for rate in found.matmul)
    for rate in found.matmul:
        sizes = [step.weights_bytes for step in rate.steps]
        expected = [16, 32] if rate.type in STEP_TYPES else []
        assert [round(size / MIB) for size in sizes] == expected, "an eighth of the memory at most"
        assert all(0 < step.bytes_per_s < math.inf for step in rate.steps)
    assert found.threads == 1
    assert found.cpu_share is not None
    assert 0 < found.cpu_share < 1.2
    assert found.engine is not None
    assert found.engine.startswith("llama.cpp via")
    assert found.measured_at is not None
    assert found.notes == ()


async def test_it_says_when_the_cache_may_have_helped() -> None:
    found = await measure(msgspec.structs.replace(ORDER, cache_bytes=33 * MIB))
    assert len(found.notes) == 1
    assert "64 MiB" in found.notes[0]
    assert "33 MiB" in found.notes[0]


def child(script: str) -> tuple[str, ...]:
    """A child that runs this and gets the measurement's arguments."""
    return (sys.executable, "-c", f"import os, signal, sys, time\n{script}")


BANDWIDTH = '{"read_bytes_per_s": 2e10, "threads": 1}'
HALF = '{"read_bytes_per_s": 2e10, "matmul": [{"type": "f16", "flops": 1e11}], "threads": 1}'
CRASH = "os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize(
    ("said", "expected", "words"),
    [
        ("", Ceiling(threads=1), "The measurement of the memory's bandwidth ended with signal 11."),
        (
            BANDWIDTH,
            msgspec.json.decode(BANDWIDTH, type=Ceiling),
            "The measurement of matrix multiplication ended with signal 11.",
        ),
        (
            HALF,
            msgspec.json.decode(HALF, type=Ceiling),
            "The measurement of matrix multiplication after f16 weights ended with signal 11.",
        ),
    ],
    ids=["at once", "in the engine", "in the engine's second type"],
)
async def test_a_crash_costs_what_was_not_said_yet(said: str, expected: Ceiling, words: str) -> None:
    lines = f"sys.stdout.write({said!r} + '\\n' + '{{\"thr')\nsys.stdout.flush()\n"
    found = await measure(ORDER, child(lines + CRASH))
    assert found.notes == (words,)
    assert msgspec.structs.replace(found, notes=(), measured_at=None) == expected


async def test_a_child_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "PATIENCE_S", 1.0)
    found = await measure(ORDER, child(f"print({BANDWIDTH!r}, flush=True)\ntime.sleep(600)"))
    assert found.read_bytes_per_s == 2e10
    assert found.notes == ("The measurement of matrix multiplication gave no answer within 1 s.",)


async def test_a_child_that_cannot_be_started(tmp_path: Path) -> None:
    found = await measure(ORDER, (str(tmp_path / "missing"),))
    assert (found.read_bytes_per_s, found.matmul) == (None, ())
    assert "could not be started" in found.notes[0]


async def test_it_is_told_about_the_machine() -> None:
    said = "import json; print(json.dumps({'notes': sys.argv[1:]}))"
    assert (await measure(ORDER, child(said))).notes == (
        *("--threads", "1"),
        *("--cache-bytes", str(MIB)),
        *("--available-bytes", str(256 * MIB)),
    )
    plain = Order(threads=3, extra_buffers=False)
    assert (await measure(plain, child(said))).notes == ("--threads", "3", "--plain-buffers")


@pytest.mark.parametrize(
    ("cache", "available", "expected"),
    [
        (32 * MIB, 16 * 1024 * MIB, 256 * MIB),
        (100 * MIB, 16 * 1024 * MIB, 400 * MIB),
        (100 * MIB, 800 * MIB, 200 * MIB),
        (100 * MIB, None, 400 * MIB),
        (None, 16 * 1024 * MIB, 512 * MIB),
    ],
)
def test_how_much_is_read(cache: int | None, available: int | None, expected: int) -> None:
    assert buffer_bytes(cache, available) == expected


def test_what_fits_into_a_cache_is_read_no_slower() -> None:
    """By half at most: the machine is shared, and the better of five tries on each side counts."""
    tries = [(read_bandwidth(1, MIB).bytes_per_s, read_bandwidth(1, 64 * MIB).bytes_per_s) for _ in range(5)]
    assert max(small for small, _ in tries) > 0.5 * max(large for _, large in tries)


@pytest.mark.parametrize("name", bandwidth.READERS)
@pytest.mark.parametrize("at", [0, MIB // 2, MIB - 1])
def test_a_reader_looks_at_every_byte(name: str, at: int) -> None:
    part = Part(MIB)
    part.write(MIB, 0.0)
    reader = bandwidth.READERS[name]([part], MIB)
    assert all(seconds > 0 for seconds in passes(reader, 1, 3))
    ctypes.memset(part.address + at, 2, 1)
    with pytest.raises(RuntimeError, match="does not hold what was written"):
        passes(reader, 1, 1)


def test_all_threads_end_when_one_fails() -> None:
    def reader(number: int) -> None:
        if number == 1:
            raise RuntimeError("no memory here")

    with pytest.raises(RuntimeError):
        passes(reader, 3, 5)


def test_writing_stops_in_time_but_not_before_the_least() -> None:
    part = Part(64 * MIB)
    part.write(20 * MIB, 0.0)
    assert part.length == 32 * MIB
    part.write(20 * MIB, math.inf)
    assert part.length == 64 * MIB


def test_plain_buffers_are_plain() -> None:
    multiplier = Multiplier(1, extra_buffers=False)
    size = llama_matmul.SIZES[-1]
    assert {multiplier.rate(kind, size, budget_s=0.0).buffer for kind in WEIGHT_TYPES} == {"CPU"}
    multiplier.close()


def test_extra_buffers_are_those_of_a_loaded_model() -> None:
    """What llama.cpp says of a model with weights of this type is what the multiplication uses."""
    from slmtui.engine import llama_library
    from slmtui.engine.llama_model import open_model
    from slmtui.engine.protocol import Load
    from tests.engine.support import Q8_0

    opened = open_model(Load(path=str(Q8_0), threads=1))
    lines = " ".join(text for _, text in llama_library.LOG.lines)
    opened.close()
    multiplier = Multiplier(1, extra_buffers=True)
    buffer = multiplier.rate("q8_0", 256, budget_s=0.0).buffer
    multiplier.close()
    assert buffer is not None
    assert f"{buffer} model buffer size" in lines or f"{buffer}_Mapped model buffer size" in lines
