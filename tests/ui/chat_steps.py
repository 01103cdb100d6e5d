"""What tests of Chat share: a running app that shows the screen, with models loaded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from textual.pilot import Pilot
from textual.widgets import Static

from slmtui.core.catalog import LocalModel
from slmtui.core.sampling import Sampling
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.chat import ChatScreen
from slmtui.ui.screens.sheet import ChatSettings
from slmtui.ui.widgets.column import Column
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.reply import Reply
from tests.ui.steps import running, until

LONG = Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0, seed=1, max_tokens=100_000)
"""Draws almost evenly from the vocabulary, so that an answer ends only where the context does."""
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
async def chat(*specs: str, size: tuple[int, int] = (120, 36)) -> AsyncGenerator[Chat]:
    """Chat with these models, loaded."""
    async with running(size) as (app, pilot):
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
    """Ask for an answer that is long enough to interfere with, and wait until the first model writes it."""
    found.screen.settings = ChatSettings(sampling=LONG)
    await found.send("hello")
    await until(found.pilot, lambda: found.phases[0] == "decoding")
