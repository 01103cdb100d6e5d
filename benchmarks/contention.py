"""What the worker's barrier setting gives: slmtui's worker as it is against one with libgomp's own spinning.

python benchmarks/contention.py [--rounds N] [MODEL.gguf]

Two workers with the same model and threads measure in turn (pp256, tg64), first on the machine as it is, then beside
one busy process. Prints medians and the median of the rounds' ratios (slmtui's setting / libgomp's own).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path

from peers import ROOT

from slmtui.core.events import Repeated
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure

LIBGOMP_OWN = "300000"
"""Rounds that libgomp spins when OMP_WAIT_POLICY is not set (its manual, GOMP_SPINCOUNT)."""


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=ROOT / "slmtui" / "pocket" / "pocket-5m-Q8_0.gguf")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds, after one warm-up (default: 9)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both workers (default: 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workers = [await start(folder, options, None), await start(folder, options, LIBGOMP_OWN)]
        print(f"{'neighbour':<20} {'phase':<8} {'slmtui':>8} {'libgomp':>8}  ratio   tokens per second")
        await rounds("none", workers, options.rounds)
        busy = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
        try:
            await rounds("one busy process", workers, options.rounds)
        finally:
            busy.kill()
            await busy.wait()
        for worker in workers:
            await worker.close()


async def start(folder: str, options: argparse.Namespace, spin: str | None) -> WorkerClient:
    """A worker with the model loaded; `spin` overrides slmtui's own setting."""
    if spin is not None:
        os.environ["GOMP_SPINCOUNT"] = spin
    client = await WorkerClient.start(Path(folder) / f"worker-{spin}.log")
    os.environ.pop("GOMP_SPINCOUNT", None)
    async with aclosing(client.request(Load(path=str(options.model), threads=options.threads))) as events:
        _ = [event async for event in events]
    return client


async def rounds(neighbour: str, workers: list[WorkerClient], count: int) -> None:
    """Measure in turn and print a line a phase."""
    pairs = [[await speeds(worker) for worker in workers] for _ in range(count + 1)][1:]
    for index, phase in enumerate(("prefill", "decode")):
        ours, own = (statistics.median(pair[side][index] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[0][index] / pair[1][index] for pair in pairs)
        print(f"{neighbour:<20} {phase:<8} {ours:>8,.0f} {own:>8,.0f}  {ratio:.2f}", flush=True)


async def speeds(worker: WorkerClient) -> tuple[float, float]:
    """Prefill and decode of one repetition, in tokens per second."""
    async with aclosing(worker.request(Measure(prompt_tokens=256, generated_tokens=64))) as events:
        async for event in events:
            if isinstance(event, Repeated):
                return event.timing.prefill_tps or 0.0, event.timing.decode_tps or 0.0
    raise SystemExit("the worker measured nothing")


if __name__ == "__main__":
    asyncio.run(main())
