"""What tests of the app share: a running app with real services, and waiting for something to become true."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from textual.app import App
from textual.events import Callback, Timer
from textual.message import Message
from textual.notifications import Notify
from textual.pilot import Pilot
from textual.widgets import Static

from slmtui.core.events import ProcessMemory, Timing
from slmtui.core.measurement import Session
from slmtui.lab.services import Services
from slmtui.sources.resources import pocket_folder
from slmtui.ui.app import SlmtuiApp
from tests.samples import ENVIRONMENT, measurement

PATIENCE_S = 60.0
"""Machines that run tests are slow; a test that waits this long has failed."""
MOST_HOPS = 20
"""How many queues one after another a key goes through at most, with what it brings about."""
_Result = TypeVar("_Result")


class Heard:
    """What widgets hear: how many messages, without those that come by themselves, and every short notice."""

    def __init__(self) -> None:
        self.number = 0
        self.notices: list[Notify] = []

    def __call__(self, message: Message) -> None:
        """Take note of a message that arrives at a widget."""
        if not isinstance(message, Callback | Timer):
            self.number += 1
        if isinstance(message, Notify):
            self.notices.append(message)


class Patient(Pilot[_Result]):
    """A pilot that goes on once a key or a click is through every queue of the app, with what it brought about there.

    Textual's own waits until the process seems idle, as one does too whose processor others have taken.
    """

    def __init__(self, app: App[_Result], heard: Heard) -> None:
        super().__init__(app)
        self.heard = heard

    async def press(self, *keys: str) -> None:
        """Press one key after another."""
        for key in keys:
            await super().press(key)
            await self._settle()

    async def pause(self, delay: float | None = None) -> None:
        """Wait so long, or until nothing moves."""
        await super().pause(delay)
        if delay is None:
            await self._settle()

    async def _settle(self) -> None:
        """Let every widget work off its queue, until none of them has heard anything new."""
        for _ in range(MOST_HOPS):
            before = self.heard.number
            await self._wait_for_screen(PATIENCE_S)
            if self.heard.number == before:
                break


@asynccontextmanager
async def steered(app: App[_Result], size: tuple[int, int] = (80, 24)) -> AsyncGenerator[Patient[_Result]]:
    """An app that runs on a terminal of this many columns and rows."""
    heard = Heard()
    async with app.run_test(size=size, message_hook=heard):
        pilot = Patient(app, heard)
        await pilot.pause()
        yield pilot


async def until(pilot: Pilot[_Result], predicate: Callable[[], object]) -> None:
    """Let the app run until the predicate holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not predicate():
        assert asyncio.get_running_loop().time() < deadline, "it did not become true"
        await pilot.pause(0.02)
    await pilot.pause()


async def sheet_gone(pilot: Pilot[_Result]) -> None:
    """Wait until no sheet is open any more: a key that is pressed sooner goes to the sheet."""
    await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


@asynccontextmanager
async def running(
    size: tuple[int, int] = (120, 36), services: Services | None = None
) -> AsyncGenerator[tuple[SlmtuiApp, Pilot[int]]]:
    """The app with real services, on a terminal of this many columns and rows; all workers end with it."""
    app = SlmtuiApp(services or Services.open(strict=False))
    async with steered(app, size) as pilot:
        yield app, pilot


def shown(app: SlmtuiApp, selector: str) -> str:
    """The text of a static widget of the current screen."""
    return str(app.screen.query_one(selector, Static).render())


def notices(pilot: Pilot[int]) -> list[str]:
    """What the app has told in short notices, those too that are no longer to be seen."""
    assert isinstance(pilot, Patient)
    return [each.notification.message for each in pilot.heard.notices]


def seed(
    services: Services,
    *,
    prefill_s: float = 0.02,
    decode_s: float = 0.1,
    name: str = "",
    model: str = "pocket-5m:Q8_0",
) -> Session:
    """A stored session of three repetitions on a model: pp512 and tg128 in so many seconds."""
    session = services.store.start_session(ENVIRONMENT)
    for repetition in range(3):
        timing = Timing(
            prompt_tokens=512,
            prefill_s=prefill_s,
            generated_tokens=128,
            decode_steps=128,
            decode_s=decode_s,
            ttft_s=0.025,
        )
        services.store.add(
            measurement(
                repetition,
                session=session.id,
                model=model,
                name="Pocket 5M Q8_0",
                demo=True,
                timing=timing,
                process_memory=ProcessMemory(pss_bytes=40 * 1024**2),
            )
        )
    if name:
        services.store.rename_session(session.id, name)
    services.store.end_session(session.id)
    return session


def copy_of_pocket(folder: Path, name: str = "own.gguf") -> Path:
    """A file of the person's own: a bundled model under another name."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(pocket_folder() / "pocket-5m-Q4_K_M.gguf", folder / name))
