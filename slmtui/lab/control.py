"""How the one who runs a plan steers it, and how what it reports comes to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

_Event = TypeVar("_Event")


class Keyed(Protocol):
    """A cell of any kind of plan."""

    @property
    def key(self) -> str:
        """Unique in its plan."""
        ...


class Control:
    """Steers one run of a plan from outside; belongs to the event loop that the plan runs in."""

    def __init__(self) -> None:
        self._stopped = False
        self._skipped: set[str] = set()
        self._running: dict[str, asyncio.Event] = {}

    @property
    def stopped(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stopped

    def stop(self) -> None:
        """Cancel what runs and end the plan; it can be continued later."""
        self._stopped = True
        for end in self._running.values():
            end.set()

    def skip(self, key: str | None = None) -> None:
        """Leave out the cell with this key, or what runs now."""
        keys = tuple(self._running) if key is None else (key,)
        self._skipped.update(keys)
        for each in keys:
            if each in self._running:
                self._running[each].set()

    def ends(self, cell: Keyed) -> bool:
        """Whether the cell shall not go on."""
        return self._stopped or self.skips(cell)

    def skips(self, cell: Keyed) -> bool:
        """Whether somebody asked to leave out the cell."""
        return cell.key in self._skipped

    @contextmanager
    def running(self, cell: Keyed) -> Iterator[asyncio.Event]:
        """The cell runs in this block; the event is set as soon as it shall not go on."""
        end = self._running[cell.key] = asyncio.Event()
        if self.ends(cell):
            end.set()
        try:
            yield end
        finally:
            del self._running[cell.key]


async def told_by(
    run: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]], events: asyncio.Queue[_Event | None]
) -> AsyncGenerator[_Event]:
    """What a run puts into the queue, to its end; `close` is called when this ends or is closed.

    Raises:
        Exception: what the run raised.
    """
    task = asyncio.ensure_future(run())
    task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await close()
