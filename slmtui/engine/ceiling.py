"""Measures the machine's ceiling in a child process: memory read bandwidth, then the engine's matrix-multiply rates.

The child says what it knows after each step, one `core.ceiling.Ceiling` a line, so that a build of the engine that
crashes with one type of weights costs the figures from there on only.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from slmtui.core import text
from slmtui.core.ceiling import Ceiling
from slmtui.engine.child import run_child
from slmtui.engine.client import worker_environment

PATIENCE_S = 60.0
CEILING_COMMAND = (sys.executable, "-P", "-m", "slmtui.engine.ceiling")
FIRST_TYPES = ("f16", "q8_0", "q4_K", "f32")
"""Measured first: the usual ones."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the child must know of the machine."""

    threads: int
    """As many as decode uses."""
    cache_bytes: int | None = None
    """The processor's last cache; None where the system does not say."""
    available_bytes: int | None = None
    """Free memory, container limits included."""
    extra_buffers: bool = True
    """Whether repacked weights are allowed (`Load.extra_buffers`)."""


async def measure(order: Order, command: Sequence[str] = CEILING_COMMAND) -> Ceiling:
    """Measure in a child process; what it did not live to say is None or left out, with the reason in `notes`."""
    known = Ceiling(threads=order.threads)
    try:
        ended = await run_child([*command, *_arguments(order)], worker_environment(), PATIENCE_S)
    except OSError as error:
        ceiling = _noted(known, f"{_under_way(known)} could not be started: {error.strerror}.")
    else:
        known = _last(ended.output) or known
        ceiling = _noted(known, f"{_under_way(known)} {ended.why}.") if ended.why else known
    return msgspec.structs.replace(ceiling, measured_at=datetime.now(UTC).isoformat(timespec="seconds"))


def main(words: Sequence[str]) -> int:
    """The child: a JSON line after each step."""
    order = _order(words)
    if hasattr(signal, "alarm"):
        signal.alarm(round(PATIENCE_S))  # whoever asked may be gone
    for ceiling in _steps(Ceiling(threads=order.threads), order):
        sys.stdout.write(msgspec.json.encode(ceiling).decode() + "\n")
        sys.stdout.flush()  # the next step may end this process
    return 0


def _steps(ceiling: Ceiling, order: Order) -> Iterator[Ceiling]:
    """What is known after each step."""
    from slmtui.engine import bandwidth

    wanted = bandwidth.buffer_bytes(order.cache_bytes, order.available_bytes)
    try:
        found = bandwidth.read_bandwidth(order.threads, wanted)
    except (OSError, RuntimeError, MemoryError) as error:
        ceiling = _noted(ceiling, f"The memory's bandwidth was not measured: {error}.")
    else:
        ceiling = msgspec.structs.replace(
            ceiling,
            read_bytes_per_s=found.bytes_per_s,
            buffer_bytes=found.buffer_bytes,
            reader=found.reader,
            cpu_share=found.cpu_share,
        )
        if order.cache_bytes and found.buffer_bytes < 2 * order.cache_bytes:
            ceiling = _noted(
                ceiling,
                f"The bandwidth was measured on {text.memory(found.buffer_bytes)}, and the processor's cache is said "
                f"to hold {text.memory(order.cache_bytes)}: a part may have come from there.",
            )
    yield ceiling
    yield from _multiplications(ceiling, order)


def _multiplications(ceiling: Ceiling, order: Order) -> Iterator[Ceiling]:
    from slmtui.engine import llama_library
    from slmtui.engine.llama_matmul import STEP_BYTES, WEIGHT_TYPES, MatmulError, Multiplier

    try:
        multiplier = Multiplier(order.threads, extra_buffers=order.extra_buffers)
        ceiling = msgspec.structs.replace(ceiling, engine=llama_library.engine_name())
        size = multiplier.size()
    except (ImportError, OSError, AttributeError, MatmulError) as error:  # AttributeError: a function is not in there
        yield _noted(ceiling, f"Matrix multiplication was not measured: {error}.")
        return
    largest = STEP_BYTES[-1]
    if order.available_bytes is not None:  # the child holds the weights twice while it makes them
        largest = min(largest, order.available_bytes // 8)
    for kind in dict.fromkeys((*FIRST_TYPES, *WEIGHT_TYPES)):
        try:
            rate = multiplier.rate(kind, size)
            rate = msgspec.structs.replace(rate, steps=multiplier.steps(kind, largest))
            ceiling = msgspec.structs.replace(ceiling, matmul=(*ceiling.matmul, rate))
            shares = [share for share in (ceiling.cpu_share, multiplier.cpu_share) if share is not None]
            ceiling = msgspec.structs.replace(ceiling, cpu_share=min(shares, default=None))
        except MatmulError as error:
            ceiling = _noted(ceiling, f"Multiplication with {kind} weights was not measured: {error}.")
        yield ceiling
    multiplier.close()


def _noted(ceiling: Ceiling, sentence: str) -> Ceiling:
    return msgspec.structs.replace(ceiling, notes=(*ceiling.notes, sentence))


def _last(output: bytes) -> Ceiling | None:
    """The last line that is whole: a process that is killed may leave half of one."""
    for line in reversed(output.splitlines()):
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=Ceiling)
    return None


def _under_way(ceiling: Ceiling) -> str:
    """What was being measured after this much was known."""
    if ceiling.read_bytes_per_s is None:
        return "The measurement of the memory's bandwidth"
    done = [rate.type for rate in ceiling.matmul]
    after = f" after {', '.join(done)} weights" if done else ""
    return f"The measurement of matrix multiplication{after}"


def _arguments(order: Order) -> list[str]:
    given = {"--cache-bytes": order.cache_bytes, "--available-bytes": order.available_bytes}
    sizes = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return ["--threads", str(order.threads), *sizes, *([] if order.extra_buffers else ["--plain-buffers"])]


def _order(words: Sequence[str]) -> Order:
    parser = argparse.ArgumentParser(prog="slmtui.engine.ceiling", description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cache-bytes", type=int)
    parser.add_argument("--available-bytes", type=int)
    parser.add_argument("--plain-buffers", dest="extra_buffers", action="store_false")
    return msgspec.convert(vars(parser.parse_args(words)), Order)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
