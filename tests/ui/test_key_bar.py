from __future__ import annotations

import pytest
from textual.widgets import Button

from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.help import HelpScreen
from slmtui.ui.screens.sessions import SessionsScreen
from slmtui.ui.widgets.key_bar import Key, KeyBar, fitting
from tests.ui.steps import notices, running, until

KEYS = (
    *(Key(name, name, "word", id=f"here.{name}") for name in "abcd"),
    Key("f1", "f1", "Help", id="app.help"),
    Key("ctrl+p", "^p", "Commands", id="app.palette"),
    Key("ctrl+q", "^q", "Quit", id="app.quit"),
)


def line(app: SlmtuiApp) -> str:
    return str(app.screen.query_one(KeyBar).render())


@pytest.mark.parametrize(
    ("width", "left", "right"),
    [
        (61, "a b c d", "f1 ^q ^p"),
        (60, "a b c d", "f1 ^q"),
        (48, "a b c d", "f1 ^q"),
        (47, "a b c …", "f1 ^q"),
        (19, "…", "f1 ^q"),
        (18, "…", "f1"),
        (1, "…", "f1"),
    ],
)
def test_the_last_keys_make_room_and_help_stays(width: int, left: str, right: str) -> None:
    shown = fitting(KEYS, width)
    assert tuple(" ".join(key.cap for key in keys) for keys in shown) == (left, right)


def test_without_keys_there_is_nothing() -> None:
    assert fitting((), 80) == ([], [])


@pytest.mark.parametrize("place", ["models", "chat", "probe", "compare", "sessions"])
async def test_every_key_of_a_screen_is_there_or_a_sign_that_there_are_more(place: str) -> None:
    async with running((80, 24)) as (app, pilot):
        await app.action_go(place)
        await until(pilot, lambda: app.screen.query_one(KeyBar).keys)
        bar = app.screen.query_one(KeyBar)
        shown = line(app)
        assert len(shown) == bar.content_size.width
        assert shown.endswith("f1 Help  ^q Quit")
        assert "…" in shown or all(f"{key.cap} {key.title}" in shown for key in bar.keys if key.id != "app.palette")
        await pilot.resize_terminal(200, 24)
        await until(pilot, lambda: "…" not in line(app))
        assert all(f"{key.cap} {key.title}" in line(app) for key in bar.keys)


async def test_a_key_that_can_t_act_is_grey_and_says_why() -> None:
    async with running() as (app, pilot):
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.screen.query_one(KeyBar).keys)
        by_title = {key.title: key for key in app.screen.query_one(KeyBar).keys}
        assert not by_title["Export"].on
        assert by_title["Export"].words == "Nothing has been measured yet."
        assert by_title["Help"].on
        before = app.screen
        await pilot.press("e", "r", "delete", "enter")
        assert app.screen is before
        at = line(app).index("e Export") + 1
        await pilot.hover(KeyBar, (at, 0))
        await until(pilot, lambda: str(app.screen.query_one(KeyBar).tooltip) == by_title["Export"].words)
        await pilot.click(KeyBar, (at, 0))
        await until(pilot, lambda: by_title["Export"].words in notices(pilot))


async def test_a_click_presses_a_key() -> None:
    async with running((80, 24)) as (app, pilot):
        await until(pilot, lambda: app.screen.query_one(KeyBar).keys)
        await pilot.click(KeyBar, (line(app).index("space") + 1, 0))
        await until(pilot, lambda: app.marked)
        await pilot.click(KeyBar, (line(app).index("…") + 1, 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


async def test_keys_follow_what_can_act_now() -> None:
    async with running() as (app, pilot):
        await app.action_go("compare")
        await until(pilot, lambda: any(key.title == "Run" and not key.on for key in app.screen.query_one(KeyBar).keys))
        app.screen.query_one("NothingMarked Button", Button).press()
        await until(pilot, lambda: any(key.title == "Run" and key.on for key in app.screen.query_one(KeyBar).keys))
