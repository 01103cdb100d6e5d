from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static, TextArea

from slmtui.core.catalog import LocalModel
from slmtui.core.chat import Message
from slmtui.core.events import AnyEvent
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Grid
from slmtui.core.presets import PRESETS
from slmtui.core.sampling import Sampling
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.services import Services
from slmtui.sources.store import StoreError
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.chat import ChatScreen
from slmtui.ui.screens.compare import CompareScreen
from slmtui.ui.screens.exact import ExactPrompts
from slmtui.ui.screens.save import SaveChat
from slmtui.ui.screens.sheet import ChatSettings, SettingsSheet, summary
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.column import Column
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.meter import Figures, Meter, StopSign
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.reply import Reply
from tests.ui.steps import running, until

LONG = Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0, seed=1, max_tokens=100_000)
"""Draws almost evenly from the vocabulary, so that an answer ends only where the context does."""


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


TWO = ("pocket-5m:Q8_0", "pocket-5m:Q4_K_M")


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


async def test_without_marks_it_says_how_to_mark_and_offers_models() -> None:
    async with chat() as found:
        empty = found.screen.query_one(NothingMarked)
        assert empty.display
        assert not found.screen.query_one(Prompt).is_on_screen
        assert "space" in " ".join(str(each.render()) for each in empty.query(Static))
        assert isinstance(found.app.focused, Button)
        await found.pilot.press("enter")
        await until(found.pilot, lambda: len(found.columns) == 2)
        await found.until("ready")
        assert not empty.display
        assert isinstance(found.app.focused, Prompt)
        assert len(found.loaded) == 2


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


async def test_models_answer_one_after_another_or_together() -> None:
    async with chat(*TWO) as found:
        await found.ask("hello")
        await found.pilot.press("ctrl+o")
        assert str(found.screen.order) == "together"
        await found.ask("hello")
        for column in found.columns:
            assert [measured.together for measured in column.seat.measurements] == [False, True]
            assert "contended" in str(column.query(".remark").last(Static).render())
        await found.pilot.click(Choice, offset=(2, 0))
        assert str(found.screen.order) == "in turn"


async def _begin(found: Chat) -> None:
    """Ask for an answer that is long enough to interfere with, and wait until the first model writes it."""
    found.screen.settings = ChatSettings(sampling=LONG)
    await found.send("hello")
    await until(found.pilot, lambda: found.phases[0] == "decoding")


async def test_esc_stops_everything_and_partial_answers_stay() -> None:
    async with chat(*TWO) as found:
        await _begin(found)
        first, second = found.columns
        await until(found.pilot, lambda: len(transcript(first)[-1]) > 20)
        await found.pilot.press("escape")
        await until(found.pilot, lambda: not found.screen.busy)
        await found.until("stopped")
        assert first.seat.messages[-1].role == "assistant"
        assert "stopped" in str(first.query(".remark").last(Static).render())
        assert transcript(second) == ["hello"]
        assert second.seat.messages == []
        found.screen.settings = ChatSettings()
        await found.ask("hello")
        assert found.phases == ["done", "done"]


async def test_esc_stops_models_that_answer_together() -> None:
    async with chat(*TWO) as found:
        await found.pilot.press("ctrl+o")
        await _begin(found)
        await until(found.pilot, lambda: found.phases[1] == "decoding")
        await found.pilot.press("escape")
        await until(found.pilot, lambda: not found.screen.busy)
        await found.until("stopped")


async def test_the_stop_sign_stops_one_model_and_the_next_goes_on() -> None:
    async with chat(*TWO) as found:
        await _begin(found)
        await found.pilot.click(found.columns[0].query_one(StopSign))
        await until(found.pilot, lambda: found.phases == ["stopped", "decoding"])
        found.columns[1].query_one(VerticalScroll).focus()
        await found.pilot.press("x")
        await until(found.pilot, lambda: found.phases == ["stopped", "stopped"])


async def test_a_column_that_waits_can_be_passed_over() -> None:
    async with chat(*TWO) as found:
        await _begin(found)
        assert found.phases[1] == "waiting"
        found.columns[1].query_one(VerticalScroll).focus()
        await found.pilot.press("x")
        assert found.phases[0] == "decoding"
        await found.pilot.click(found.columns[0].query_one(StopSign))
        await until(found.pilot, lambda: not found.screen.busy)
        await found.until("stopped")
        assert found.columns[1].seat.measurements == []


