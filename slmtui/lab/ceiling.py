"""The machine's ceiling: measured once for a machine and engine build, then remembered in a file."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slmtui.core.ceiling import Ceiling
from slmtui.core.machine import Machine

if TYPE_CHECKING:
    from slmtui.engine.ceiling import Order
    from slmtui.lab.services import Services

_LOOK_EVERY_S = 0.05
_TRIES = 3
_PATIENCE_S = 6.0
"""After this long a disturbed measurement is not made again: a busy machine would not let the next one be better."""
DOUBTFUL_S = 60.0
"""How long a disturbed measurement serves, so that a busy machine does not spend six seconds on each plan."""


def known(services: Services) -> Ceiling | None:
    """What was measured on this machine with this build of the engine; None before, or before `services.machine()`."""
    machine = services.surroundings.detected
    return None if machine is None else _remembered(_file(services), _key(machine))


async def measured(services: Services, *, anew: bool = False) -> Ceiling:
    """The ceiling, measured in a child process within about six seconds if it is not known, or `anew`.

    While a model loads, answers or is measured it waits, and a measurement that one of them begins beside is given up
    and made again. It is remembered unless one of its two parts is missing altogether, or other programs disturbed it
    each time that it was made: then it serves for a minute, and the next question measures again.
    """
    machine = await services.machine()
    async with services.surroundings.measuring:
        found = None if anew else await asyncio.to_thread(_at_hand, services)
        if found is None:
            found = await _best(services, await _order(services, machine))
            services.surroundings.doubtful = None
            if found.read_bytes_per_s is not None and found.matmul and not found.disturbed:
                await asyncio.to_thread(remember, services, found)
            else:
                services.surroundings.doubtful = found, time.monotonic()
    return found


def _at_hand(services: Services) -> Ceiling | None:
    """What is known, or what was measured in vain a short while ago."""
    doubtful = services.surroundings.doubtful
    if (found := known(services)) is not None or doubtful is None:
        return found
    return doubtful[0] if time.monotonic() - doubtful[1] < DOUBTFUL_S else None


def due(services: Services) -> bool:
    """Whether `measured` would measure; after `services.machine()`."""
    return _at_hand(services) is None


def remember(services: Services, found: Ceiling) -> None:
    """Take this for the ceiling of the machine from now on; after `services.machine()`."""
    assert services.surroundings.detected is not None
    _remember(_file(services), _key(services.surroundings.detected), found)


async def _best(services: Services, order: Order) -> Ceiling:
    """The first measurement that other programs did not disturb, or the least disturbed of those that time allows."""
    tries: list[Ceiling] = []
    until_s = time.monotonic() + _PATIENCE_S
    while not tries or (tries[-1].disturbed and len(tries) < _TRIES and time.monotonic() < until_s):
        tries.append(await _alone(services, order))
    return max(tries, key=lambda each: 1.0 if each.cpu_share is None else each.cpu_share)


async def _alone(services: Services, order: Order) -> Ceiling:
    from slmtui.engine import ceiling

    while True:
        for _ in iter(lambda: _busy(services), False):
            await asyncio.sleep(_LOOK_EVERY_S)
        measuring = asyncio.create_task(ceiling.measure(order))
        try:
            while not measuring.done() and not _busy(services):
                await asyncio.wait({measuring}, timeout=_LOOK_EVERY_S)
            if measuring.done():
                return measuring.result()
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)


def _busy(services: Services) -> bool:
    return any(loaded.busy for loaded in services.loaded)


async def _order(services: Services, machine: Machine) -> Order:
    from slmtui.engine.ceiling import Order
    from slmtui.sources.detect_cache import last_cache_bytes

    return Order(
        threads=machine.cpu.threads,
        cache_bytes=await asyncio.to_thread(last_cache_bytes),
        available_bytes=(await services.memory_now()).available_bytes,
        extra_buffers=_extra_buffers(machine),
    )


def _extra_buffers(machine: Machine) -> bool:
    """Whether models are loaded with repacked weights here."""
    return all(engine.trial in ("sound", "processor only") for engine in machine.engines if engine.name == "llama.cpp")


def _file(services: Services) -> Path:
    return services.paths.cache / "ceiling.json"


def _key(machine: Machine) -> str:
    from slmtui.engine.trial import fingerprint

    cpu = machine.cpu
    buffers = "extra" if _extra_buffers(machine) else "plain"
    return f"{platform.node()} {cpu.name} {cpu.threads} {buffers} {fingerprint()} with steps"


def _remembered(file: Path, key: str) -> Ceiling | None:
    """None for a file that is missing, damaged or of another machine."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Ceiling]).get(key)
    except (OSError, msgspec.DecodeError):
        return None


def _remember(file: Path, key: str, ceiling: Ceiling) -> None:
    """Keep the newest only; a folder that cannot be written costs another measurement the next time."""
    from slmtui.sources.atomic import write_atomically

    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.encode({key: ceiling}))
