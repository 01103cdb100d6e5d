"""The GGUF and the MLX form of one model side by side in the app."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from slmtui.core.sampling import Sampling
from slmtui.ui.screens.sheet import ChatSettings
from slmtui.ui.widgets.meter import Figures, Meter
from tests.mlx_models import SOURCE, Forms, changed, needs_mlx
from tests.ui.chat_steps import LONG, chat, transcript
from tests.ui.steps import until

pytestmark = needs_mlx


@pytest.mark.timeout(180)
async def test_one_question_goes_to_both_engines(mlx_forms: Forms) -> None:
    path = mlx_forms("bf16")
    async with chat(str(SOURCE), str(path)) as found:
        found.screen.settings = ChatSettings(sampling=Sampling(temperature=0, max_tokens=24))
        assert found.phases == ["ready", "ready"]
        await found.ask("What is prefill?")
        assert found.phases == ["done", "done"]
        (question, theirs), (same_question, ours) = map(transcript, found.columns)
        assert question == same_question == "What is prefill?"
        assert ours == theirs
        assert ours.strip()
        engines = [column.seat.measurements[0].facts.engine or "" for column in found.columns]
        assert [engine.partition(" ")[0] for engine in engines] == ["llama.cpp", "MLX"]
        titles = [str(column.border_title) for column in found.columns]
        assert titles == ["Pocket 5M F16 · CPU", "pocket-5m-bf16 · MLX CPU"]
        for column in found.columns:
            assert "—" not in str(column.query_one(Figures).render())
            assert "KV cache" in str(column.query_one(Meter).tooltip)
        await found.ask("Hello")
        assert [len(column.exchanges) for column in found.columns] == [2, 2]
        assert transcript(found.columns[0]) == transcript(found.columns[1])


async def test_what_goes_wrong_in_one_engine_leaves_the_other_alone(
    mlx_forms: Forms, hostile: Callable[[str], Path], tmp_path: Path
) -> None:
    broken = changed(mlx_forms("bf16"), tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    (broken / "model.safetensors").write_bytes(b"cut off")
    async with chat(str(hostile("MLX")), str(hostile("llama.cpp")), str(broken), endless=True) as found:
        ours, theirs, bad = found.columns
        assert found.phases == ["ready", "ready", "failed"]
        assert "broken is damaged or incomplete" in transcript(bad)[-1]

        found.screen.settings = ChatSettings(sampling=Sampling(temperature=0, max_tokens=24))
        await found.ask("Hello")
        assert found.phases == ["done", "done", "failed"]
        said = transcript(ours)[-1]
        assert said == transcript(theirs)[-1]
        assert "\ufffd[b]" in said, "markup stays text, and bytes that are no text are marked"
        assert "\x1b" not in said

        found.screen.settings = ChatSettings(sampling=LONG)
        await found.send("Hello")
        await until(found.pilot, lambda: ours.phase == "decoding")
        assert ours.seat.loaded.pid is not None
        os.kill(ours.seat.loaded.pid, signal.SIGKILL)
        await until(found.pilot, lambda: theirs.phase == "decoding")
        await found.pilot.press("escape")
        await until(found.pilot, lambda: not found.screen.busy)
        assert found.phases == ["failed", "stopped", "failed"]
        assert "SIGKILL" in transcript(ours)[-1]
