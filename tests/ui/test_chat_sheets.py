"""What can be done with a conversation: settings, exact prompt, again, clear, copy, save."""

from __future__ import annotations

import json

import pytest
from textual.widgets import Input, Static, TextArea

from slmtui.core.chat import Message
from slmtui.core.sampling import Sampling
from slmtui.ui.screens.exact import ExactPrompts
from slmtui.ui.screens.save import SaveChat
from slmtui.ui.screens.sheet import ChatSettings, SettingsSheet, summary
from slmtui.ui.widgets.reply import Reply
from slmtui.ui.widgets.transcript import Transcript
from tests.ui.chat_steps import TWO, chat, transcript
from tests.ui.steps import notices, sheet_gone, shown, until


async def test_settings_reach_the_models() -> None:
    async with chat(TWO[0]) as found:
        await found.pilot.press("f8")
        await until(found.pilot, lambda: isinstance(found.app.screen, SettingsSheet))
        sheet = found.app.screen
        sheet.query_one("#max_tokens", Input).value = "0"
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "max_tokens is 0" in shown(found.app, "#problem"))
        sheet.query_one("#max_tokens", Input).value = "5"
        sheet.query_one("#top_k", Input).value = "many"
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "top_k is 'many'; it must be a whole number" in shown(found.app, "#problem"))
        sheet.query_one("#top_k", Input).value = ""
        sheet.query_one("#seed", Input).value = "7"
        sheet.query_one(TextArea).text = "Answer briefly."
        await found.pilot.click("#greedy")
        await found.pilot.click("#apply")
        await sheet_gone(found.pilot)
        expected = ChatSettings(sampling=Sampling(temperature=0, seed=7, max_tokens=5), system="Answer briefly.")
        assert found.screen.settings == expected
        assert summary(expected) == "greedy · limit 5 · seed 7 · system prompt"
        await found.ask("What is prefill?")
        (column,) = found.columns
        assert column.seat.measurements[0].timing.generated_tokens == 5
        assert column.seat.measurements[0].sampling == expected.sampling
        assert column.seat.messages[0] == Message("system", "Answer briefly.")
        assert "token limit" in str(column.query(".remark").last(Static).render())


async def test_the_exact_prompt_is_shown_with_its_special_tokens() -> None:
    async with chat(TWO[0]) as found:
        assert found.screen.check_action("exact", ()) is None
        await found.ask("hello [bold]you[/]")
        await found.pilot.press("f9")
        await until(found.pilot, lambda: isinstance(found.app.screen, ExactPrompts))
        text = "\n".join(str(each.render()) for each in found.app.screen.query(Static))
        assert "<|im_start|>user\nhello [bold]you[/]<|im_end|>" in text
        assert "chat template from the" in text
        await found.pilot.press("escape")
        await sheet_gone(found.pilot)


async def test_again_takes_the_last_answer_back() -> None:
    async with chat(*TWO) as found:
        await found.ask("hello")
        await found.ask("What is prefill?")
        await found.pilot.press("ctrl+g")
        await until(
            found.pilot, lambda: not found.screen.busy and all(len(c.seat.measurements) == 3 for c in found.columns)
        )
        await found.until("done")
        for column in found.columns:
            assert [exchange.question for exchange in column.exchanges] == ["hello", "What is prefill?"]
            assert len(column.seat.messages) == 4
            assert len(column.query(Reply)) == 2


async def test_clear_begins_anew_without_loading_anew() -> None:
    async with chat(TWO[0]) as found:
        await found.ask("hello")
        pid = found.columns[0].seat.loaded.pid
        await found.pilot.press("ctrl+l")
        await until(found.pilot, lambda: not transcript(found.columns[0]))
        assert found.columns[0].seat.messages == []
        assert found.columns[0].seat.loaded.pid == pid
        assert found.phases == ["ready"]


async def test_copy_takes_the_answer_of_the_focused_column() -> None:
    async with chat(*TWO) as found:
        await found.ask("What is prefill?")
        found.columns[1].query_one(Transcript).focus()
        await until(found.pilot, lambda: found.columns[1].has_focus_within)
        await found.pilot.press("y")
        await until(found.pilot, lambda: found.app.clipboard == found.columns[1].last_answer)


@pytest.mark.parametrize(("keys", "suffix"), [(("enter",), "md"), (("down", "enter"), "json")])
async def test_a_chat_is_saved(keys: tuple[str, ...], suffix: str) -> None:
    async with chat(TWO[0]) as found:
        await found.ask("hello")
        await found.pilot.press("ctrl+s")
        await until(found.pilot, lambda: isinstance(found.app.screen, SaveChat))
        await found.pilot.press(*keys)
        exports = found.app.services.paths.exports
        await until(found.pilot, lambda: list(exports.glob(f"chat-*.{suffix}")))
        text = next(exports.glob(f"chat-*.{suffix}")).read_text("utf-8")
        assert "hello" in text
        if suffix == "json":
            assert json.loads(text)["sides"][0]["model"] == TWO[0]


async def test_a_chat_that_can_not_be_saved_says_why() -> None:
    async with chat(TWO[0]) as found:
        await found.ask("hello")
        exports = found.app.services.paths.exports
        exports.rmdir()
        exports.write_text("in the way")
        await found.pilot.press("ctrl+s")
        await until(found.pilot, lambda: isinstance(found.app.screen, SaveChat))
        await found.pilot.press("enter")
        await until(found.pilot, lambda: any("was not saved" in text for text in notices(found.pilot)))
