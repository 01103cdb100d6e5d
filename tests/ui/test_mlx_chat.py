"""The GGUF and the MLX form of one model side by side in the app."""

from __future__ import annotations

import pytest

from slmtui.core.sampling import Sampling
from slmtui.ui.screens.sheet import ChatSettings
from slmtui.ui.widgets.meter import Figures, Meter
from tests.mlx_models import SOURCE, Forms, needs_mlx
from tests.ui.test_chat_screen import chat, transcript

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