async def test_a_killed_worker_shows_its_failure_and_the_other_goes_on() -> None:
    async with chat(*TWO) as found:
        await _begin(found)
        first, second = found.columns
        pid = first.seat.loaded.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(found.pilot, lambda: second.phase == "decoding")
        await found.pilot.press("escape")
        await until(found.pilot, lambda: not found.screen.busy and second.phase == "stopped")
        assert first.phase == "failed"
        assert "SIGKILL" in transcript(first)[-1]
        assert "ctrl+r" in transcript(first)[-1]
        assert first.seat.messages == []
        assert found.screen.check_action("reload", ()) is True
        await found.pilot.press("ctrl+r")
        await until(found.pilot, lambda: first.phase == "ready")
        assert not found.screen.check_action("reload", ())
        found.screen.settings = ChatSettings()
        await found.ask("hello")
        assert found.phases == ["done", "done"]


async def test_a_worker_that_dies_while_idle_is_noticed() -> None:
    async with chat(TWO[0]) as found:
        (column,) = found.columns
        assert column.seat.loaded.pid is not None
        os.kill(column.seat.loaded.pid, signal.SIGKILL)
        await until(found.pilot, lambda: column.phase == "failed")
        assert "ctrl+r" in transcript(column)[-1]
        await found.send("hello")
        assert found.screen.query_one(Prompt).text == "hello"


async def test_a_file_that_can_not_be_loaded_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    async with chat(TWO[0], str(broken)) as found:
        good, bad = found.columns
        assert (good.phase, bad.phase) == ("ready", "failed")
        assert "broken.gguf" in transcript(bad)[-1]
        await found.ask("hello")
        assert (good.phase, bad.phase) == ("done", "failed")
        assert len(bad.exchanges) == 0


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
        await until(found.pilot, lambda: not found.loaded)
        assert found.screen.query_one(NothingMarked).display


async def test_models_are_loaded_when_chat_is_visited_not_when_they_are_marked() -> None:
    async with chat(TWO[0]) as found:
        await found.app.action_go("models")
        await found.pilot.pause()
        found.app.marked = models(found.app.services, *TWO)
        await found.pilot.pause(0.2)
        assert len(found.loaded) == 1
        await found.app.action_go("chat")
        await until(found.pilot, lambda: len(found.loaded) == 2)


async def test_settings_reach_the_models() -> None:
    async with chat(TWO[0]) as found:
        await found.pilot.press("f8")
        await until(found.pilot, lambda: isinstance(found.app.screen, SettingsSheet))
        sheet = found.app.screen
        sheet.query_one("#max_tokens", Input).value = "0"
        await found.pilot.press("enter")
        assert "max_tokens is 0" in str(sheet.query_one("#problem", Static).render())
        sheet.query_one("#max_tokens", Input).value = "5"
        sheet.query_one("#top_k", Input).value = "many"
        await found.pilot.press("enter")
        assert "top_k is 'many'; it must be a whole number" in str(sheet.query_one("#problem", Static).render())
        sheet.query_one("#top_k", Input).value = ""
        sheet.query_one("#seed", Input).value = "7"
        sheet.query_one(TextArea).text = "Answer briefly."
        await found.pilot.click("#greedy")
        await found.pilot.click("#apply")
        await until(found.pilot, lambda: isinstance(found.app.screen, ChatScreen))
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
        assert isinstance(found.app.screen, ChatScreen)


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
        await found.pilot.pause()
        assert transcript(found.columns[0]) == []
        assert found.columns[0].seat.messages == []
        assert found.columns[0].seat.loaded.pid == pid
        assert found.phases == ["ready"]


async def test_copy_takes_the_answer_of_the_focused_column() -> None:
    async with chat(*TWO) as found:
        await found.ask("What is prefill?")
        found.columns[1].query_one(VerticalScroll).focus()
        await found.pilot.press("y")
        assert found.app.clipboard == found.columns[1].last_answer


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
        await until(found.pilot, lambda: found.app._notifications)
        notice = next(iter(found.app._notifications))
        assert "was not saved" in notice.message
        assert notice.severity == "error"


async def test_a_prompt_that_does_not_fit_is_refused_and_the_chat_goes_on() -> None:
    async with chat(TWO[0]) as found:
        await found.ask("word " * 3000)
        (column,) = found.columns
        assert found.phases == ["failed"]
        assert "context" in transcript(column)[-1]
        assert "ctrl+r" not in transcript(column)[-1]
        assert column.seat.messages == []
        await found.ask("hello")
        assert found.phases == ["done"]


async def test_a_store_that_fails_is_said_in_the_column(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(*TWO) as found:

        def full(measurement: Measurement) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(found.app.services.store, "add", full)
        await found.ask("hello")
        assert found.phases == ["failed", "stopped"]
        assert "the disk is full" in transcript(found.columns[0])[-1]


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
        await found.pilot.pause()
        assert found.screen.query_one(Prompt).text == "hello"
        assert not found.columns[0].exchanges


async def test_no_benchmark_starts_while_models_answer() -> None:
    async with chat(TWO[0]) as found:
        await _begin(found)
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
