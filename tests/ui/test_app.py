from __future__ import annotations

import asyncio
import os

import msgspec
import pytest
from textual.screen import Screen
from textual.widgets import Input, OptionList

from slmtui.core.catalog import LocalModel
from slmtui.core.machine import Cpu, EngineState, Machine, Memory, short_name
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.help import HelpScreen
from slmtui.ui.screens.models import ModelsScreen
from slmtui.ui.screens.palette import Palette
from slmtui.ui.screens.sessions import SessionsScreen
from slmtui.ui.widgets.model_table import ModelTable
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.strip import Live, Strip, Tab, words_for
from tests.ui.steps import notices, running, sheet_gone, shown, until

GIB = 1024**3
MACHINE = Machine(
    cpu=Cpu(name="Testium 9000", physical_cores=4),
    memory=Memory(total_bytes=16 * GIB, available_bytes=9 * GIB),
    engines=(EngineState(name="llama.cpp", version="1", devices=("CPU",), trial="sound"),),
)


def commands(app: SlmtuiApp, screen: Screen[object] | None = None) -> list[str]:
    return [command.title for command in app.get_system_commands(screen or app.screen)]


async def test_the_first_screen_is_painted_before_anything_was_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services.open(strict=False)
    may_go, detect = asyncio.Event(), services.machine

    async def slow() -> Machine:
        await may_go.wait()
        return await detect()

    monkeypatch.setattr(services, "machine", slow)
    async with running(services=services) as (app, pilot):
        assert isinstance(app.screen, ModelsScreen)
        table = app.screen.query_one(ModelTable)
        assert "pocket-5m:Q8_0" in table.keys
        assert table.figure("pocket-5m:Q8_0", "memory").text == "…"
        assert app.machine.engines == ()
        may_go.set()
        await until(pilot, lambda: app.machine.engines)
        await until(pilot, lambda: app.live.memory.total_bytes)
        await until(pilot, lambda: table.figure("pocket-5m:Q8_0", "memory").text != "…")
        assert "free" in shown(app, ".strip--machine")
        assert app.machine.cpu.name is None or short_name(app.machine.cpu.name) in shown(app, ".strip--machine")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        *(("f3", "chat"), ("2", "chat"), ("f4", "probe"), ("3", "probe")),
        *(("f5", "compare"), ("4", "compare"), ("f6", "sessions"), ("5", "sessions")),
    ],
)
async def test_keys_go_to_every_screen_and_back(key: str, place: str) -> None:
    async with running() as (app, pilot):
        await pilot.press(key)
        await until(pilot, lambda: app.current_mode == place)
        here = [tab.mode for tab in app.screen.query(Tab) if tab.has_class("-here")]
        assert here == [place]
        await pilot.press("f2")
        await until(pilot, lambda: app.current_mode == "models")


@pytest.mark.parametrize(("key", "place"), [("f2", "models"), ("f4", "probe"), ("f5", "compare"), ("f6", "sessions")])
async def test_function_keys_leave_chat_while_its_prompt_has_the_focus(key: str, place: str) -> None:
    async with running() as (app, pilot):
        app.marked = (app.services.find("pocket-2m:Q8_0"),)
        await app.action_go("chat")
        await until(pilot, lambda: isinstance(app.focused, Prompt))
        await pilot.press(key)
        await until(pilot, lambda: app.current_mode == place)


async def test_a_click_on_a_name_in_the_strip_goes_there() -> None:
    async with running() as (app, pilot):
        tab = next(tab for tab in app.screen.query(Tab) if tab.mode == "sessions")
        await pilot.click(tab)
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))


async def test_letters_and_digits_in_a_text_field_are_no_hotkeys() -> None:
    async with running() as (app, pilot):
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("4", "c", "b", "question_mark", "space", "a", "u", "s")
        assert isinstance(app.focused, Input)
        assert app.focused.value == "4cb? aus"
        assert isinstance(app.screen, ModelsScreen)
        assert app.marked == ()


async def test_the_palette_offers_what_can_be_done_here_and_now() -> None:
    async with running() as (app, pilot):
        assert {"Mark", "Find", "Go to Chat", "Help", "Quit"} <= set(commands(app))
        assert "Unmark all" not in commands(app), "nothing is marked"
        await pilot.press("space")
        assert "Unmark all" in commands(app)
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        assert "Mark" not in commands(app)
        assert "Export" not in commands(app), "nothing was measured"


async def test_the_palette_says_each_command_s_key() -> None:
    async with running() as (app, _):
        help_of = {command.title: command.help for command in app.get_system_commands(app.screen)}
        assert help_of["Mark"].startswith("space · Mark or unmark")
        assert help_of["Go to Chat"].startswith("F3 2 · ")


async def test_themes_are_chosen_in_the_palette() -> None:
    async with running((80, 24)) as (app, pilot):
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.screen, Palette) and isinstance(app.focused, Input))
        await pilot.press(*"slmtui-light")
        offered = app.screen.query_one(OptionList)
        await until(pilot, lambda: offered.option_count == 1 and offered.highlighted == 0)
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "slmtui-light")


