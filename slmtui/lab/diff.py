"""Two sessions compared, or two models of one."""

from __future__ import annotations

import asyncio

import msgspec

from slmtui.core.devices import of_device
from slmtui.core.diff import TOLERANCE_FRAC, Comparison, DiffError, compare, of_model
from slmtui.core.measurement import Session
from slmtui.core.results import CellResult, cell_results
from slmtui.core.text import one_line
from slmtui.core.unlike import unlike
from slmtui.lab.services import Services


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared: a session, or one model of it."""

    session: Session
    model: str | None = None
    """Which model of the session; None for all of it."""
    device: str | None = None
    """Where its cells ran; None for everywhere."""


class SessionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Two sides and how B compares with A."""

    a: Side
    b: Side
    comparison: Comparison
    unlike: tuple[str, ...]
    """A sentence for everything else that is not the same on both sides."""


async def find_session(services: Services, wanted: str) -> Session:
    """The session that an id, its beginning, `latest`, or the name of just one session means.

    Raises:
        DiffError: several sessions have this name.
        StoreError: there is no such session, or more than one begins so.
    """
    name = one_line(wanted).casefold()
    named = [session for session in await services.sessions() if session.name.casefold() == name and name != "latest"]
    exact = [session for session in named if session.name == one_line(wanted)]
    if len(exact or named) == 1:
        return (exact or named)[0]
    if named:
        ids = ", ".join(session.id for session in named)
        raise DiffError(f"{len(named)} sessions are named {one_line(wanted)} ({ids}); give the id of one")
    return await asyncio.to_thread(services.store.session, wanted)


async def diff(services: Services, a: Side, b: Side, tolerance: float = TOLERANCE_FRAC) -> SessionDiff:
    """Compare B with A; `tolerance` is a share, such as 0.05.

    Raises:
        DiffError: both sides are the same, a model was not measured, or they have nothing in common.
        StoreError: the store cannot be read.
    """
    if a == b:
        raise DiffError("both sides are the same session; give two, or two models or devices of it")
    ours, theirs = await _results(services, a), await _results(services, b)
    across = a.model is not None and b.model is not None
    devices = a.device is not None and b.device is not None
    comparison = compare(ours, theirs, tolerance, across_models=across, across_devices=devices)
    if not comparison.cells:
        raise DiffError(
            f"sessions {a.session.id} and {b.session.id} have nothing in common: no cell of the same "
            f"{'' if across else 'model, '}shape and settings was measured in both"
        )
    return SessionDiff(
        a=a, b=b, comparison=comparison, unlike=unlike(comparison, a.session, b.session, across_models=across)
    )


async def _results(services: Services, side: Side) -> tuple[CellResult, ...]:
    results = cell_results(await services.measurements(side.session.id))
    results = results if side.device is None else of_device(results, side.device)
    return results if side.model is None else of_model(results, side.model)
