"""What ends an answer before its end: a person, a worker that dies, a context or a disk that is full."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from textual.widgets import Static

from slmtui.core.measurement import Measurement
from slmtui.core.sampling import Sampling
from slmtui.sources.store import StoreError
from slmtui.ui.screens.sheet import ChatSettings
from slmtui.ui.widgets.meter import StopSign
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.transcript import Transcript
from tests.ui.chat_steps import TWO, begin, chat, transcript
from tests.ui.steps import until

BRIEF = ChatSettings(sampling=Sampling(max_tokens=8))
"""Ends an answer at once, that of an endless model too."""


async def test_esc_stops_everything_and_partial_answers_stay() -> None:
    async with chat(*TWO, endless=True) as found:
        await begin(found)
        first, second = found.columns
        await until(found.pilot, lambda: len(transcript(first)[-1]) > 20)
        await found.pilot.press("escape")
        await until(found.pilot, lambda: not found.screen.busy)
        await found.until("stopped")
        assert first.seat.messages[-1].role == "assistant"
        assert "stopped" in str(first.query(".remark").last(Static).render())
        assert transcript(second) == ["hello"]
        assert second.seat.messages == []
        found.screen.settings = BRIEF
        await found.ask("hello")
        assert found.phases == ["done", "done"]


async def test_esc_stops_models_that_answer_together() -> None:
    async with chat(*TWO, endless=True) as found:
        await found.pilot.press("ctrl+o")
        await begin(found)
        await until(found.pilot, lambda: found.phases[1] == "decoding")
        await found.pilot.press("escape")
        await until(found.pilot, lambda: not found.screen.busy)
        await found.until("stopped")


async def test_the_stop_sign_stops_one_model_and_the_next_goes_on() -> None:
    async with chat(*TWO, endless=True) as found:
        await begin(found)
        await found.pilot.click(found.columns[0].query_one(StopSign))
        await until(found.pilot, lambda: found.phases == ["stopped", "decoding"])
        found.columns[1].query_one(Transcript).focus()
        await found.pilot.press("x")
        await until(found.pilot, lambda: found.phases == ["stopped", "stopped"])


async def test_a_column_that_waits_can_be_passed_over() -> None:
    async with chat(*TWO, endless=True) as found:
        await begin(found)
        assert found.phases[1] == "waiting"
        found.columns[1].query_one(Transcript).focus()
        await found.pilot.press("x")
        assert found.phases[0] == "decoding"
        await found.pilot.click(found.columns[0].query_one(StopSign))
        await until(found.pilot, lambda: not found.screen.busy)
        await found.until("stopped")
        assert found.columns[1].seat.measurements == []


async def test_a_killed_worker_shows_its_failure_and_the_other_goes_on() -> None:
    async with chat(*TWO, endless=True) as found:
        await begin(found)
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
        found.screen.settings = BRIEF
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
