"""What tests of the app share: a running app with real services, and waiting for something to become true."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Static

from slmtui.core.events import ProcessMemory, Timing
from slmtui.core.measurement import Session
from slmtui.lab.services import Services
from slmtui.sources.resources import pocket_folder
from slmtui.ui.app import SlmtuiApp
from tests.samples import ENVIRONMENT, measurement

PATIENCE_S = 30.0
"""Machines that run tests are slow; a test that waits this long has failed."""


async def until(pilot: Pilot[int], predicate: Callable[[], object]) -> None:
    """Let the app run until the predicate holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not predicate():
        assert asyncio.get_running_loop().time() < deadline, "it did not become true"
        await pilot.pause(0.02)
    await pilot.pause()


async def sheet_gone(pilot: Pilot[int]) -> None:
    """Wait until no sheet is open any more: a key that is pressed sooner goes to the sheet."""
    await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


@asynccontextmanager
async def running(
    size: tuple[int, int] = (120, 36), services: Services | None = None
) -> AsyncGenerator[tuple[SlmtuiApp, Pilot[int]]]:
    """The app with real services, on a terminal of this many columns and rows; all workers end with it."""
    app = SlmtuiApp(services or Services.open(strict=False))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


def shown(app: SlmtuiApp, selector: str) -> str:
    """The text of a static widget of the current screen."""
    return str(app.screen.query_one(selector, Static).render())


def notices(app: SlmtuiApp) -> list[str]:
    """What the app has told in short notices that are still to be seen."""
    return [note.message for note in app._notifications]


def seed(services: Services, *, prefill_s: float = 0.02, decode_s: float = 0.1, name: str = "") -> Session:
    """A stored session of three repetitions on `pocket-5m:Q8_0`: pp512 and tg128 in so many seconds."""
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
