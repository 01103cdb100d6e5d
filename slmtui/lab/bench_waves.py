"""Which workers a plan needs, what memory each takes, and which of them fit into the machine together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

import msgspec

from slmtui.core import text
from slmtui.core.events import MAIN_MEMORY, Failed, FailureKind, Inspected, MemoryPart, total_bytes
from slmtui.core.plan import Cell, Setup, context_for
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.loading import RESERVE_BYTES, LoadOptions
from slmtui.lab.services import Services


class Room(msgspec.Struct, frozen=True):
    """Bytes of main memory and of video memory; None where that is not known."""

    main: int | None
    video: int | None

    def holds(self, needs: Iterable[Room | None]) -> bool:
        """Whether all of it fits; what is not known is taken to fit, since the engine refuses what does not."""
        known = [need for need in needs if need is not None]
        main, video = sum(need.main or 0 for need in known), sum(need.video or 0 for need in known)
        return Room(main, video).beyond(self) is None

    def beyond(self, room: Room) -> tuple[int, int] | None:
        """What is needed and what is free, of the kind of memory that is too little; None when all fits."""
        for needed, available in ((self.main, room.main), (self.video, room.video)):
            if needed is not None and available is not None and needed > available:
                return needed, available
        return None


@dataclass(eq=False)
class BenchWorker:
    """One model in one setup, with the cells that it measures."""

    cells: list[Cell]
    services: Services
    need: Room | None = None
    """What the dry run says that it takes, the worker itself included; None before it, or when it failed."""
    refusal: str | None = None
    """Why the dry run failed."""
    loaded: LoadedModel = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = LoadedModel(self.services, self.cells[0].model, options_of(self.cells))

    def leave_out(self, gone: Sequence[Cell]) -> None:
        """Measure less, in a context that is as large as the rest needs."""
        self.cells = [cell for cell in self.cells if cell not in gone]
        self.loaded.options = options_of(self.cells)


def options_of(cells: Sequence[Cell]) -> LoadOptions:
    """How to load the model for cells of one setup."""
    setup = cells[0].setup
    given = {name: getattr(setup, name) for name in Setup.__struct_fields__ if name != "context"}
    had = {name: value for name, value in given.items() if value is not None}
    return LoadOptions(**had, context=context_for(cells))


def workers_for(services: Services, cells: Sequence[Cell]) -> list[BenchWorker]:
    """One for each model and setup, in the order of the cells."""
    groups: dict[tuple[str, Setup], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.model.id, cell.setup), []).append(cell)
    return [BenchWorker(group, services) for group in groups.values()]


def groups_of(workers: Sequence[BenchWorker], *, together: bool) -> list[list[tuple[BenchWorker, Cell]]]:
    """What runs at the same time, in turn: the first cell of each worker, then the second of each …

    Alone, each is a group of its own, and neighbours are of different workers.
    """
    columns = zip_longest(*([(worker, cell) for cell in worker.cells] for worker in workers))
    rows = [[pair for pair in column if pair is not None] for column in columns]
    return rows if together else [[pair] for pair in chain(*rows)]


async def size(worker: BenchWorker) -> None:
    """Find out by a dry run what the worker takes."""
    told = await worker.services.inspect(worker.loaded.model, options=worker.loaded.options)
    worker.need, worker.refusal = None, None
    if isinstance(told, Inspected):
        worker.need = need(told.planned)
    else:
        worker.refusal = told.message


async def free(services: Services) -> Room:
    """Main and video memory that can be taken now."""
    machine = await services.machine()
    main = (await services.memory_now()).available_bytes
    if not any(gpu.vendor == "NVIDIA" for gpu in machine.gpus):
        return Room(main, None)
    from slmtui.sources.detect_nvidia import nvidia_gpus

    gpus, _ = await asyncio.to_thread(nvidia_gpus, None)
    known = [gpu.memory_free_bytes for gpu in gpus if gpu.memory_free_bytes is not None]
    return Room(main, sum(known) if known else None)


async def shrink(worker: BenchWorker, room: Room) -> list[tuple[Cell, Failed]]:
    """Leave out the cells whose context is too large for the machine, as long as others remain."""
    gone: list[tuple[Cell, Failed]] = []
    while worker.need is not None and not room.holds([worker.need]):
        largest = context_for(worker.cells)
        deepest = [cell for cell in worker.cells if context_for([cell]) == largest]
        if len(deepest) == len(worker.cells):
            break  # the engine says what does not fit
        failure = Failed(
            kind=FailureKind.OUT_OF_MEMORY,
            message=f"{deepest[0].shape.label} needs {_words(worker.need)} and {_words(room)} is free. "
            "Close other programs, or measure with a smaller depth.",
        )
        gone += [(cell, failure) for cell in deepest]
        worker.leave_out(deepest)
        await size(worker)
    return gone


def together_in(workers: Sequence[BenchWorker], room: Room) -> list[BenchWorker]:
    """The workers of one wave: the first, and each later one that still fits beside those before it."""
    wave: list[BenchWorker] = []
    for worker in workers:
        if not wave or room.holds([*(one.need for one in wave), worker.need]):
            wave.append(worker)
    return wave


def need(planned: tuple[MemoryPart, ...]) -> Room:
    """What a worker takes whose dry run planned this, the worker itself included."""
    main = total_bytes(tuple(part for part in planned if part.device == MAIN_MEMORY))
    return Room(main + RESERVE_BYTES, total_bytes(planned) - main)


def _words(room: Room) -> str:
    video = f" and {text.memory(room.video)} of video memory" if room.video else ""
    return text.memory(room.main) + video
