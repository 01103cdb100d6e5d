"""`slmtui bench`."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import Literal, cast

import msgspec

from slmtui.cli import DONE, FAILED, USAGE
from slmtui.cli.terminal import portable_json, progress, say, show, with_services
from slmtui.core import text
from slmtui.core.measurement import Measurement
from slmtui.core.results import CellResult, cell_results
from slmtui.lab import speed
from slmtui.lab.report import render
from slmtui.lab.services import Services

Output = Literal["md", "json", "jsonl", "csv"]


def bench(options: argparse.Namespace) -> int:
    """Measure the models and print llama-bench's rows with ours."""
    shape = _shape(options)
    problem = _problem(shape, options.threads)
    if problem:
        say(f"slmtui bench: {problem}")
        return USAGE

    async def run(services: Services) -> int:
        models = tuple({model.id: model for model in map(services.find, options.models)}.values())
        return await run_plan(services, speed.Plan(models=models, shape=shape, threads=options.threads), options.output)

    return with_services(run)


async def run_plan(services: Services, plan: speed.Plan, output: str) -> int:
    """Run the plan, print its result, and return 0 when every cell was measured.

    Raises:
        StoreError: a repetition cannot be written; those before it are printed and safe.
    """
    failed = False
    results: tuple[CellResult, ...] = ()
    measured: list[Measurement] = []
    try:
        async with aclosing(speed.run(services, plan)) as events:
            async for event in events:
                match event:
                    case speed.CellRunning():
                        progress(_running(event))
                    case speed.CellLoading(cell=cell, fraction=fraction):
                        progress(f"{cell.model.name}: loading {text.share(fraction)}")
                    case speed.CellMeasured(measurement=measurement):
                        measured.append(measurement)
                    case speed.CellFailed(cell=cell, failure=failure):
                        failed = True
                        say(f"slmtui: {cell.model.name}: {failure.message}")
                    case _:
                        pass
    finally:
        progress("")
        results = cell_results(measured)
        if results:
            table = render(results, await services.machine(), cast("Output", output))
            show(portable_json(table) if output in ("json", "jsonl") else table, end="")
    if any(result.noisy for result in results):
        say("Some cells are noisy (spread over 20 % of the median): close other programs and run them again.")
    return FAILED if failed or not results else DONE


def _running(event: speed.CellRunning) -> str:
    if event.warmup:
        return f"{event.cell.model.name}: warm-up {event.repetition + 1}"
    return f"{event.cell.model.name}: repetition {event.repetition + 1} of {event.of}"


def _shape(options: argparse.Namespace) -> speed.Shape:
    given = {
        "prompt_tokens": options.n_prompt,
        "generated_tokens": options.n_gen,
        "depth": options.n_depth,
        "repetitions": options.repetitions,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(speed.PRESETS[options.preset], **changes)


def _problem(shape: speed.Shape, threads: int | None) -> str | None:
    if min(shape.prompt_tokens, shape.generated_tokens, shape.depth) < 0:
        return "numbers of tokens cannot be negative"
    if not shape.prompt_tokens and not shape.generated_tokens:
        return "there is nothing to measure: give -p or -n"
    if shape.repetitions < 1:
        return "-r must be at least 1"
    if threads is not None and threads < 1:
        return "-t must be at least 1"
    return None
