"""The trial of MLX, and MLX that does not work or is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.engine import mlx_trial
from slmtui.engine.mlx_trial import engine_state
from tests.mlx_models import needs_mlx


@needs_mlx
async def test_a_sound_installation_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "mlx-trial.json"
    state = await engine_state(cache, "cpu")
    assert state is not None
    assert (state.name, state.trial, state.advice) == ("MLX", "sound", None)
    assert state.devices[-1] == "CPU"
    assert state.build is not None
    monkeypatch.setattr(mlx_trial, "run_trial", None)
    assert await engine_state(cache, "cpu") == state, "it is remembered"


@pytest.mark.parametrize("damage", ["raise ImportError('libmlx.so: not here')", "import os; os.abort()"])
async def test_an_installation_that_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "__init__.py").write_text(damage, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(mlx_trial, "versions", lambda: {"mlx": "0.32.4"})
    state = await engine_state(tmp_path / "cache.json", "cpu")
    assert state is not None
    assert (state.trial, state.version, state.devices) == ("unusable", "0.32.4", ())
    assert state.advice is not None
    assert "libmlx.so" in state.advice or "signal 6" in state.advice
    assert "pip install" in state.advice
    assert not (tmp_path / "cache.json").exists(), "it is tried again the next time"


async def test_no_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlx_trial, "_PACKAGES", ("no-such-package-of-ours",))
    assert await engine_state(tmp_path / "cache.json", "cpu") is None
