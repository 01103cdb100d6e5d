"""Speed of slmtui's MLX worker against mlx-lm's own generator, interleaved.

python benchmarks/mlx_parity.py [--rounds N] [--prompt N] [--tokens N] [FOLDER ...]

Needs MLX; without a folder Pocket 5M is converted to bf16 and 4-bit. Every round starts a new process of each side, in
turns. mlx-lm evaluates a prompt of random tokens and goes on from it greedily, slmtui's benchmark with drawn tokens; a
process's value is the median of its repetitions. "first token" is prompt tokens by the time to the first token,
sampling included; "decode" is the steps after it by their time, on a clock beside each generator. mlx-lm's own figures
count one step too many and are not used. On a processor slmtui computes quantized models in 32 bits and mlx-lm in bf16.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from peers.shapes import Paired

from slmtui.core.events import Loaded, Repeated
from slmtui.core.offload import ALL
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure
from slmtui.sources.resources import pocket_folder

TO_MLX = Path(__file__).resolve().parents[1] / "tools" / "pocket" / "to_mlx.py"
Speeds = tuple[float, float]
"""Prompt tokens to the first token and decode, in tokens per second."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="models in MLX's format (Pocket 5M)")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each side (7)")
    parser.add_argument("--repetitions", type=int, default=5, help="in each process, after one to warm up (5)")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of the prompt (128)")
    parser.add_argument("--tokens", type=int, default=32, help="decode steps (32)")
    parser.add_argument("--peer", action="store_true", help="be the other side, for one folder")
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(generated(options.folders[0], options)))
        return
    with tempfile.TemporaryDirectory() as made:
        print(f"{'model':<20} {'':<12} {'slmtui':>9} {'mlx-lm':>9} {'ratio':>6} {'95 % interval':>14}   tok/s, medians")
        for folder in options.folders or pocket(Path(made)):
            compare(folder, options)


def pocket(target: Path) -> list[Path]:
    """Pocket 5M in two forms."""
    source = pocket_folder() / "pocket-5m-F16.gguf"
    subprocess.run([sys.executable, str(TO_MLX), str(source), str(target), "bf16", "4bit"], check=True)
    return [target / "pocket-5m-bf16", target / "pocket-5m-4bit"]


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Print a line for each phase."""
    ours: list[Speeds] = []
    theirs: list[Speeds] = []
    for number in range(options.rounds):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            side.append(asyncio.run(measured(folder, options)) if side is ours else peer(folder, options))
    for place, phase in enumerate(("first token", "decode")):
        paired = Paired.of([one[place] for one in ours], [one[place] for one in theirs])
        interval = "—" if paired.interval is None else "{:.3f}–{:.3f}".format(*paired.interval)
        speeds = f"{paired.ours:>9,.1f} {paired.theirs:>9,.1f} {paired.ratio:>6.3f}"
        print(f"{folder.name:<20} {phase:<12} {speeds} {interval:>14}", flush=True)


async def measured(folder: Path, options: argparse.Namespace) -> Speeds:
    """A new worker's median speeds."""
    request = Measure(
        prompt_tokens=options.prompt,
        generated_tokens=options.tokens,
        after_prompt=True,
        repetitions=options.repetitions + 1,
    )
    with tempfile.TemporaryDirectory() as logs:
        client = await WorkerClient.start(Path(logs) / "log")
        try:
            load = Load(path=str(folder), engine="MLX", device=device(), gpu_layers=ALL)
            async with aclosing(client.request(load)) as loading:
                ending = [event async for event in loading][-1]
            if not isinstance(ending, Loaded):
                raise SystemExit(f"{folder}: {ending}")
            async with aclosing(client.request(request)) as events:
                timings = [event.timing async for event in events if isinstance(event, Repeated)][1:]
        finally:
            await client.close()
    first = [options.prompt / timing.ttft_s for timing in timings if timing.ttft_s]
    decode = [timing.decode_tps for timing in timings if timing.decode_tps]
    return statistics.median(first), statistics.median(decode)


def device() -> str:
    """Where mlx-lm runs by itself."""
    return "gpu" if sys.platform == "darwin" else "cpu"


def peer(folder: Path, options: argparse.Namespace) -> Speeds:
    """A new process's median speeds with mlx-lm's generator."""
    figures = [f"--{name}={getattr(options, name)}" for name in ("repetitions", "prompt", "tokens")]
    command = [sys.executable, str(Path(__file__).resolve()), "--peer", *figures, str(folder)]
    done = subprocess.run(command, capture_output=True, check=True)
    first, decode = json.loads(done.stdout.splitlines()[-1])
    return float(first), float(decode)


def generated(folder: Path, options: argparse.Namespace) -> Speeds:
    """Median speeds of `stream_generate` in this process."""
    from mlx_lm import load, stream_generate

    model, tokenizer = load(str(folder))[:2]
    tokenizer.eos_token_ids = set()  # so that every answer has its length
    draw = random.Random(0)
    first: list[float] = []
    decode: list[float] = []
    for _ in range(options.repetitions + 1):
        prompt = [draw.randrange(300, 2000) for _ in range(options.prompt)]
        began, at = time.perf_counter(), list[float]()
        for _ in stream_generate(model, tokenizer, prompt, max_tokens=options.tokens + 1):
            at.append(time.perf_counter())
        first.append(options.prompt / (at[0] - began))
        decode.append((len(at) - 1) / (at[-1] - at[0]))
    return statistics.median(first[1:]), statistics.median(decode[1:])


if __name__ == "__main__":
    main()
