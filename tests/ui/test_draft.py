from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from slmtui.ui.widgets import draft
from slmtui.ui.widgets.draft import ROOM_SHARE, STOCK_SCREENS, Draft
from slmtui.ui.widgets.transcript import Transcript, Turns

ROWS = 30


class Host(App[None]):
    """A long question, and the text that answers it."""

    def compose(self) -> ComposeResult:
        with Transcript(), Turns():
            yield Static("question")
            yield Draft()

    def on_mount(self) -> None:
        self.query_one(Transcript).anchor()
        self.layouts = 0
        self.screen.screen_layout_refresh_signal.subscribe(self, self.count)

    def count(self, _: Screen[object]) -> None:
        self.layouts += 1

    async def write(self, pilot: Pilot[None], first: int, last: int, at_once: int = 7) -> None:
        """Numbered lines, some of them in each paint."""
        for start in range(first, last, at_once):
            lines = range(start, min(start + at_once, last))
            self.query_one(Draft).add("".join(f"line {number}\n" for number in lines))
            await pilot.pause()

    @property
    def seen(self) -> list[str]:
        """The lines of the text that are in sight."""
        transcript, text = self.query_one(Transcript), self.query_one(Draft)
        top = round(transcript.scroll_y) - text.virtual_region.y
        shown = text.render_lines(Region(0, max(top, 0), text.size.width, transcript.size.height))
        return [line for strip in shown if (line := strip.text.rstrip())]


@asynccontextmanager
async def writing() -> AsyncGenerator[tuple[Host, Pilot[None]]]:
    app = Host()
    async with app.run_test(size=(40, ROWS)) as pilot:
        await pilot.pause()
        yield app, pilot


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(draft, "FAST_S", 1e9)


async def test_text_that_is_written_fast_moves_up_without_layouts() -> None:
    async with writing() as (app, pilot):
        await app.write(pilot, 0, 200)
        before = app.layouts
        await app.write(pilot, 200, 2000)
        assert app.layouts - before <= 1800 // (ROWS * STOCK_SCREENS) + 1
        assert app.seen[-1] == "line 1999"
        assert len(app.seen) >= ROWS - ROWS // ROOM_SHARE - 1
        app.query_one(Draft).settle()
        await pilot.pause()
        assert app.query_one(Draft).size.height == 2001
        assert app.seen[-1] == "line 1999"


async def test_slow_text_gets_a_layout_for_each_room_it_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "FAST_S", 0.0)
    async with writing() as (app, pilot):
        before = app.layouts
        await app.write(pilot, 0, 200)
        assert app.layouts - before >= 200 // (ROWS // ROOM_SHARE + 7)
        assert app.query_one(Draft).size.height <= 201 + ROWS // ROOM_SHARE


async def test_whoever_scrolls_up_reads_on_undisturbed_and_finds_every_line() -> None:
    async with writing() as (app, pilot):
        await app.write(pilot, 0, 500)
        app.query_one(Transcript).scroll_relative(y=-40, animate=False, immediate=True)
        await pilot.pause()
        read = app.seen
        assert len(read) == ROWS
        assert read[-1] != "line 499"
        await app.write(pilot, 500, 700)
        assert app.seen == read
        text = app.query_one(Draft)
        whole = text.render_lines(Region(0, 0, text.size.width, text.size.height))
        assert [strip.text.rstrip() for strip in whole if strip.text.strip()] == [f"line {each}" for each in range(700)]


async def test_another_width_while_fast_text_is_written_keeps_its_end_in_sight() -> None:
    async with writing() as (app, pilot):
        await app.write(pilot, 0, 500)
        for width in (30, 25, 38):
            await pilot.resize_terminal(width, ROWS)
            await pilot.pause()
            assert app.seen[-1] == "line 499"
            assert app.query_one(Draft).size.height <= 501 + ROWS // ROOM_SHARE + ROWS * STOCK_SCREENS


async def test_a_text_that_comes_at_once_is_shown_to_its_end() -> None:
    async with writing() as (app, pilot):
        await app.write(pilot, 0, 5000, at_once=5000)
        await app.write(pilot, 5000, 9000, at_once=4000)
        assert app.seen[-1] == "line 8999"
