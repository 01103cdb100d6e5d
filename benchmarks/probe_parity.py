"""Scores of slmtui's probes against lm-evaluation-harness, option by option.

python benchmarks/probe_parity.py [--model pocket-5m] [--task T …] [--shots 0,4] [--questions N] [--build-dir DIR]

The Pocket model's F16 weights are written once as F32 in GGUF and once in Hugging Face's form (the rows of queries and
keys in its order for rotary positions, the tokenizer from the same file). `slmtui.lab.probe` asks the one, with a cache
of 32-bit numbers; lm-evaluation-harness scores the very same prompts with the other, in transformers on the processor
with 32-bit floats, in an environment of its own that is made here unless it is there. Prints for each task and number
of shots the largest difference of an option's log-probability, and whether both judged each question alike. Exit code 1
when a difference is 0.001 or more, or a judgement differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import platformdirs
from peers import ROOT
from peers.hf_model import as_f32, as_hugging_face

LIMIT = 1e-3
"""Largest difference of two log-probabilities."""
PACKAGES = ("lm-eval[hf]==0.4.13", "torch==2.13.0", "transformers==5.24.0")
TASKS = ("pocket-4-categories", "sentiment", "topic", "common-sense")
HARNESS = Path(__file__).parent / "peers" / "harness.py"


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket-5m", help="a Pocket model (pocket-5m)")
    parser.add_argument("--task", dest="tasks", action="append", help=f"default: {', '.join(TASKS)}")
    parser.add_argument("--shots", default="0,4", help="examples, with commas (0,4)")
    parser.add_argument("--questions", type=int, default=40, help="of each task (40)")
    parser.add_argument("--build-dir", type=Path, help="where the harness's environment is kept (user's cache)")
    options = parser.parse_args()
    folder = (options.build_dir or platformdirs.user_cache_path("slmtui-benchmarks")).resolve()
    harness = environment(folder / "lm-eval")
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SLMTUI_HOME"] = str(Path(scratch) / "home")
        source = ROOT / "slmtui" / "pocket" / f"{options.model}-F16.gguf"
        ours = as_f32(source, Path(scratch) / f"{options.model}-F32.gguf")
        theirs = as_hugging_face(source, Path(scratch) / "hugging-face")
        print(
            f"{'task':<21} {'shots':>5} {'questions':>9} {'options':>7} {'largest difference':>18}  right ours/theirs"
        )
        shots = [int(number) for number in options.shots.split(",")]
        cells = asyncio.run(asked(ours, options.tasks or TASKS, shots, options.questions))
        for (task, number), questions in cells.items():
            found = scored(harness, theirs, questions, Path(scratch) / "questions.jsonl")
            good &= compared(task, number, questions, found)
    sys.exit(0 if good else 1)


class Scored(NamedTuple):
    """One question's options as a side scored them."""

    logprobs: list[float]
    greedy: list[bool]
    right: bool


class Question(NamedTuple):
    """What both sides are asked, and what slmtui found."""

    prompt: str
    options: list[str]
    target: int
    ours: Scored


Cells = dict[tuple[str, int], list[Question]]


async def asked(model: Path, tasks: Sequence[str], shots: Sequence[int], questions: int) -> Cells:
    """Slmtui's answers of each task and number of shots."""
    from slmtui.core.probe_presets import ProbeGrid
    from slmtui.lab import probe
    from slmtui.lab.services import Services

    services = Services.open(strict=True)
    try:
        grid = ProbeGrid(shots=tuple(shots), seeds=1, questions=questions, exact=True)
        plan = await probe.make_plan("quick", [services.find(str(model))], list(tasks), grid)
        async with aclosing(probe.run(services, plan)) as events:
            async for event in events:
                if isinstance(event, probe.CellGivenUp):
                    raise SystemExit(f"{event.cell.label}: {event.failure.message if event.failure else 'skipped'}")
        found: Cells = {}
        for batch in await probe.batches(services, plan.id):
            for answer in batch.answers:
                logprobs = [score.logprob for score in answer.scores]
                ours = Scored(logprobs, [score.greedy for score in answer.scores], answer.right)
                target = answer.options.index(answer.target)
                question = Question(batch.prompt(answer), list(answer.options), target, ours)
                found.setdefault((batch.task, batch.shots), []).append(question)
        return found
    finally:
        await services.close()


def scored(python: Path, model: Path, questions: Sequence[Question], path: Path) -> list[Scored]:
    """The harness's answers to the same questions."""
    lines = ({"prompt": one.prompt, "options": one.options, "target": one.target} for one in questions)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        surroundings = {**os.environ, "HF_DATASETS_CACHE": cache}
        command = [str(each) for each in (python, HARNESS, model, path)]
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if done.returncode:
        raise SystemExit(f"lm-evaluation-harness failed:\n{done.stderr[-2000:]}")
    said = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return [Scored(one["logprobs"], one["greedy"], bool(one["right"])) for one in map(json.loads, said)]


def compared(task: str, shots: int, questions: Sequence[Question], theirs: Sequence[Scored]) -> bool:
    """Print a line; whether all is alike."""
    ours = [question.ours for question in questions]
    pairs = list(zip(ours, theirs, strict=True))
    differences = [
        abs(one - other) for mine, others in pairs for one, other in zip(mine.logprobs, others.logprobs, strict=True)
    ]
    alike = all((mine.right, mine.greedy) == (others.right, others.greedy) for mine, others in pairs)
    right = f"{sum(one.right for one in ours)}/{sum(one.right for one in theirs)}"
    print(
        f"{task:<21} {shots:>5} {len(ours):>9} {len(differences):>7} {max(differences):>18.2e}  {right} "
        f"{'same to the item' if alike else 'NOT THE SAME'}",
        flush=True,
    )
    return alike and max(differences) < LIMIT


def environment(folder: Path) -> Path:
    """The Python of an environment that has the harness, made unless it is there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        print(f"Installing {', '.join(PACKAGES)} in {folder}: once, some minutes.", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "complete").touch()
    return python


if __name__ == "__main__":
    main()
