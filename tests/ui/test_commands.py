from __future__ import annotations

from collections import Counter

import pytest
from textual.dom import DOMNode

from slmtui.ui.app import SlmtuiApp
from slmtui.ui.base import LabScreen
from slmtui.ui.commands import COMMANDS, Command, bindings, commands_of, key_words
from slmtui.ui.screens.chat import ChatScreen
from slmtui.ui.screens.compare import CompareScreen
from slmtui.ui.screens.help import HelpScreen
from slmtui.ui.screens.models import ModelsScreen
from slmtui.ui.screens.probe import ProbeScreen
from slmtui.ui.screens.sessions import SessionsScreen
from tests.ui.steps import running, sheet_gone, until

OWNERS: dict[str, type[DOMNode]] = {
    "app": SlmtuiApp,
    "models": ModelsScreen,
    "chat": ChatScreen,
    "probe": ProbeScreen,
    "compare": CompareScreen,
    "sessions": SessionsScreen,
}


def keys(command: Command) -> list[str]:
    return [key.strip() for key in command.key.split(",")]


def test_ids_are_unique_and_begin_with_their_place() -> None:
    assert [name for name, number in Counter(each.id for each in COMMANDS).items() if number > 1] == []
    assert all(command.id.startswith(f"{command.place}.") for command in COMMANDS)


@pytest.mark.parametrize("place", list(OWNERS))
def test_no_key_means_two_things_on_one_screen(place: str) -> None:
    here = [key for each in COMMANDS if each.place in ("app", place) for key in keys(each)]
    assert [key for key, number in Counter(here).items() if number > 1] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
def test_every_command_has_its_action_and_a_sentence(command: Command) -> None:
    owner = OWNERS[command.place]
    assert hasattr(owner, f"action_{command.action.partition('(')[0]}")
    assert command.help.endswith(".")
    assert command.help[0].isupper()
    assert len(command.title.split()) <= 3


@pytest.mark.parametrize("place", list(OWNERS))
def test_every_command_is_bound_where_it_belongs(place: str) -> None:
    owner = OWNERS[place]
    bound = {binding.id for each in owner._merge_bindings().key_to_bindings.values() for binding in each}
    assert {command.id for command in COMMANDS if command.place == place} <= bound


@pytest.mark.parametrize("screen", [each for each in OWNERS.values() if issubclass(each, LabScreen)])
def test_every_screen_knows_its_place(screen: type[LabScreen]) -> None:
    assert OWNERS[screen.PLACE] is screen
    assert len(bindings(screen.PLACE)) == len(commands_of(screen.PLACE)) > 0


@pytest.mark.parametrize(
    ("key", "words"),
    [("f2,1", "F2 1"), ("f1,question_mark", "F1 ?"), ("slash", "/"), ("S", "S"), ("ctrl+q", "ctrl+q"), ("f", "f")],
)
def test_keys_are_written_as_people_know_them(key: str, words: str) -> None:
    assert key_words(key) == words


@pytest.mark.parametrize("place", ["models", "sessions"])
async def test_help_lists_every_command_of_the_screen_and_of_the_app(place: str) -> None:
    async with running() as (app, pilot):
        await app.action_go(place)
        await pilot.pause()
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = "\n".join(str(each.render()) for each in app.screen.query("Static").results())
        for command in COMMANDS:
            assert (command.help in text) == (command.place in ("app", place)), command.id
        for word in ("prefill", "decode", "TTFT", "depth"):
            assert word in text
        await pilot.press("escape")
        await sheet_gone(pilot)
