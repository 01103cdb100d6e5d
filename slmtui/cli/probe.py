"""`slmtui probe`."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing

from slmtui.cli import DONE, FAILED, USAGE
from slmtui.cli.continuing import chosen
from slmtui.cli.probe_flags import changes_of
from slmtui.cli.probe_words import (
    document,
    outlook_document,
    outlook_line,
    outlook_lines,
    plan_line,
    print_levels,
    step_words,
)
from slmtui.cli.terminal import print_json, progress, say, show, with_services
from slmtui.core.plan import PlanError
from slmtui.core.probe import ProbePlan
from slmtui.core.probe_presets import PRESETS, ProbeGrid
from slmtui.lab import probe as probes
from slmtui.lab.services import Services


def probe(options: argparse.Namespace) -> int:
    """Ask models questions with and without examples, and say what the answers show."""
    problem = _problem(options)
    if problem:
        say(f"slmtui probe: {problem}")
        return USAGE

    async def run(services: Services) -> int:
        plan = await _plan(services, options)
        if options.dry_run:
            return await _tell_outlook(services, plan, as_json=options.json)
        return await _run_plan(services, plan, as_json=options.json, fresh=options.resume is None)

    return with_services(run)


async def _run_plan(services: Services, plan: ProbePlan, *, as_json: bool, fresh: bool) -> int:
    """Run what is missing of the plan, print its result, and return 0 when every cell was answered.

    A `fresh` plan for which no model can be opened is not begun; one that goes on says itself what is in its way.
    """
    seen = await probes.outlook(services, plan)
    say(outlook_line(plan, seen))
    if seen.hopeless and fresh:
        for each in seen.models:
            say(f"slmtui: {each.model.name}: {each.failure}")
        return FAILED
    failed = True
    try:
        failed = await _run(services, plan)
    except asyncio.CancelledError:
        progress("")
        if plan.id in {one.plan.id for one in await probes.kept(services) if one.unfinished}:  # else it was not begun
            say("Finished batches are kept; `slmtui probe --continue` asks the rest.")
        raise
    finally:
        progress("")
        levels = probes.levels(probes.cell_scores(await probes.batches(services, plan.id)))
        if as_json:
            print_json(document(plan, levels))
        elif levels:
            print_levels(levels)
    if levels and services.session is not None:
        say(f"`slmtui export {services.session.id} --answers` writes every prompt and answer to a file.")
    return FAILED if failed or not levels else DONE


async def _run(services: Services, plan: ProbePlan) -> bool:
    """Run the plan with a line of progress and return whether a cell failed."""
    failed = False
    left_s: float | None = None
    said: set[tuple[str, str]] = set()
    async with aclosing(probes.run(services, plan)) as events:
        async for event in events:
            match event:
                case probes.TimeLeft(seconds=left_s):
                    pass
                case probes.Noticed(words=words):
                    say(words)
                case probes.CellGivenUp(cell=cell, failure=failure) if failure is not None:
                    failed = True
                    if (cell.model.name, failure.message) not in said:
                        say(f"slmtui: {cell.model.name} · {cell.label}: {failure.message}")
                    said.add((cell.model.name, failure.message))
                case probes.Hashing():
                    progress(event.words)
                case probes.ModelLoading() | probes.CellAsking():
                    progress(step_words(event, left_s))
                case _:
                    pass
    return failed


async def _plan(services: Services, options: argparse.Namespace) -> ProbePlan:
    """A new plan, or the one that is continued, which asks more where flags say so."""
    changes, models = changes_of(options), tuple({one.id: one for one in map(services.find, options.models)}.values())
    specs = [spec for each in options.tasks or () for spec in each]
    if options.resume is None:
        return await probes.make_plan(options.preset, models, specs, changes)
    more = bool(models or specs or changes != ProbeGrid())
    # One that is finished can only ask more, and has to be named.
    found = [one for one in await probes.kept(services) if one.unfinished or (more and options.resume and not one.held)]
    plan = chosen(found, options.resume, "probe", plan_line).plan
    return await probes.extend(services, plan, models, specs, changes) if more else plan


async def _tell_outlook(services: Services, plan: ProbePlan, *, as_json: bool) -> int:
    seen = await probes.outlook(services, plan)
    if as_json:
        print_json(outlook_document(plan, seen))
    else:
        for line in outlook_lines(plan, seen):
            show(line)
    return FAILED if any(each.failure is not None or each.no_room is not None for each in seen.models) else DONE


def _problem(options: argparse.Namespace) -> str | None:
    if options.resume is None and not options.models:
        return "name at least one model, or go on with an interrupted probe: --continue"
    if options.resume is None and not options.tasks:
        return "name at least one task: --task sentiment (`slmtui tasks` lists them), or --task my.jsonl"
    try:
        PRESETS[options.preset].changed_by(changes_of(options)).checked()
    except PlanError as error:
        return str(error)
    return None
