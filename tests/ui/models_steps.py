"""What tests of the Models screen share: its parts, and waiting until everything was read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.models import ModelsScreen
from slmtui.ui.widgets.model_table import ModelTable
from tests.ui.steps import running, until

MIB = 1024**2
Q8 = "pocket-5m:Q8_0"


def screen_of(app: SlmtuiApp) -> ModelsScreen:
    assert isinstance(app.screen, ModelsScreen)
    return app.screen


def table_of(app: SlmtuiApp) -> ModelTable:
    return screen_of(app).query_one(ModelTable)


@asynccontextmanager
async def listing(
    size: tuple[int, int] = (120, 36), services: Services | None = None
) -> AsyncGenerator[tuple[SlmtuiApp, Pilot[int]]]:
    """The app, once it has listed every model: the bundled ones are there at once, the others a little later."""
    async with running(size, services) as (app, pilot):
        await until(pilot, lambda: len(screen_of(app).rows) > len(app.services.bundled()))
        yield app, pilot


async def read_all(app: SlmtuiApp, pilot: Pilot[int]) -> ModelsScreen:
    """Wait until every model's file was read, and the machine's memory."""
    screen = screen_of(app)
    await until(pilot, lambda: screen.rows and not any(row.pending for row in screen.rows.values()))
    await until(pilot, lambda: app.live.memory.total_bytes)
    return screen


def with_files(folder: Path) -> Services:
    """Services that list the .gguf files of a folder too."""
    services = Services.open(strict=False)
    services.config = msgspec.structs.replace(services.config, folders=(str(folder),))
    return services
