"""Plans of any kind from one run of the program to the next: begun, continued with the same model files, left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from slmtui import __version__
from slmtui.core.catalog import LocalModel
from slmtui.core.plan import Cell, Plan, PlanError
from slmtui.core.probe import ProbeCell, ProbePlan
from slmtui.lab.bench_events import Hashing
from slmtui.lab.control import Control
from slmtui.lab.services import Services
from slmtui.sources.store import StoreError
from slmtui.sources.store_held import HeldPlans, Stored

_TELL_EVERY_S = 0.2


class Held(Protocol):
    """A plan in this process's hands."""

    session: str
    """Id of the session that what is measured goes to."""
    notices: tuple[str, ...]
    """Sentences about what is not as it was when the plan began."""

    @property
    def todo(self) -> Sequence[Cell] | Sequence[ProbeCell]:
        """Cells of which something is missing."""
        ...


async def begin(services: Services, plans: HeldPlans[Any, Any], plan: Plan | ProbePlan) -> str:
    """Write a new plan into the store, held by this process, and return the id of its session.

    Raises:
        StoreError: the store cannot be written.
    """
    session = await services.running_session()
    files, engine = await hashes(services, plan.models), await engine_version(services)
    record = plans.RECORD(plan=plan, sha256=files, slmtui=__version__, engine=engine)
    await asyncio.to_thread(plans.begin, record, session.id)
    return session.id


async def go_on(services: Services, plans: HeldPlans[Any, Any], stored: Stored[Any, Any], held: Held) -> None:
    """See whether a plan can go on where it was left, and in which session; note what has changed since.

    Raises:
        PlanError: a model's file is gone or another one.
        StoreError: the store cannot be written.
    """
    record = stored.record
    await check_files(services, {cell.model.id: cell.model for cell in held.todo}.values(), record.sha256)
    if await asyncio.to_thread(services.store.reopen_session, stored.session) is None:
        # It ended before anything was measured.
        held.session = (await services.running_session()).id
        await asyncio.to_thread(plans.move, record.plan.id, held.session)
    elif held.todo:
        held.notices = tuple(differences(record.slmtui, record.engine, await engine_version(services)))


async def leave(services: Services, plans: HeldPlans[Any, Any], plan_id: str, session: str, *, finished: bool) -> None:
    """Leave a plan to whoever continues it, or note that it is done; its session ends if it is not the running one.

    A store that was closed meanwhile is left as it is: the plan is free as soon as this process has ended.
    """
    with contextlib.suppress(StoreError):
        await asyncio.to_thread(plans.release, plan_id, "done" if finished else None)
        if services.session is None or services.session.id != session:
            await asyncio.to_thread(services.store.end_session, session)


async def check_files(services: Services, models: Iterable[LocalModel], known: Mapping[str, str]) -> None:
    """See whether the models are those that the plan began with.

    Raises:
        PlanError: a file is gone or has another content.
    """
    for model in models:
        expected = known.get(str(model.path))
        if expected is None:
            continue
        found = await services.sha256(model.path)
        if found is None:
            raise PlanError(
                f"the plan cannot go on: the file of {model.name} is gone ({model.path}); put it back, or begin anew"
            )
        if found != expected:
            raise PlanError(
                f"the plan cannot go on: the file of {model.name} is not the one that was measured ({model.path}, "
                "its SHA-256 differs); put that one back, or begin anew"
            )


async def hashing(services: Services, models: Iterable[LocalModel], control: Control) -> AsyncGenerator[Hashing]:
    """Find out the hashes of model files that are not known yet, and tell how far that is where it takes time.

    It ends early when somebody asks to stop.
    """
    for model in models:
        read: list[int] = []
        task = asyncio.ensure_future(services.sha256(model.path, partial(_note, control, read)))
        try:
            while not control.stopped and not (await asyncio.wait({task}, timeout=_TELL_EVERY_S))[0]:
                yield Hashing(model, min(1.0, sum(read) / max(1, model.size_bytes)))
            if task.done():
                await task  # a file that cannot be read is no error here; what else went wrong is
        finally:
            task.cancel()


def _note(control: Control, read: list[int], count: int) -> None:
    """Note how much more was read of a file; once somebody asked to stop, the rest of it is not read."""
    if control.stopped:
        raise InterruptedError
    read.append(count)


async def hashes(services: Services, models: Iterable[LocalModel]) -> dict[str, str]:
    """Path of each model file to its SHA-256; files that cannot be read are left out."""
    found = {str(model.path): await services.sha256(model.path) for model in models}
    return {path: sha256 for path, sha256 in found.items() if sha256 is not None}


async def engine_version(services: Services) -> str | None:
    """Version of the engine on this machine."""
    engines = (await services.machine()).engines
    return engines[0].version if engines else None


def differences(slmtui: str, engine: str | None, engine_now: str | None) -> Iterable[str]:
    """Sentences about what is another version than when the plan began."""
    for what, before, now in (("slmtui", slmtui, __version__), ("the engine", engine, engine_now)):
        if before != now:
            yield f"The repetitions before were measured with {what} {before}, those to come with {now}."
