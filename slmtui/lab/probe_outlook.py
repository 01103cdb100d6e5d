"""What a probe will take, said before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed
from slmtui.core.pace import Speeds
from slmtui.core.probe import ProbeCell, ProbePlan
from slmtui.core.probe_pace import ProbePace
from slmtui.core.probe_presets import left_out
from slmtui.core.probe_sizes import Work
from slmtui.lab import bench_waves
from slmtui.lab.bench_outlook import NoRoom
from slmtui.lab.probe_plans import HeldProbe, batches, tasks_of
from slmtui.lab.probe_sizing import sizes
from slmtui.lab.services import Services


class ModelOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to be asked of one model."""

    model: LocalModel
    cells: int
    questions: int
    """Of all its cells together."""
    work: Work | None = None
    """Tokens to evaluate, what questions share once, and tokens of open answers; None when it cannot be opened."""
    seconds: float | None = None
    """None when nothing was measured before from which it could be told."""
    no_room: NoRoom | None = None
    """What it needs and what is free, when that is too little."""
    too_long: tuple[ProbeCell, ...] = ()
    """Cells whose texts may be longer than those that the model was trained with; they would fail."""
    failure: str | None = None
    """Why it cannot be opened."""


class ProbeOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to be asked, and what it will take."""

    models: tuple[ModelOutlook, ...]
    continued: bool
    """Whether a part is answered already."""
    notices: tuple[str, ...]
    """Sentences about what the plan leaves out."""

    @property
    def cells(self) -> int:
        """Of all models."""
        return sum(each.cells for each in self.models)

    @property
    def questions(self) -> int:
        """Of all cells together."""
        return sum(each.questions for each in self.models)

    @property
    def work(self) -> Work:
        """Of the models that can be opened."""
        return sum((each.work for each in self.models if each.work is not None), Work())

    @property
    def seconds(self) -> float | None:
        """Of the models that can be opened; None when one's is not known."""
        known = [each.seconds for each in self.models if each.failure is None]
        return None if self.hopeless or None in known else sum(filter(None, known))

    @property
    def hopeless(self) -> bool:
        """Whether something is left to ask and no model can be opened for it."""
        return bool(self.models) and all(each.failure is not None for each in self.models)

    @property
    def basis(self) -> str:
        """What the time rests on, or why it is not known."""
        if not self.models:
            return "nothing is left to ask"
        if self.hopeless:
            return "not known: no model can be opened"
        unknown = [each.model.name for each in self.models if each.failure is None and each.seconds is None]
        if unknown:
            return f"not known yet: nothing was measured here before with {', '.join(unknown)}"
        return "from the answers so far" if self.continued else "from earlier measurements on this machine"


async def outlook(services: Services, plan: ProbePlan) -> ProbeOutlook:
    """Say how much is still to be asked, how long it will take, and what does not fit.

    Raises:
        PlanError: a task has changed since the plan was made.
        TaskError: a task's file is gone or damaged.
        StoreError: the store cannot be read.
    """
    done = await batches(services, plan.id)
    held = HeldProbe(plan, await tasks_of(plan), "", list(done))
    pace = await pace_for(services, plan)
    models = {cell.model.id: cell.model for cell in held.todo}.values()
    return ProbeOutlook(
        models=tuple([await _of_model(services, held, model, pace) for model in models]),
        continued=bool(done),
        notices=tuple(notices(plan)),
    )


async def pace_for(services: Services, plan: ProbePlan) -> ProbePace:
    """What is known before the next batch: speeds of earlier probes on this machine, else of earlier benchmarks.

    Raises:
        StoreError: the store cannot be read.
    """
    speeds: dict[str, Speeds] = dict(await services.speeds())
    for model in plan.models:
        latest = await asyncio.to_thread(services.store.probes.latest, model.id)
        if latest is not None:
            timing, known = latest.measurement.timing, speeds.get(model.id, (None, None))
            speeds[model.id] = timing.prefill_tps or known[0], timing.decode_tps or known[1]
    return ProbePace(speeds)


def notices(plan: ProbePlan) -> Iterable[str]:
    """What the plan cannot ask of some of its tasks, in sentences."""
    wanted = tuple(dict.fromkeys(cell.labels for cell in plan.cells))
    for labels, names in left_out(plan.tasks, wanted).items():
        yield f"Not asked with {labels} labels, because their questions do not share few options: {', '.join(names)}."
    for task in plan.tasks:
        if task.items < plan.questions:
            yield f"{task.id} has {task.items} questions; all of them are asked."
    without = [task.id for task in plan.tasks if not task.labels]
    if plan.calibrated and without:
        yield f"Not calibrated, because their questions do not share their options: {', '.join(without)}."


async def _of_model(services: Services, held: HeldProbe, model: LocalModel, pace: ProbePace) -> ModelOutlook:
    cells = [cell for cell in held.todo if cell.model.id == model.id]
    found = ModelOutlook(model=model, cells=len(cells), questions=sum(len(held.missing(cell)) for cell in cells))
    sized = await sizes(services, held.plan, model, held.tasks)
    if isinstance(sized, Failed):
        return msgspec.structs.replace(found, failure=sized.message)
    told = await services.inspect(model, options=sized.options(held.plan, cells))
    if isinstance(told, Failed):
        return msgspec.structs.replace(found, failure=told.message)
    work = sum((sized.work(cell, held.missing(cell)) for cell in cells), Work())
    short = bench_waves.need(told.planned).beyond(await bench_waves.free(services))
    return msgspec.structs.replace(
        found,
        work=work,
        seconds=pace.seconds(model.id, work),
        too_long=sized.too_long(cells),
        no_room=None if short is None else NoRoom(model, *short),
    )
