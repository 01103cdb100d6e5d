"""Speed of slmtui's worker against llama.cpp's own llama-bench and llama-cpp-python's streaming API, interleaved.

python benchmarks/parity.py [--rounds N] [--part shapes|chat] [--build-dir DIR] [MODEL.gguf ...]

Shapes: pp512 and tg128 at depths 0 and 512, on the Pocket models and on a model of 124 million random weights that is
made here. llama-bench is built from the sources inside llama-cpp-python's source distribution, of the installed
version and with the flags of the Makefile. Each side measures each shape in a process of its own, alone on the
machine, as llama-bench does; turns rotate shape by shape. Threads, batches, KV types, flash attention and context are
the same; each warms up and reads its own clock. A round's value is the median of its repetitions. Prints medians over
the rounds, the median of the rounds' ratios slmtui / llama-bench with its 95 % interval, and whether the medians
differ by at most 5 % (Pocket) or 2 % (from 50 million parameters on). The streaming API, which samples and writes
text too, stands beside them.

Chat: slmtui and the streaming API get the same greedy request in turn: a fresh prompt of about 300 tokens and an answer
of a fixed length (end-of-generation tokens are ignored). Prefill is prompt tokens by the time of their evaluation alone
(the peer's `Llama.eval` inside the streaming call); "first token" is prompt tokens by time to first token, with
tokenizing, sampling and the way to text on both sides; decode is steps by the time between first and last token; "last
quarter" is decode over the last quarter of the answer, where an API that reads its whole answer again for each token
falls behind. Prefill and first token come from many short answers, decode from long ones. Threads of both are bound to
cores (OMP_PROC_BIND): both sleep between requests, and Linux wakes a sleeping pair on one core often enough to make a
prefill of 10 ms take twice as long on either side.

Exit code 1 when a shape is outside its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import platformdirs
import psutil
from peers.llama_bench import Build, LlamaBench
from peers.random_model import random_models
from peers.shapes import Paired, Settings, Shape
from peers.sides import PAUSE_S, Answer, Streaming, Worker

SIDES = ("slmtui", "bench", "streaming")
POCKET = Path(__file__).resolve().parents[1] / "slmtui" / "pocket"
SHAPES = (Shape(512, 0, 0), Shape(0, 128, 0), Shape(512, 0, 512), Shape(0, 128, 512))
LARGE = 50_000_000
"""Parameters from which the limit is the closer one."""
LIMITS = (0.05, 0.02)
"""Share by which the medians may differ: small models, large ones."""
SAMPLE_S = 0.5
"""How long one side's repetitions of a shape should take in a round."""
REPETITIONS = (3, 25)
"""Least and most of them."""
STREAMING_CONTEXT = 1025
"""For the shapes: the API reads a token before it answers."""
CHAT_CONTEXT = 2048
PROMPT_WORDS = 200
SHORT_ANSWER = 16
WORDS = ("the", "a", "cat", "dog", "tree", "sun", "model", "token", "cache", "small", "red", "big", "and", "with", "in")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="default: the Pocket models and the random ones")
    parser.add_argument("--part", choices=("shapes", "chat"), help="only this part (default: both)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of the shapes, after one to warm up (15)")
    parser.add_argument("--chat-rounds", type=int, default=21, help="rounds with short answers, after one (21)")
    parser.add_argument("--long-rounds", type=int, default=3, help="rounds with long answers (3)")
    parser.add_argument("--answer", type=int, default=1500, help="tokens of a long answer (1500)")
    parser.add_argument("--threads", type=int, default=2, help="threads of all sides (2)")
    parser.add_argument("--flash-attention", choices=("on", "off"), default="on", help="in the shapes (on)")
    parser.add_argument(
        "--build-dir", type=Path, help="where llama-bench and the random models are kept (user's cache)"
    )
    parser.add_argument("--raw", type=Path, help="write every round's values of the shapes to this file, as JSON lines")
    options = parser.parse_args()
    folder = (options.build_dir or platformdirs.user_cache_path("slmtui-benchmarks")).resolve()
    pocket = sorted(POCKET.glob("*.gguf"))
    good = True
    if options.part != "chat":
        program = Build(folder).make()
        models = options.models or [*pocket, *random_models(folder)]
        say_how_busy()
        good = asyncio.run(compare_shapes(models, program, options))
    if options.part != "shapes":
        say_how_busy()
        asyncio.run(compare_chats(options.models or pocket, options))
    sys.exit(0 if good else 1)


def say_how_busy() -> None:
    """Warn when other programs take processor time, which spoils what follows."""
    busy = psutil.cpu_percent(1.0)
    if busy > 5:
        print(f"Other programs use {busy:.0f} % of the processor: end them, or believe no figure.", file=sys.stderr)


# -- shapes

Round = dict[str, float]
"""A side's name to its median speed in tokens per second."""


async def compare_shapes(models: Sequence[Path], program: Path, options: argparse.Namespace) -> bool:
    """Print a line a model and shape; says whether all are within their limits."""
    settings = Settings(options.threads, flash_attention=options.flash_attention)
    print(
        f"{'model':<20} {'shape':<13} {'slmtui':>8} {'llama-bench':>11} {'ratio':>6} {'95 % interval':>14} "
        f"{'verdict':<14} {'streaming':>9} {'ratio':>6}   tokens per second, medians"
    )
    good = True
    for model in models:
        parameters, rounds = await measure_shapes(model, program, settings, options.rounds)
        limit = LIMITS[parameters >= LARGE]
        for shape, values in rounds.items():
            ours, bench, streaming = ([value[name] for value in values] for name in ("slmtui", "bench", "streaming"))
            against, beside = Paired.of(ours, bench), Paired.of(ours, streaming)
            good &= against.within(limit)
            print(shape_line(model.stem, shape, against, beside, limit), flush=True)
            if options.raw:
                with options.raw.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"model": model.stem, "shape": shape.label, "rounds": values}) + "\n")
    return good


