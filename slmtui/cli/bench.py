"""`slmtui bench`."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing
from typing import cast

from slmtui.cli import DONE, FAILED, USAGE
from slmtui.cli.bench_flags import changes_of
from slmtui.cli.bench_words import (
    beside_rows,
    outlook_line,
    outlook_lines,
    plan_line,
    problem_lines,
    selfcheck_rows,
    step_words,
)
from slmtui.cli.continuing import chosen
from slmtui.cli.terminal import (
    MEASURING_CEILING,
    portable_json,
    print_json,
    print_table,
    progress,
    say,
    say_table,
    show,
    with_services,
)
from slmtui.core.devices import beside, sentence
from slmtui.core.plan import Grid, Plan, PlanError
from slmtui.core.presets import PRESETS
from slmtui.core.results import CellResult, cell_results
from slmtui.lab import speed
from slmtui.lab.report import Output, render
from slmtui.lab.services import Services


def bench(options: argparse.Namespace) -> int:
    """Measure the models and print llama-bench's rows with ours."""
    changes = changes_of(options)
    problem = _problem(options, changes)
    if problem:
        say(f"slmtui bench: {problem}")
        return USAGE

    async def run(services: Services) -> int:
        if options.resume is not None:
            plan = chosen(await speed.unfinished(services), options.resume, "benchmark", plan_line).plan
        else:
            models = tuple({model.id: model for model in map(services.find, options.models)}.values())
            plan = await speed.make_plan(services, options.preset, models, changes)
        if options.dry_run:
            return await _tell_outlook(services, plan, as_json=options.output == "json")
        fresh = options.resume is None
        return await run_plan(services, plan, options.output, selfcheck=options.selfcheck, fresh=fresh)

    return with_services(run)


async def run_plan(services: Services, plan: Plan, output: str, *, selfcheck: bool = False, fresh: bool = True) -> int:
    """Run what is missing of the plan, print its result, and return 0 when every cell was measured.

    A `fresh` plan of which nothing can be measured is not begun; one that goes on says itself what is in its way.

    Raises:
        PlanError: the plan cannot be continued.
        StoreError: a repetition cannot be written; those before it are printed and safe.
    """
    seen = await speed.outlook(services, plan)
    say(outlook_line(plan, seen))
    refused = {(each.model.name, each.why) for each in seen.refused if fresh}
    for name, why in sorted(refused):
        say(f"slmtui: {name}: {why}")
    if seen.hopeless and fresh:
        return FAILED
    failed = True
    try:
        failed = await _run(services, plan, refused)
    except asyncio.CancelledError:
        progress("")
        if plan.id in {one.plan.id for one in await speed.unfinished(services)}:  # else it was not begun yet
            say("Finished repetitions are kept; `slmtui bench --continue` measures the rest.")
        raise
    finally:
        progress("")
        results = cell_results(await speed.measured(services, plan.id))
        await _print(services, results, output)
        if selfcheck and results:
            say("Our times beside the engine's own counters, the median difference of each cell:")
            (print_table if output == "md" else say_table)(selfcheck_rows(plan, results))
        for each in beside(results):
            (show if output == "md" else say)(f"\n{sentence(each)}:")
            (print_table if output == "md" else say_table)(beside_rows(each, plan))
    if any(result.noisy for result in results):
        say("Some cells are noisy (spread over 20 % of the median): close other programs and run them again.")
    return FAILED if failed or not results else DONE


async def _run(services: Services, plan: Plan, said: set[tuple[str, str]]) -> bool:
    """Run the plan with a line of progress and return whether a cell failed; a model's failure is said once.

    `said` are models' names with those that were said before.
    """
    failed = False
    left_s: float | None = None
    async with aclosing(speed.run(services, plan)) as events:
        async for event in events:
            match event:
                case speed.TimeLeft(seconds=left_s):
                    pass
                case speed.Noticed(words=words):
                    say(words)
                case speed.Hashing():
                    progress(event.words)
                case speed.CeilingWanted():
                    progress(MEASURING_CEILING)
                case speed.CellFailed(cell=cell, failure=failure):
                    failed = True
                    if (cell.model.name, failure.message) not in said:
                        say(f"slmtui: {cell.model.name}: {failure.message}")
                    said.add((cell.model.name, failure.message))
                case speed.CellLoading() | speed.CellRunning() | speed.Cooling():
                    progress(step_words(plan, event, left_s))
                case _:
                    pass
    return failed


async def _print(services: Services, results: tuple[CellResult, ...], output: str) -> None:
    if results:
        table = render(results, await services.machine(), cast("Output", output))
        show(portable_json(table) if output in ("json", "jsonl") else table, end="")


async def _tell_outlook(services: Services, plan: Plan, *, as_json: bool) -> int:
    seen = await speed.outlook(services, plan)
    if as_json:
        print_json(
            {
                "preset": plan.preset,
                "cells": [
                    {"cell": cell.key, "model": cell.model.id, "test": cell.shape.label, "label": cell.label}
                    for cell in plan.cells
                ],
                "repetitions": seen.repetitions,
                "seconds": seen.seconds,
                "basis": seen.basis,
                "will_not_fit": [
                    {"model": each.model.id, "needed_bytes": each.needed_bytes, "available_bytes": each.available_bytes}
                    for each in seen.will_not_fit
                ],
                "refused": [{"model": each.model.id, "why": each.why} for each in seen.refused],
            }
        )
    else:
        for line in outlook_lines(plan, seen):
            show(line)
    for line in problem_lines(seen):
        say(f"slmtui: {line}")
    return FAILED if seen.refused or seen.will_not_fit else DONE


def _problem(options: argparse.Namespace, changes: Grid) -> str | None:
    if options.resume is not None and (options.models or changes != Grid()):
        return "--continue goes on with a plan as it was begun: give neither models nor what to measure"
    if options.resume is None and not options.models:
        return "name at least one model, or go on with an interrupted benchmark: --continue"
    try:
        PRESETS[options.preset].changed_by(changes).checked()
    except PlanError as error:
        return str(error)
    return None
