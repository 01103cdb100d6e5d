"""A GPU: speed of slmtui's worker against llama-bench, and of the GPU against the processor, on a billion weights.

python benchmarks/gpu_parity.py [--device CUDA0] [--rounds N] [--part parity|phases] [--llama-bench PROGRAM]

The model has 1.07 billion random parameters, as F16, Q8_0 and Q4_K_M, and is made here. llama-bench is the given
program, or is built from the sources inside llama-cpp-python's source distribution; it must be of the same version and
have the same backend as the installed engine (CMAKE_ARGS=-DGGML_CUDA=on for both).

Parity: pp512 and tg128 with all layers on the GPU and flash attention on. Each round starts a new llama-bench, and asks
a worker that keeps the model; who goes first alternates; both warm up once. A round's value is the median of its
repetitions. Prints medians over the rounds, the median of the rounds' ratios slmtui / llama-bench with its 95 %
interval, and whether the medians differ by at most 3 %.

Phases: the same file on the processor (all cores) and on the GPU, by slmtui alone, with the ratio in each phase.

Exit code 1 when a shape is outside the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import platformdirs
import psutil
from peers.llama_bench import Build, LlamaBench
from peers.random_model import LARGE, SMALL, random_models
from peers.shapes import Paired, Settings, Shape
from peers.sides import Worker

KINDS = ("F16", "Q8_0", "Q4_K_M")
PREFILL, DECODE = Shape(512, 0, 0), Shape(0, 128, 0)
SHORT_DECODE = Shape(0, 32, 0)
"""Decode for the comparison of phases, where the processor's side takes long."""
LIMIT = 0.03
"""Share by which the medians may differ."""
THREADS = 1
"""Of both sides on the GPU; with all layers there, one submits the work."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="CUDA0", help="llama.cpp's name of the GPU (CUDA0); cpu to rehearse")
    parser.add_argument("--part", choices=("parity", "phases"), help="only this part (default: both)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of the parity (6)")
    parser.add_argument("--repetitions", type=int, default=5, help="of a shape in a round, after one to warm up (5)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="only these files")
    parser.add_argument("--small", action="store_true", help="124 million parameters, to rehearse")
    parser.add_argument("--llama-bench", type=Path, help="the program; it is built where none is given")
    parser.add_argument("--build-dir", type=Path, help="where models and program are kept (user's cache)")
    parser.add_argument("--raw", type=Path, help="write every round's values to this file, as JSON lines")
    options = parser.parse_args()
    folder = (options.build_dir or platformdirs.user_cache_path("slmtui-benchmarks")).resolve()
    models = dict(
        zip(options.kinds, random_models(folder, SMALL if options.small else LARGE, options.kinds), strict=True)
    )
    device = None if options.device == "cpu" else options.device
    good = True
    if options.part != "phases":
        program = options.llama_bench or Build(folder).make()
        good = asyncio.run(parity(models, program, Settings(THREADS, device=device), options))
    if options.part != "parity":
        asyncio.run(phases(models, device))
    sys.exit(0 if good else 1)


async def parity(models: dict[str, Path], program: Path, settings: Settings, options: argparse.Namespace) -> bool:
    """Print a line a file and shape; says whether all are within the limit."""
    print(
        f"{'file':<8} {'shape':<7} {'slmtui':>10} {'llama-bench':>11} {'ratio':>6} {'95 % interval':>14} verdict"
        "   tokens per second, medians"
    )
    good = True
    for kind, model in models.items():
        rounds = await parity_rounds(model, LlamaBench(program, model, settings), settings, options)
        for shape, pairs in rounds.items():
            paired = Paired.of([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
            good &= paired.within(LIMIT)
            print(parity_line(kind, shape, paired), flush=True)
            if options.raw:
                with options.raw.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"file": kind, "shape": shape.label, "rounds": pairs}) + "\n")
    return good


def parity_line(kind: str, shape: Shape, paired: Paired) -> str:
    """One line of the table."""
    interval = "—" if paired.interval is None else "{:.3f}–{:.3f}".format(*paired.interval)
    verdict = f"{'within' if paired.within(LIMIT) else 'OUTSIDE'} {LIMIT * 100:.0f} %"
    return (
        f"{kind:<8} {shape.label:<7} {paired.ours:>10,.1f} {paired.theirs:>11,.1f} {paired.ratio:>6.3f} "
        f"{interval:>14} {verdict}"
    )


async def parity_rounds(
    model: Path, bench: LlamaBench, settings: Settings, options: argparse.Namespace
) -> dict[Shape, list[tuple[float, float]]]:
    """(slmtui, llama-bench) of each round."""
    rounds: dict[Shape, list[tuple[float, float]]] = {PREFILL: [], DECODE: []}
    async with loaded(model, settings) as worker:

        async def ours() -> dict[Shape, list[float]]:
            return {shape: await worker.measured(shape, options.repetitions) for shape in rounds}

        async def theirs() -> dict[Shape, list[float]]:
            return await bench.both(PREFILL.prompt, DECODE.generated, options.repetitions)

        for number in range(options.rounds):
            if number % 2:
                a, b = await ours(), await theirs()
            else:
                b, a = await theirs(), await ours()
            for shape, pairs in rounds.items():
                pairs.append((statistics.median(a[shape]), statistics.median(b[shape])))
    return rounds


async def phases(models: dict[str, Path], device: str | None) -> None:
    """Print a line a file: both phases on both devices, and the ratios."""
    threads = psutil.cpu_count(logical=False) or 1
    heads = f"{f'cpu, {threads} threads':>16} {device or 'cpu':>10} {'ratio':>7}"
    print(f"\n{'file':<8} {'phase':<8} {heads}   tokens per second, medians")
    for kind, model in models.items():
        found: list[list[float]] = []
        for settings in (Settings(threads), Settings(THREADS, device=device)):
            async with loaded(model, settings) as worker:
                found.append([statistics.median(await worker.measured(shape, 3)) for shape in (PREFILL, SHORT_DECODE)])
        for phase, cpu, gpu in zip(("prefill", "decode"), *found, strict=True):
            print(f"{kind:<8} {phase:<8} {cpu:>16,.1f} {gpu:>10,.1f} {gpu / cpu:>7.2f}", flush=True)


@asynccontextmanager
async def loaded(model: Path, settings: Settings) -> AsyncGenerator[Worker]:
    """A worker with the model, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        worker = await Worker.start(Path(folder) / "worker.log", model, settings)
        try:
            await worker.load(PREFILL.context)
            yield worker
        finally:
            await worker.close()


if __name__ == "__main__":
    main()
