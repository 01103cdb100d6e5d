"""Probes: plans are made, run, stopped, continued and extended here, and their answers read.

A screen or command makes a plan (`make_plan`), asks what it will take (`outlook`), iterates over `run`, and reads what
the answers say from `levels`, `gains_from_shots`, `gains_between` and `core.probe_words`. Everything that was asked can
be read again: `kept` lists the plans, `batches` has each question's prompt, answer and log-probabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from slmtui.core import probe_presets
from slmtui.core.catalog import LocalModel
from slmtui.core.probe import KeptProbe, ProbeBatch, ProbePlan
from slmtui.core.probe_presets import ProbeGrid
from slmtui.core.probe_results import Level, cell_scores, gains_between, gains_from_shots, levels
from slmtui.lab.bench_events import Hashing, Noticed, Released, TimeLeft
from slmtui.lab.control import Control, told_by
from slmtui.lab.plan_files import hashing
from slmtui.lab.probe_events import CellAnswered, CellAsking, CellGivenUp, ModelLoading, ProbeEnded, ProbeEvent
from slmtui.lab.probe_outlook import ModelOutlook, ProbeOutlook, notices, outlook, pace_for
from slmtui.lab.probe_plans import batches, extend, forget, hold, kept, let_go, read_tasks
from slmtui.lab.probe_run import ProbeRun
from slmtui.lab.services import Services

__all__ = [
    "CellAnswered",
    "CellAsking",
    "CellGivenUp",
    "Control",
    "Hashing",
    "KeptProbe",
    "Level",
    "ModelLoading",
    "ModelOutlook",
    "Noticed",
    "ProbeBatch",
    "ProbeEnded",
    "ProbeEvent",
    "ProbeGrid",
    "ProbeOutlook",
    "ProbePlan",
    "Released",
    "TimeLeft",
    "batches",
    "cell_scores",
    "extend",
    "forget",
    "gains_between",
    "gains_from_shots",
    "kept",
    "levels",
    "make_plan",
    "outlook",
    "run",
]


async def make_plan(
    preset: str, models: Sequence[LocalModel], specs: Sequence[str], changes: ProbeGrid | None = None
) -> ProbePlan:
    """The preset's plan; `specs` are ids of tasks or paths of files.

    Raises:
        PlanError: a value cannot be asked, or no task has what it needs.
        TaskError: there is no such task, or it is wrong.
    """
    tasks = [planned for planned, _ in await read_tasks(specs)]
    return probe_presets.make_plan(preset, models, tasks, changes)


async def run(services: Services, plan: ProbePlan, control: Control | None = None) -> AsyncGenerator[ProbeEvent]:
    """Ask what is missing of the plan; the last event is `ProbeEnded`.

    The plan is in the store before its first question, and each batch before it is yielded, so that killing this
    process loses at most the running one. Calling this again with the same plan, in this process or another, asks only
    what is missing. A cell that fails is given up and the rest goes on. Closing the iterator ends the worker at once.

    Raises:
        PlanError: the plan cannot be continued: a model's file or a task is gone or another one, or a living process
            runs it.
        TaskError: a task's file is gone or damaged.
        StoreError: the plan or a batch cannot be written.
    """
    control = control or Control()
    events: asyncio.Queue[ProbeEvent | None] = asyncio.Queue()
    services.benchmarks += 1
    try:
        async with aclosing(hashing(services, plan.models, control)) as told:
            async for hashed in told:
                yield hashed
        if control.stopped:
            yield ProbeEnded(levels(cell_scores(await batches(services, plan.id))), stopped=True)
            return
        held = await hold(services, plan)
        try:
            asking = ProbeRun(services, held, control, await pace_for(services, held.plan), events.put_nowait)
            for words in (*held.notices, *notices(held.plan)):
                yield Noticed(words)
            async with aclosing(told_by(asking.run, asking.close, events)) as stream:
                async for event in stream:
                    yield event
        finally:
            await let_go(services, held)
    finally:
        services.benchmarks -= 1
    yield ProbeEnded(levels(cell_scores(held.batches)), control.stopped)
