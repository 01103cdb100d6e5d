"""The GGUF and the MLX form of one model measured in the app, with a setting that one engine alone has."""

from __future__ import annotations

import pytest

from slmtui.core.plan import Grid
from tests.mlx_models import SOURCE, Forms, needs_mlx
from tests.ui.compare_steps import bench, make_small
from tests.ui.steps import shown, until

pytestmark = needs_mlx


async def test_threads_are_varied_for_the_engine_that_has_them(
    mlx_forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    async with bench(str(SOURCE), str(mlx_forms("bf16"))) as found:
        found.screen.changes = Grid(threads=(1, 2), repetitions=1)
        found.screen.think()
        await found.planned()
        assert "3 cells" in shown(found.app, "#outlook")
        await found.pilot.press("r")
        await found.measured(3)
        await found.ended()
        assert found.states == ["done"] * 3
        found.app.marked = found.app.marked[1:]
        found.screen.think()
        await until(found.pilot, lambda: "how many threads MLX uses cannot be set" in shown(found.app, "#outlook"))
