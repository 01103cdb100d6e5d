"""What tests of Chat share: a running app that shows the screen, with models loaded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from slmtui.core.catalog import LocalModel
from slmtui.core.sampling import Sampling
from slmtui.engine.protocol import Generate
from slmtui.lab import talk
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.chat import ChatScreen
from slmtui.ui.screens.sheet import ChatSettings
from slmtui.ui.widgets.column import Column
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.reply import Reply
from tests.ui.steps import running, until

LONG = Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0, seed=1, max_tokens=100_000)
"""Draws almost evenly from the vocabulary; an answer that may not end by itself is longer than anybody waits for."""
ROOM = 65_536
"""Tokens of context for such an answer."""
TWO = ("pocket-5m:Q8_0", "pocket-5m:Q4_K_M")


class Chat:
    """A running app that shows Chat, with what tests ask of it."""

    def __init__(self, app: SlmtuiApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> ChatScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, ChatScreen))

    @property
    def loaded(self) -> list[str]:
        """Ids of the models that are loaded; the Models screen reads headers in workers of its own."""
        return [each.model.id for each in self.app.services.loaded if each.ready]

    @property
    def columns(self) -> list[Column]:
        return self.screen.columns

    @property
    def phases(self) -> list[str]:
        return [column.phase for column in self.columns]

    async def until(self, *phases: str) -> None:
        await until(self.pilot, lambda: self.columns and all(phase in phases for phase in self.phases))

    async def send(self, text: str) -> None:
        self.screen.query_one(Prompt).text = text
        await self.pilot.press("enter")

    async def ask(self, text: str) -> None:
        before = [len(column.exchanges) for column in self.columns]
        await self.send(text)
        await until(
            self.pilot,
            lambda: (
                not self.screen.busy
                and [len(column.exchanges) for column in self.columns] > before
                and all(phase in ("done", "stopped", "failed") for phase in self.phases)
            ),
        )


def models(services: Services, *specs: str) -> tuple[LocalModel, ...]:
    return tuple(services.find(spec) for spec in specs)


@asynccontextmanager
async def chat(*specs: str, size: tuple[int, int] = (120, 36), endless: bool = False) -> AsyncGenerator[Chat]:
    """Chat with these models, loaded; `endless` lets them answer until they are stopped or have reached the limit."""
    services = Services.open(strict=False)
    with pytest.MonkeyPatch.context() as changed:
        if endless:
            services.config = msgspec.structs.replace(services.config, context=ROOM)
            changed.setattr(talk, "Generate", partial(Generate, ignore_end=True))
        async with _chat(services, specs, size) as found:
            yield found


@asynccontextmanager
async def _chat(services: Services, specs: tuple[str, ...], size: tuple[int, int]) -> AsyncGenerator[Chat]:
    async with running(size, services) as (app, pilot):
        app.marked = models(app.services, *specs)
        await app.action_go("chat")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        found = Chat(app, pilot)
        if specs:
            await until(pilot, lambda: len(found.columns) == len(specs))
            await found.until("ready", "failed")
        yield found


def transcript(column: Column) -> list[str]:
    """What stands in a column, from top to bottom."""
    return [
        widget.answer if isinstance(widget, Reply) else str(cast("Static", widget).render())
        for widget in column.turns.children
    ]


async def begin(found: Chat) -> None:
    """Ask endless models for an answer, and wait until the first one writes it."""
    found.screen.settings = ChatSettings(sampling=LONG)
    await found.send("hello")
    await until(found.pilot, lambda: found.phases[0] == "decoding")
