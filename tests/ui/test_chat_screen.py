from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from textual.widgets import Button, Static

from slmtui.core.events import AnyEvent
from slmtui.core.plan import Grid
from slmtui.core.presets import PRESETS
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.services import Services
from slmtui.ui.screens.chat import ChatScreen
from slmtui.ui.screens.compare import CompareScreen
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.meter import Figures, Meter, StopSign
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.reply import Reply
from tests.ui.chat_steps import TWO, Chat, begin, chat, models, transcript
from tests.ui.steps import notices, running, until


async def test_without_marks_it_says_how_to_mark_and_offers_models() -> None:
    async with chat() as found:
        empty = found.screen.query_one(NothingMarked)
        assert empty.display
        assert not found.screen.query_one(Prompt).is_on_screen
        assert "space" in " ".join(str(each.render()) for each in empty.query(Static))
        await until(found.pilot, lambda: isinstance(found.app.focused, Button))
        await found.pilot.press("enter")
        await until(found.pilot, lambda: len(found.columns) == 2)
        await found.until("ready")
        assert not empty.display
        await until(found.pilot, lambda: isinstance(found.app.focused, Prompt))
        assert len(found.loaded) == 2
        niceness = {os.getpriority(os.PRIO_PROCESS, each.seat.loaded.pid or 0) for each in found.columns}
        assert min(niceness) > os.getpriority(os.PRIO_PROCESS, 0), (
            "a key is not answered while models have the processor"
        )


def test_the_offer_prefers_different_models() -> None:
    services = Services.open(strict=False)
    offered = offer_from(services.models())
    assert len(offered) == 2
    cards = [model.card.id for model in offered if model.card]
    several = {model.card.id for model in services.models() if model.card}
    assert len(set(cards)) == min(2, len(several))
    services.store.close()


async def test_one_question_goes_to_both_and_all_figures_appear() -> None:
    async with chat(*TWO) as found:
        assert all("—" in str(column.query_one(Figures).render()) for column in found.columns)
        await found.ask("What is prefill?")
        assert found.phases == ["done", "done"]
        for column in found.columns:
            question, answer = transcript(column)
            assert question == "What is prefill?"
            assert "reads the whole prompt" in answer
            assert "—" not in str(column.query_one(Figures).render())
            assert [message.role for message in column.seat.messages] == ["user", "assistant"]
            assert len(column.seat.measurements) == 1
            tooltip = str(column.query_one(Meter).tooltip)
            assert "weights" in tooltip
            assert "KV cache" in tooltip
        assert not any(measured.together for column in found.columns for measured in column.seat.measurements)


async def test_a_question_sent_while_models_load_reaches_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, load = asyncio.Event(), LoadedModel.load

    async def slow_load(
        self: LoadedModel, *, inspect_only: bool = False, texts: tuple[str, ...] = ()
    ) -> AsyncGenerator[AnyEvent]:
        await gate.wait()
        async for event in load(self, inspect_only=inspect_only, texts=texts):
            yield event

    monkeypatch.setattr(LoadedModel, "load", slow_load)
    async with running((120, 36)) as (app, pilot):
        app.marked = models(app.services, *TWO)
        await app.action_go("chat")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        found = Chat(app, pilot)
        await until(pilot, lambda: "loading" in found.phases)
        await found.send("What is prefill?")
        await until(pilot, lambda: not found.screen.query_one(Prompt).text)
        assert [len(column.exchanges) for column in found.columns] == [0, 0]
        gate.set()
        await found.until("done")
        assert [len(column.exchanges) for column in found.columns] == [1, 1]


async def test_a_finished_answer_becomes_markdown() -> None:
    async with chat(*TWO) as found:
        await found.ask("What is prefill?")
        replies = [column.query_one(Reply) for column in found.columns]
        await until(found.pilot, lambda: all(reply.typeset_wholly for reply in replies))
        assert all("reads the whole prompt" in reply.shown for reply in replies)


