"""What tests of Probe share: small plans, and a running app that shows the screen."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest
from textual.pilot import Pilot

from slmtui.core.probe_presets import PRESETS, ProbeGrid
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens import probe
from slmtui.ui.screens.probe import ProbeScreen
from slmtui.ui.widgets.page_table import PageTable
from tests.ui.steps import running, until

SMALL, LARGE = "pocket-2m:Q8_0", "pocket-5m:Q8_0"


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task at 0 and 2 shots with few questions; standard has more of them than anybody waits for."""
    quick = ProbeGrid(shots=(0, 2), seeds=1, questions=8, threads=1)
    monkeypatch.setitem(PRESETS, "quick", quick)
    monkeypatch.setitem(PRESETS, "standard", msgspec.structs.replace(quick, seeds=40, questions=40))
    monkeypatch.setattr(probe, "DEMO_TASKS", ("pocket-judgements",))


class Asking:
    """A running app that shows Probe."""

    def __init__(self, app: SlmtuiApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> ProbeScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, ProbeScreen))

    @property
    def table(self) -> PageTable:
        return self.screen.pages.first

    @property
    def states(self) -> list[str]:
        return [state.word for state in self.screen.probing.states.values()]

    async def planned(self) -> None:
        await until(self.pilot, lambda: self.screen.outlook is not None)

    async def answered(self, number: int = 1) -> None:
        await until(self.pilot, lambda: self.screen.probing.done >= number or not self.screen.running)

    async def ended(self) -> None:
        await until(self.pilot, lambda: not self.screen.running and not self.screen.old)

    async def run(self) -> None:
        await self.pilot.press("r")
        await self.ended()


@asynccontextmanager
async def asking(
    *specs: str, size: tuple[int, int] = (120, 36), services: Services | None = None
) -> AsyncGenerator[Asking]:
    async with running(size, services) as (app, pilot):
        app.marked = tuple(app.services.find(spec) for spec in specs)
        await app.action_go("probe")
        await until(pilot, lambda: isinstance(app.screen, ProbeScreen))
        yield Asking(app, pilot)
