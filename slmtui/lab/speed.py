"""Benchmarks: plans are made, run, stopped and continued here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from slmtui.core import presets
from slmtui.core.catalog import LocalModel
from slmtui.core.events import Inspected
from slmtui.core.plan import Cell, Grid, Plan, PlanError, Setup, Shape, Unfinished
from slmtui.core.results import cell_results
from slmtui.lab.bench_events import (
    BenchEvent,
    CeilingWanted,
    CellFailed,
    CellLoading,
    CellMeasured,
    CellProgress,
    CellRunning,
    CellSkipped,
    Cooling,
    Hashing,
    Noticed,
    PlanEnded,
    Released,
    TimeLeft,
)
from slmtui.lab.bench_outlook import NoRoom, Outlook, outlook, pace_for
from slmtui.lab.bench_plans import forget, hold, let_go, measured, unfinished
from slmtui.lab.bench_run import BenchRun
from slmtui.lab.control import Control, told_by
from slmtui.lab.plan_files import hashing
from slmtui.lab.services import Services

__all__ = [
    "BenchEvent",
    "CeilingWanted",
    "Cell",
    "CellFailed",
    "CellLoading",
    "CellMeasured",
    "CellProgress",
    "CellRunning",
    "CellSkipped",
    "Control",
    "Cooling",
    "Grid",
    "Hashing",
    "NoRoom",
    "Noticed",
    "Outlook",
    "Plan",
    "PlanEnded",
    "PlanError",
    "Released",
    "Setup",
    "Shape",
    "TimeLeft",
    "Unfinished",
    "forget",
    "make_plan",
    "measured",
    "outlook",
    "run",
    "unfinished",
]


async def make_plan(services: Services, preset: str, models: Sequence[LocalModel], changes: Grid | None = None) -> Plan:
    """The preset's plan for this machine; a sweep looks into the files for the context they were trained with.

    Raises:
        PlanError: a value cannot be measured, or needs a device that is not here.
    """
    trained: dict[str, int] = {}
    if preset == presets.SWEEP and (changes is None or changes.depths is None):
        for model in models:
            told = await services.inspect(model)
            if isinstance(told, Inspected) and told.facts.trained_context:
                trained[model.id] = told.facts.trained_context
    return presets.make_plan(preset, models, changes, await services.machine(), trained)


async def run(services: Services, plan: Plan, control: Control | None = None) -> AsyncGenerator[BenchEvent]:
    """Measure what is missing of the plan; the last event is `PlanEnded`.

    The plan is in the store before its first run, and each repetition before it is yielded, so that killing this
    process loses at most the running one. Calling this again with the same plan, in this process or another,
    measures only what is missing. A cell that fails is given up and the rest goes on. Closing the iterator ends the
    workers at once.

    Raises:
        PlanError: the plan cannot be continued: a model's file is gone or another one, or a living process runs it.
        StoreError: the plan or a repetition cannot be written.
    """
    control = control or Control()
    events: asyncio.Queue[BenchEvent | None] = asyncio.Queue()
    services.benchmarks += 1
    try:
        async with aclosing(hashing(services, plan.models, control)) as told:
            async for hashed in told:
                yield hashed
        if control.stopped:
            yield PlanEnded(cell_results(await measured(services, plan.id)), stopped=True)
            return
        held = await hold(services, plan)
        try:
            pace = await pace_for(services, plan, held.measured)
            bench = BenchRun(services, held, control, pace, events.put_nowait)
            for words in held.notices:
                yield Noticed(words)
            async with aclosing(told_by(bench.run, bench.close, events)) as stream:
                async for event in stream:
                    yield event
        finally:
            await let_go(services, held)
    finally:
        services.benchmarks -= 1
    yield PlanEnded(cell_results(held.measured), control.stopped)
