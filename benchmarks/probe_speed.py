"""Options scored per second by slmtui's worker against llama-cpp-python's high-level API scoring each option alone.

python benchmarks/probe_speed.py [--rounds N] [--questions N] [--threads N] [MODEL.gguf ...]

Both get the same questions with four options at 0 and 8 shots, in turn, each in a process of its own with the same
threads, micro-batch and kind of cache and without flash attention. The high-level API evaluates prompt and option from
the beginning for each option, as its users do; slmtui gets what a probe sends, a batch of questions a request, with
nothing in the cache when a round begins. Its time is the whole request: tokenizing, evaluating, reading logits, the way
to the worker and back. Beside it stands pure prefill: the worker's own benchmark of as many tokens as had to be
evaluated, at most a micro-batch at once, after as many tokens as the examples have. Prints medians over the rounds.
Exit code 1 when slmtui is not 8 times as fast as the API at 8 shots, or scoring is slower than 0.7 of pure prefill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from peers import ROOT

from slmtui.core import probe_draw
from slmtui.core.catalog import LocalModel
from slmtui.core.events import Done, Failed, Repeated, Scored
from slmtui.core.probe import ProbeCell
from slmtui.core.probe_prompt import Prompts
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure, Question, Request, Score
from slmtui.sources.tasks import find_task

FASTER, OF_PREFILL = 8.0, 0.7
BATCH = 20
"""Questions that a probe asks in one request."""
MICRO_BATCH = 512
CONTEXT = 2048
SHOTS = (0, 8)
TASK = "common-sense"
POCKET = ROOT / "slmtui" / "pocket"
PEER = Path(__file__).parent / "peers" / "scoring.py"


class Round(NamedTuple):
    """One round: options per second of both sides, and tokens per second of scoring and of pure prefill."""

    ours: float
    theirs: float
    scoring_tps: float
    prefill_tps: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="default: the Pocket models in F16")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, after one to warm up (5)")
    parser.add_argument("--questions", type=int, default=40, help="questions of a round (40)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both sides (2)")
    options = parser.parse_args()
    good = True
    head = ("slmtui", "API", "ratio", "scoring", "prefill", "ratio", "largest difference")
    print(f"{'model':<20} {'shots':>5}" + "".join(f" {name:>9}" for name in head[:-1]) + f"  {head[-1]}")
    for model in options.models or sorted(POCKET.glob("*-F16.gguf")):
        for shots in SHOTS:
            good &= asyncio.run(compare(model, shots, options))
    print("options per second, then tokens per second; medians")
    sys.exit(0 if good else 1)


async def compare(model: Path, shots: int, options: argparse.Namespace) -> bool:
    """Print a line; whether it is within the limits."""
    questions = prompts(shots, options.questions)
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder, Peer(model, options.threads) as peer:
        worker = await WorkerClient.start(Path(folder) / "log")
        try:
            load = Load(
                path=str(model),
                threads=options.threads,
                context=CONTEXT,
                micro_batch=MICRO_BATCH,
                flash_attention="off",
                sequences=64,
            )
            await told(worker, load)
            for number in range(options.rounds + 1):
                found, difference = await one_round(worker, peer, questions)
                rounds += [found] if number else []
        finally:
            await worker.close()
    middle = Round(*(statistics.median(values) for values in zip(*rounds, strict=True)))
    faster, of_prefill = middle.ours / middle.theirs, middle.scoring_tps / middle.prefill_tps
    print(
        f"{model.stem:<20} {shots:>5} {middle.ours:>9,.0f} {middle.theirs:>9,.1f} {faster:>9.1f} "
        f"{middle.scoring_tps:>9,.0f} {middle.prefill_tps:>9,.0f} {of_prefill:>9.2f}  {difference:.1e}",
        flush=True,
    )
    return of_prefill >= OF_PREFILL and (faster >= FASTER or shots < max(SHOTS))


def prompts(shots: int, count: int) -> list[Question]:
    """What a probe of the task asks."""
    task = find_task(TASK)
    model = LocalModel(id="m", name="m", path=Path("m"), size_bytes=0)
    cell = ProbeCell(key="c", model=model, task=task.id, shots=shots, seed=1)
    asked = map(Prompts(task, cell, "raw").asked, probe_draw.questions(task)[:count])
    return [Question(prompt=one.prompt, options=one.continuations) for one in asked]


async def one_round(worker: WorkerClient, peer: Peer, questions: Sequence[Question]) -> tuple[Round, float]:
    """Both sides once, and the largest difference of what they say."""
    await told(worker, Measure(prompt_tokens=1, generated_tokens=0))  # empties the cache
    options = sum(len(question.options) for question in questions)
    seconds = evaluated_s = 0.0
    tokens, shared, scored = 0, 0, []
    for first in range(0, len(questions), BATCH):
        began = asyncio.get_running_loop().time()
        events = await told(worker, Score(questions=tuple(questions[first : first + BATCH])))
        seconds += asyncio.get_running_loop().time() - began
        done = events[-1]
        assert isinstance(done, Done)
        assert done.timing is not None
        tokens, shared = tokens + done.timing.prompt_tokens, max(shared, done.timing.depth)
        evaluated_s += done.timing.prefill_s or 0.0
        found = {event.index: event for event in events if isinstance(event, Scored)}
        scored += [found[place].options for place in range(len(found))]
    theirs = [peer.ask(question) for question in questions]
    difference = max(
        abs(one.logprob - other)
        for mine, (others, _) in zip(scored, theirs, strict=True)
        for one, other in zip(mine, others, strict=True)
    )
    prefill = await prefill_tps(worker, tokens, shared)
    rates = Round(options / seconds, options / sum(took for _, took in theirs), tokens / seconds, prefill)
    return rates, difference


async def prefill_tps(worker: WorkerClient, tokens: int, depth: int) -> float:
    """Pure prefill of so many tokens, at most a micro-batch at once, after the examples' tokens."""
    taken_s = 0.0
    for first in range(0, tokens, MICRO_BATCH):
        shape = Measure(prompt_tokens=min(MICRO_BATCH, tokens - first), generated_tokens=0, depth=depth)
        (repeated,) = (event for event in await told(worker, shape) if isinstance(event, Repeated))
        taken_s += repeated.timing.prefill_s or 0.0
    return tokens / taken_s


async def told(worker: WorkerClient, request: Request) -> list[object]:
    """All events of a request.

    Raises:
        SystemExit: it failed; says why.
    """
    events: list[object] = [event async for event in worker.request(request)]
    if isinstance(events[-1], Failed):
        raise SystemExit(events[-1].message)
    return events


class Peer:
    """The high-level API's process."""

    def __init__(self, model: Path, threads: int) -> None:
        figures = {"threads": threads, "context": CONTEXT, "micro-batch": MICRO_BATCH}
        flags = [part for name, figure in figures.items() for part in (f"--{name}", str(figure))]
        command = [sys.executable, str(PEER), str(model), *flags]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, question: Question) -> tuple[list[float], float]:
        """Log-probabilities of the options, and the seconds that it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"prompt": question.prompt, "options": question.options})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        return said["logprobs"], said["seconds"]


if __name__ == "__main__":
    main()
