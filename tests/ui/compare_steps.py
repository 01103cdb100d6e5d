"""What tests of Compare share: small plans, and a running app that shows the screen."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest
from textual.pilot import Pilot

from slmtui.core.plan import Grid
from slmtui.core.presets import PRESETS
from slmtui.lab import ceiling
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.compare import CompareScreen
from slmtui.ui.widgets.compare_table import CompareTable
from tests.lab.conftest import known_ceiling
from tests.ui.steps import running, until

TWO = ("pocket-5m:Q8_0", "pocket-5m:Q4_K_M")
SIZES = ("pocket-2m:Q8_0", "pocket-5m:Q8_0")


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that a busy machine measures in no time, on one thread: three repetitions, and more than anybody waits for.

    The machine's ceiling has tests of its own.
    """
    quick = Grid(prompt_tokens=(16,), generated_tokens=(4,), threads=(1,), repetitions=3)
    monkeypatch.setitem(PRESETS, "quick", quick)
    monkeypatch.setitem(PRESETS, "standard", msgspec.structs.replace(quick, repetitions=1000))
    monkeypatch.setattr(ceiling, "measured", known_ceiling)


class Bench:
    """A running app that shows Compare."""

    def __init__(self, app: SlmtuiApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> CompareScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, CompareScreen))

    @property
    def table(self) -> CompareTable:
        return self.screen.query_one(CompareTable)

    @property
    def states(self) -> list[str]:
        return [state.word for state in self.screen.bench.states.values()]

    @property
    def rows(self) -> list[str]:
        """Keys of the planned cells."""
        return list(self.screen.bench.states)

    async def planned(self) -> None:
        await until(self.pilot, lambda: self.screen.outlook is not None)

    async def measured(self, number: int = 1) -> None:
        await until(self.pilot, lambda: self.screen.bench.done >= number or not self.screen.running)

    async def ended(self) -> None:
        await until(self.pilot, lambda: not self.screen.running)
        await until(self.pilot, lambda: not self.screen.old)


@asynccontextmanager
async def bench(
    *specs: str, size: tuple[int, int] = (120, 36), services: Services | None = None
) -> AsyncGenerator[Bench]:
    async with running(size, services) as (app, pilot):
        app.marked = tuple(app.services.find(spec) for spec in specs)
        await app.action_go("compare")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        yield Bench(app, pilot)
