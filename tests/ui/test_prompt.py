from __future__ import annotations

from textual.app import App, ComposeResult
from textual.events import Key

from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.prompt import Prompt
from tests.ui.steps import steered


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield Prompt("Ask")
        yield Choice((("in turn", "one after another"), ("together", "together")))

    def on_prompt_sent(self, message: Prompt.Sent) -> None:
        self.sent.append(message.text)
        self.query_one(Prompt).accept(message.text)

    def on_choice_changed(self, message: Choice.Changed) -> None:
        self.chosen.append(message.value)


async def test_enter_sends_and_empties_the_field() -> None:
    app = Host()
    async with steered(app) as pilot:
        await pilot.press(*"hi", "enter")
        assert app.sent == ["hi"]
        assert app.query_one(Prompt).text == ""


async def test_blank_text_is_not_sent() -> None:
    app = Host()
    async with steered(app) as pilot:
        await pilot.press("space", "enter")
        assert app.sent == []
        assert app.query_one(Prompt).text == " "


async def test_ctrl_j_breaks_the_line() -> None:
    app = Host()
    async with steered(app) as pilot:
        height = app.query_one(Prompt).size.height
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c")
        await pilot.pause()
        assert app.query_one(Prompt).size.height == height + 2
        await pilot.press("enter")
        assert app.sent == ["a\nb\nc"]


async def test_up_recalls_and_down_returns_to_the_draft() -> None:
    app = Host()
    async with steered(app) as pilot:
        await pilot.press(*"one", "enter", *"two", "enter", *"two", "enter", *"dra")
        prompt = app.query_one(Prompt)
        seen = []
        for key in ("up", "up", "up", "down", "down", "down"):
            await pilot.press(key)
            seen.append(prompt.text)
        assert seen == ["two", "one", "one", "two", "dra", "dra"]


async def test_up_moves_within_several_lines_first() -> None:
    app = Host()
    async with steered(app) as pilot:
        await pilot.press(*"sent", "enter", "a", "ctrl+j", "b", "up")
        assert app.query_one(Prompt).text == "a\nb"
        await pilot.press("up")
        assert app.query_one(Prompt).text == "sent"


async def test_a_choice_changes_by_key_and_by_click() -> None:
    app = Host()
    async with steered(app) as pilot:
        choice = app.query_one(Choice)
        choice.focus()
        await pilot.press("right")
        assert choice.value == "together"
        await pilot.press("left")
        await pilot.click(Choice, offset=(23, 0))
        await pilot.click(Choice, offset=(2, 0))
        await pilot.pause()
        assert app.chosen == ["together", "in turn", "together", "in turn"]


async def test_what_was_typed_after_enter_stays() -> None:
    app = Host()
    async with steered(app) as pilot:
        prompt = app.query_one(Prompt)
        for key in ("a", "b", "enter", "c"):
            prompt.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert app.sent == ["ab"]
        assert prompt.text == "c"
