"""Plans of tiny shapes, and their events, for tests of benchmarks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from slmtui.core.events import Prefilled
from slmtui.core.plan import Cell, Plan, Setup, Shape
from slmtui.lab import speed
from slmtui.lab.services import Services
from slmtui.lab.speed import BenchEvent, CellLoading, CellMeasured, CellProgress, CellRunning, Control, PlanEnded
from tests.lab.seats import model, workers

SMALL = Shape(prompt_tokens=32, generated_tokens=8)
LONG = Shape(prompt_tokens=256, generated_tokens=300)
_Event = TypeVar("_Event")


def plan(*paths: Path, shapes: Sequence[Shape] = (SMALL,), setup: Setup | None = None, **changes: object) -> Plan:
    """Every file in every shape, on one thread, three repetitions unless said otherwise."""
    identity = secrets.token_hex(4)
    cells = [
        Cell(key=f"{identity}.{number}.{shape.label}", model=model(path), setup=setup or Setup(threads=1), shape=shape)
        for number, path in enumerate(paths)
        for shape in shapes
    ]
    base = Plan(
        id=identity,
        preset="standard",
        cells=tuple(cells),
        repetitions=3,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    return msgspec.structs.replace(base, **changes)


async def events_of(
    shared: Services,
    wanted: Plan,
    control: Control | None = None,
    on_event: Callable[[list[BenchEvent]], object] | None = None,
) -> list[BenchEvent]:
    """All events of a run to its end; `on_event` sees those so far after each."""
    events: list[BenchEvent] = []
    async with aclosing(speed.run(shared, wanted, control)) as stream:
        async for event in stream:
            events.append(event)
            if on_event is not None:
                on_event(events)
    assert [isinstance(event, PlanEnded) for event in events] == [False] * (len(events) - 1) + [True]
    assert workers() == [], "the plan ended and its workers did not"
    assert shared.benchmarks == 0
    return events


def of(events: Iterable[BenchEvent], kind: type[_Event]) -> list[_Event]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def end(events: list[BenchEvent]) -> PlanEnded:
    """The last event."""
    last = events[-1]
    assert isinstance(last, PlanEnded)
    return last


def order(events: Iterable[BenchEvent]) -> list[tuple[int, Cell]]:
    """Repetitions in the order in which they began."""
    return [(event.repetition, event.cell) for event in of(events, CellRunning) if not event.warmup]


def in_a_repetition(events: list[BenchEvent]) -> bool:
    """Whether prefill of a counted repetition has just made progress."""
    last = events[-1]
    begun = [event.warmup for event in of(events, CellRunning)]
    return begun[-1:] == [False] and isinstance(last, CellProgress) and isinstance(last.event, Prefilled)


MOMENTS: dict[str, Callable[[list[BenchEvent]], bool]] = {
    "first load": lambda events: isinstance(events[-1], CellLoading),
    "warm-up": lambda events: isinstance(events[-1], CellRunning),
    "repetition begins": lambda events: isinstance(events[-1], CellRunning) and not events[-1].warmup,
    "in a repetition": in_a_repetition,
    "after the first": lambda events: isinstance(events[-1], CellMeasured),
}
