"""Whether a plan can go on where it was left: the same model files, and what else has changed since."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from slmtui import __version__
from slmtui.core.catalog import LocalModel
from slmtui.core.plan import PlanError
from slmtui.lab.services import Services
from slmtui.sources.store import StoreError
from slmtui.sources.store_held import HeldPlans


async def leave(services: Services, plans: HeldPlans[Any], plan_id: str, session: str, *, finished: bool) -> None:
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