def shape_line(model: str, shape: Shape, against: Paired, beside: Paired, limit: float) -> str:
    """One line of the table."""
    interval = "—" if against.interval is None else "{:.3f}–{:.3f}".format(*against.interval)
    verdict = f"{'within' if against.within(limit) else 'OUTSIDE'} {limit * 100:.0f} %"
    return (
        f"{model:<20} {shape.label:<13} {against.ours:>8,.0f} {against.theirs:>11,.0f} {against.ratio:>6.3f} "
        f"{interval:>14} {verdict:<14} {beside.theirs:>9,.0f} {beside.ratio:>6.2f}"
    )


async def measure_shapes(
    model: Path, program: Path, settings: Settings, count: int
) -> tuple[int, dict[Shape, list[Round]]]:
    """The model's number of parameters, and each shape's rounds without the first, which finds how often to repeat."""
    bench = LlamaBench(program, model, settings)
    parameters, repetitions = 0, dict.fromkeys(SHAPES, REPETITIONS[0])
    rounds: dict[Shape, list[Round]] = {shape: [] for shape in SHAPES}
    for number in range(count + 1):
        for turn, shape in enumerate(SHAPES):
            first = (number + turn) % len(SIDES)
            found = {}
            for name in SIDES[first:] + SIDES[:first]:
                await asyncio.sleep(PAUSE_S)
                if name == "bench":
                    speeds = await bench.speeds(shape, repetitions[shape])
                elif name == "slmtui":
                    async with fresh_worker(model, settings, shape.context) as worker:
                        speeds = await worker.speeds(shape, repetitions[shape])
                        parameters = worker.parameters
                else:
                    async with fresh_streaming(model, settings, STREAMING_CONTEXT) as streaming:
                        speeds = await streaming.speeds(shape, REPETITIONS[0])
                found[name] = statistics.median(speeds)
            if number:
                rounds[shape].append(found)
            else:
                once_s = (shape.prompt + shape.generated) / found["bench"]
                repetitions[shape] = min(max(REPETITIONS[0], round(SAMPLE_S / once_s)), REPETITIONS[1])
    return parameters, rounds


@asynccontextmanager
async def fresh_worker(model: Path, settings: Settings, context: int) -> AsyncGenerator[Worker]:
    """A worker with the model loaded, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        worker = await Worker.start(Path(folder) / "worker.log", model, settings)
        try:
            await worker.load(context)
            yield worker
        finally:
            await worker.close()


@asynccontextmanager
async def fresh_streaming(model: Path, settings: Settings, context: int) -> AsyncGenerator[Streaming]:
    """The streaming API with the model loaded, until the block ends."""
    streaming = await Streaming.start(model, settings, context)
    try:
        await streaming.answer("the", SHORT_ANSWER)  # returns when the model is loaded
        yield streaming
    finally:
        await streaming.close()


# -- chat


async def compare_chats(models: Sequence[Path], options: argparse.Namespace) -> None:
    """Print a line a model and phase."""
    settings = Settings(options.threads, batch=512, flash_attention="off")
    os.environ.setdefault("OMP_PROC_BIND", "true")
    print(f"\n{'model':<24} {'phase':<13} {'slmtui':>9} {'streaming':>9}  ratio   tokens per second, medians")
    for model in models:
        async with (
            fresh_worker(model, settings, CHAT_CONTEXT) as worker,
            fresh_streaming(model, settings, CHAT_CONTEXT) as streaming,
        ):
            short, long = await chat_rounds(worker, streaming, options)
        for index, phase in enumerate(Answer._fields):
            rounds = short if phase in ("prefill", "first_token") else long
            paired = Paired.of([ours[index] for ours, _ in rounds], [theirs[index] for _, theirs in rounds])
            print(
                f"{model.stem:<24} {phase:<13} {paired.ours:>9,.0f} {paired.theirs:>9,.0f}  {paired.ratio:.2f}",
                flush=True,
            )


ChatRounds = list[tuple[Answer, Answer]]


async def chat_rounds(
    worker: Worker, streaming: Streaming, options: argparse.Namespace
) -> tuple[ChatRounds, ChatRounds]:
    """(slmtui, streaming) of each counted round with short and with long answers; who goes first alternates."""
    draw = random.Random(1)
    rounds: ChatRounds = []
    for number, length in enumerate(
        [SHORT_ANSWER] * (options.chat_rounds + 1) + [options.answer] * options.long_rounds
    ):
        prompt = " ".join(draw.choice(WORDS) for _ in range(PROMPT_WORDS))
        sides = (worker, streaming)
        found = {}
        for side in sides[::-1] if number % 2 else sides:
            await asyncio.sleep(PAUSE_S)
            found[side] = await side.answer(prompt, length)
        rounds.append((found[worker], found[streaming]))
    return rounds[1 : options.chat_rounds + 1], rounds[options.chat_rounds + 1 :]


if __name__ == "__main__":
    main()