async def test_models_answer_one_after_another_or_together() -> None:
    async with chat(*TWO) as found:
        await found.ask("hello")
        await found.pilot.press("ctrl+o")
        await until(found.pilot, lambda: found.screen.order == "together")
        await found.ask("hello")
        for column in found.columns:
            assert [measured.together for measured in column.seat.measurements] == [False, True]
            assert "contended" in str(column.query(".remark").last(Static).render())
        await found.pilot.click(Choice, offset=(2, 0))
        await until(found.pilot, lambda: found.screen.order == "in turn")


async def test_columns_follow_the_marks_and_conversations_stay() -> None:
    async with chat(TWO[0]) as found:
        await found.ask("hello")
        kept = found.columns[0]
        found.app.marked = models(found.app.services, *TWO)
        await until(found.pilot, lambda: len(found.columns) == 2)
        await until(found.pilot, lambda: found.columns[1].phase == "ready")
        assert found.columns[0] is kept
        assert len(kept.exchanges) == 1
        found.app.marked = models(found.app.services, TWO[1])
        await until(found.pilot, lambda: len(found.columns) == 1 and len(found.loaded) == 1)
        assert found.columns[0].seat.loaded.model.id == TWO[1]
        found.app.marked = ()
        await until(found.pilot, lambda: not found.loaded and found.screen.query_one(NothingMarked).display)


async def test_models_are_loaded_when_chat_is_visited_not_when_they_are_marked() -> None:
    async with chat(TWO[0]) as found:
        screen = found.screen
        await found.app.action_go("models")
        await until(found.pilot, lambda: found.app.current_mode == "models")
        found.app.marked = models(found.app.services, *TWO)
        await found.pilot.pause()
        assert len(screen.columns) == 1
        await found.app.action_go("chat")
        await until(found.pilot, lambda: len(found.loaded) == 2)


async def test_no_answer_spoils_a_running_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "quick", Grid(prompt_tokens=(64,), generated_tokens=(16,), repetitions=1000))
    async with chat(TWO[0]) as found:
        await found.app.action_go("compare")
        await until(found.pilot, lambda: isinstance(found.app.screen, CompareScreen))
        await found.pilot.press("r")
        await until(found.pilot, lambda: len(found.loaded) == 2)
        await found.app.action_go("chat")
        await until(found.pilot, lambda: isinstance(found.app.screen, ChatScreen))
        await until(found.pilot, lambda: any(each.busy for each in found.app.services.loaded))
        await found.send("hello")
        await until(found.pilot, lambda: any("A benchmark runs" in text for text in notices(found.pilot)))
        assert found.screen.query_one(Prompt).text == "hello"
        assert not found.columns[0].exchanges


async def test_no_benchmark_starts_while_models_answer() -> None:
    async with chat(TWO[0], endless=True) as found:
        await begin(found)
        await found.app.action_go("compare")
        await until(found.pilot, lambda: isinstance(found.app.screen, CompareScreen))
        assert "answering in Chat" in (cast("CompareScreen", found.app.screen).reason("run") or "")


async def test_a_terminal_that_is_far_too_small_breaks_nothing() -> None:
    async with chat(*TWO, size=(20, 5)) as found:
        await found.ask("hello")
        assert found.phases == ["done", "done"]


async def test_letters_typed_in_the_prompt_are_no_keys() -> None:
    async with chat(TWO[0]) as found:
        await found.pilot.press(*"xy2r")
        assert found.screen.query_one(Prompt).text == "xy2r"
        assert isinstance(found.app.screen, ChatScreen)


@pytest.mark.parametrize(
    ("size", "count", "width"), [((80, 24), 2, 40), ((80, 24), 3, 40), ((120, 36), 4, 40), ((200, 50), 4, 50)]
)
async def test_columns_are_never_too_narrow_to_read(size: tuple[int, int], count: int, width: int) -> None:
    specs = ("pocket-5m:Q8_0", "pocket-5m:Q4_K_M", "pocket-5m:F16", "pocket-2m:Q8_0")[:count]
    async with chat(*specs, size=size) as found:
        assert {column.size.width + 2 for column in found.columns} == {width}
        assert not any(sign.display for sign in found.screen.query(StopSign))
