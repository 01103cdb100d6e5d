"""The GGUF and the MLX form of one model asked the same questions in the app."""

from __future__ import annotations

import pytest

from slmtui.core.probe_presets import ProbeGrid
from slmtui.core.probe_results import cell_scores, levels
from slmtui.lab import probe
from tests.mlx_models import SOURCE, Forms, needs_mlx
from tests.ui.probe_steps import asking, make_small
from tests.ui.steps import shown, until

pytestmark = needs_mlx


async def test_both_engines_are_asked_and_say_alike(mlx_forms: Forms, monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    async with asking(str(SOURCE), str(mlx_forms("fp32"))) as found:
        found.screen.chosen = ("pocket-judgements",)
        found.screen.think()
        await found.planned()
        assert "2 models × 1 task · 32 questions" in shown(found.app, "#outlook")
        await found.run()
        assert found.states == ["done"] * 4
        (kept,) = await probe.kept(found.app.services)
        stored = levels(cell_scores(await probe.batches(found.app.services, kept.plan.id)))
        right = [level.accuracy.value for level in stored]
        assert right[:2] == pytest.approx(right[2:], abs=0.17), "a near tie of one question may fall either way"

        found.screen.changes = ProbeGrid(exact=True)
        found.screen.think()
        await until(found.pilot, lambda: "cannot be asked with exact" in shown(found.app, "#outlook"))
