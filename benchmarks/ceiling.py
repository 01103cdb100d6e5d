"""How good slmtui's ceiling is: its readers of memory against others, its matrix rates against real prefill.

python benchmarks/ceiling.py [--rounds N] [--threads N] [--mib N] [MODEL.gguf ...]

Each round lets every reader read the same amount of memory with all threads, so that a disturbance hits all of them:
slmtui's two, libc's memchr and memmove (which writes as much as it reads; only what it reads counts), numpy's sum and
maximum, and where there is a C compiler a loop that adds 64-bit words, as STREAM would, built with -O3 -march=native
-fopenmp. Printed are medians and the median of the rounds' ratios to the C loop, else to numpy's sum. Then each model's
prefill as a share of the rate for its main type of weights, and its decode as a share of the bandwidth.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from peers import ROOT

from slmtui.core.ceiling import Ceiling, matmul_share, mbu, use_words
from slmtui.core.events import Loaded, Repeated, Timing
from slmtui.core.measurement import Measurement
from slmtui.core.text import rate, share
from slmtui.engine.bandwidth import MIB, READERS, Part, Reader, passes
from slmtui.engine.ceiling import Order, measure
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure

PASSES = 7
C_LOOP = "C loop"
SOURCE = """
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int count, char **words) {
    size_t bytes = strtoull(words[1], 0, 10), length = bytes / 8;
    uint64_t *data = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t total = 0;
    if (data == MAP_FAILED) return 1;
#ifdef MADV_HUGEPAGE
    madvise(data, bytes, MADV_HUGEPAGE);
#endif
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < length; i++) data[i] = i;
    for (int pass = 0; pass <= atoi(words[2]); pass++) {
        uint64_t sum = 0;
        double start = omp_get_wtime();
        #pragma omp parallel for schedule(static) reduction(+ : sum)
        for (size_t i = 0; i < length; i++) sum += data[i];
        if (pass) printf("%.9f\\n", omp_get_wtime() - start);
        total += sum;
    }
    fprintf(stderr, "%llu\\n", (unsigned long long)total);
    return 0;
}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pocket = ROOT / "slmtui" / "pocket"
    usual = [pocket / f"pocket-5m-{kind}.gguf" for kind in ("F16", "Q8_0", "Q4_K_M")]
    parser.add_argument("models", nargs="*", type=Path, default=usual, help="default: Pocket 5M in three types")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--mib", type=int, default=512, help="memory that one pass reads (default: 512)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        read(options, built(Path(folder)))
    asyncio.run(use(options))


def read(options: argparse.Namespace, loop: Path | None) -> None:
    """Compare the readers."""
    size = options.mib * MIB // options.threads
    parts = [Part(size) for _ in range(options.threads)]
    for part in parts:
        part.write(size, 0.0)
    readers = {name: make(parts, size) for name, make in READERS.items()} | others(parts, size)
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    if loop is not None:
        seconds[C_LOOP] = []
    for _ in range(options.rounds):
        for name, reader in readers.items():
            seconds[name].append(statistics.median(passes(reader, options.threads, PASSES + 1)[1:]))
        if loop is not None:
            seconds[C_LOOP].append(statistics.median(looped(loop, size * options.threads, options.threads)))
    peer = C_LOOP if loop is not None else "numpy sum"
    print(f"{'reader':<12} {'GB/s':>6}  ratio to {peer}   ({options.threads} threads, {options.mib} MiB)")
    for name, taken in seconds.items():
        moved = size * options.threads // (2 if name == "memmove" else 1)
        speed = moved / statistics.median(taken) / 1e9
        ratios = [other / own for own, other in zip(taken, seconds[peer], strict=True)]
        ratio = statistics.median(ratios) * moved / (size * options.threads)
        print(f"{name:<12} {speed:>6.1f}  {ratio:.2f}{'   slmtui tries this' if name in READERS else ''}")


def others(parts: Sequence[Part], size: int) -> dict[str, Reader]:
    """Readers that slmtui does not use."""
    import numpy as np

    libc = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
    libc.memchr.restype, libc.memchr.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    words = [np.frombuffer(part.memory, dtype=np.uint64) for part in parts]
    half = size // 2

    def of(function: Callable[[int], object]) -> Reader:
        def reader(number: int) -> None:
            function(number)

        return reader

    return {
        "memchr": of(lambda number: libc.memchr(parts[number].address, 2, size)),
        "memmove": of(lambda number: ctypes.memmove(parts[number].address, parts[number].address + half, half)),
        "numpy sum": of(lambda number: words[number].sum()),
        "numpy max": of(lambda number: words[number].max()),
    }


def built(folder: Path) -> Path | None:
    """The C loop; None without a compiler that can build it."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source, program = folder / "loop.c", folder / "loop"
    source.write_text(SOURCE, encoding="utf-8")
    flags = ["-O3", "-march=native", "-fopenmp"]
    done = subprocess.run([compiler, *flags, str(source), "-o", str(program)], capture_output=True)
    return program if done.returncode == 0 else None


def looped(program: Path, size: int, threads: int) -> list[float]:
    """Seconds of each pass of the C loop."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [str(program), str(size), str(PASSES)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return [float(line) for line in done.stdout.split()]


async def use(options: argparse.Namespace) -> None:
    """Compare the matrix rates and the bandwidth with what models make of them."""
    ceiling = await measure(Order(threads=options.threads))
    rates = ", ".join(f"{one.type} {one.flops / 1e9:,.0f} ({one.buffer})" for one in ceiling.matmul)
    bandwidth = (ceiling.read_bytes_per_s or 0.0) / 1e9
    print(f"\nceiling: {bandwidth:.1f} GB/s by {ceiling.reader}; GFLOP/s: {rates}")
    for note in (*ceiling.notes, *(["Other programs ran meanwhile."] if ceiling.disturbed else [])):
        print(f"         {note}")
    print(f"\n{'model':<24} {'prefill':>8} {'share':>6}  {'decode':>8} {'bandwidth use'}")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            print(await line(model, Path(folder), ceiling, options), flush=True)


async def line(model: Path, folder: Path, ceiling: Ceiling, options: argparse.Namespace) -> str:
    """One model's figures: medians of the rounds."""
    client = await WorkerClient.start(folder / "worker.log")
    try:
        async with aclosing(client.request(Load(path=str(model), threads=options.threads))) as events:
            loaded = next(event for event in [event async for event in events] if isinstance(event, Loaded))
        async with aclosing(client.request(Measure(repetitions=options.rounds + 2))) as events:
            timings = [event.timing async for event in events if isinstance(event, Repeated)]
    finally:
        await client.close()
    done = [measurement(loaded, timing, ceiling) for timing in timings[2:]]  # the first two warm up
    prefill = statistics.median(one.timing.prefill_tps or 0.0 for one in done)
    decode = statistics.median(one.timing.decode_tps or 0.0 for one in done)
    multiplied, read_share = ([of(one) or 0.0 for one in done] for of in (matmul_share, mbu))
    prefill_share, decode_share = share(statistics.median(multiplied)), use_words(statistics.median(read_share))
    return f"{model.stem:<24} {rate(prefill):>8} {prefill_share:>6}  {rate(decode):>8} {decode_share}"


def measurement(loaded: Loaded, timing: Timing, ceiling: Ceiling) -> Measurement:
    """A repetition as slmtui would store it."""
    return Measurement(
        id="", session="", kind="bench", measured_at="", model="", name="", file="",
        facts=loaded.facts, engine_memory=loaded.memory, timing=timing, ceiling=ceiling,
    )  # fmt: skip


if __name__ == "__main__":
    main()