async def test_a_command_of_the_palette_acts_on_the_screen() -> None:
    async with running() as (app, pilot):
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, Palette) and isinstance(app.focused, Input))
        await pilot.press(*"mark")
        offered = app.screen.query_one(OptionList)
        await until(pilot, lambda: offered.option_count and offered.highlighted == 0)
        await pilot.press("enter")
        await until(pilot, lambda: len(app.marked) == 1)


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (59, 40), (200, 14)])
@pytest.mark.parametrize("place", ["models", "sessions", "chat", "probe", "compare"])
async def test_a_tiny_terminal_gets_a_sentence_and_no_crash(size: tuple[int, int], place: str) -> None:
    async with running(size) as (app, pilot):
        await app.action_go(place)
        await until(pilot, lambda: "slmtui needs 60×15" in shown(app, ".strip--machine"))
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await sheet_gone(pilot)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not app.screen.query_one(Strip).has_class("-too-small"))
        assert app.is_running


@pytest.mark.parametrize("place", ["models", "sessions"])
async def test_sheets_open_on_a_tiny_terminal_too(place: str) -> None:
    async with running((20, 5)) as (app, pilot):
        await app.action_go(place)
        await pilot.pause()
        for key in ("a", "enter", "e", "slash"):
            await pilot.press(key)
            await pilot.pause()
            await pilot.press("escape")
            await sheet_gone(pilot)
        assert app.is_running


async def test_loaded_models_are_in_the_strip_with_their_memory() -> None:
    async with running((160, 40)) as (app, pilot):
        model = app.services.find("pocket-5m:Q8_0")
        loaded = LoadedModel(app.services, model)
        async for _ in loaded.load():
            pass
        await until(pilot, lambda: "Pocket 5M Q8_0" in shown(app, ".strip--machine"))
        assert loaded in app.services.loaded
        pid = loaded.pid
        assert pid is not None
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not loaded.ready)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_the_app_ends_its_models_when_it_is_not_quit_by_key() -> None:
    services = Services.open(strict=False)
    async with running(services=services) as (app, pilot):
        await until(pilot, lambda: app.machine.engines)
        loaded = LoadedModel(services, services.find("pocket-5m:Q4_K_M"))
        async for _ in loaded.load():
            pass
        assert loaded.ready
    assert not loaded.ready
    assert services.loaded == []


async def test_what_does_not_work_is_told_once_and_never_as_markup() -> None:
    services = Services.open(strict=False)
    services.notices.append("The folder [bold]/x[/bold] can't be written.")
    async with running(services=services) as (app, pilot):
        await until(pilot, lambda: notices(pilot))
        (note,) = (note for note in app._notifications if "[bold]" in note.message)
        assert note.markup is False


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (80, "Testium 9000 · 4 cores · 16 GiB · 9 free · CPU"),
        (35, "Testium 9000 · 9 GiB free · CPU"),
        (20, "9 GiB free · CPU"),
        (12, "9 GiB free"),
        (9, "9 GiB"),
        (3, "9 GiB"),
    ],
)
def test_the_strip_says_less_when_there_is_less_room(width: int, words: str) -> None:
    assert words_for(MACHINE, Live(), width) == words


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (90, "Pocket 5M Q8_0 40 MiB · Other — · Testium 9000 · 4 cores · 16 GiB · 9 free · CPU"),
        (70, "Pocket 5M Q8_0 40 MiB · Other — · Testium 9000 · 9 GiB free · CPU"),
        (56, "Pocket 5M Q8_0 40 MiB · Other — · 9 GiB free · CPU"),
        (36, "2 models 40 MiB · 9 GiB free · CPU"),
        (10, "9 GiB free"),
    ],
)
def test_loaded_models_are_said_first(width: int, words: str) -> None:
    live = Live(loaded=(("Pocket 5M Q8_0", 40 * 1024**2), ("Other", None)))
    assert words_for(MACHINE, live, width) == words


def test_free_memory_in_the_strip_is_that_of_the_moment() -> None:
    live = Live(memory=Memory(total_bytes=16 * GIB, available_bytes=2 * GIB))
    assert "2 free" in words_for(MACHINE, live, 80)
    assert "9 free" in words_for(MACHINE, Live(), 80)


def test_what_is_not_known_is_left_out() -> None:
    assert words_for(Machine(), Live(), 80) == ""
    unknown = msgspec.structs.replace(MACHINE, cpu=Cpu())
    assert words_for(unknown, Live(), 80) == "16 GiB · 9 free · CPU"


async def test_the_mark_outlives_a_change_of_screen() -> None:
    async with running() as (app, pilot):
        await pilot.press("space", "f6")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await pilot.press("f2")
        assert [type(model) for model in app.marked] == [LocalModel]
