"""The trial of MLX, and MLX that does not work or is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slmtui.core.events import FailureKind
from slmtui.engine import mlx_trial
from slmtui.engine.client import WORKER_COMMAND
from slmtui.engine.mlx_trial import engine_state
from slmtui.engine.trials import Trial
from tests.engine.mlx_requests import request
from tests.engine.support import failed, run, worker
from tests.mlx_models import Forms, needs_mlx

FEW_FILES = ("sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh")


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


def may_raise_limits() -> bool:
    """Whether a process of this user gets over a hard limit."""
    raise_it = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 4096))"
    return subprocess.run([*FEW_FILES, sys.executable, "-c", raise_it], stderr=subprocess.DEVNULL).returncode == 0


@needs_mlx
@pytest.mark.skipif(sys.platform != "linux", reason="uses a shell's and Linux's way to set limits")
async def test_too_few_open_files_are_said_by_the_trial_and_by_a_load(tmp_path: Path, mlx_forms: Forms) -> None:
    if may_raise_limits():
        pytest.skip("this user may raise any limit")
    cache = tmp_path / "mlx-trial.json"
    state = await engine_state(cache, "cpu", [*FEW_FILES, *mlx_trial.TRIAL_COMMAND])
    assert state is not None
    assert state.trial == "unusable"
    assert state.advice is not None
    assert "hard limit is 1,024" in state.advice
    assert "ulimit -n 4096" in state.advice
    assert "pip install" not in state.advice
    assert not cache.exists()
    async with worker(tmp_path / "log", [*FEW_FILES, *WORKER_COMMAND]) as client:
        why = failed(await run(client, request(mlx_forms("bf16"))), FailureKind.ENGINE_MISSING).message
        assert "ulimit -n 4096" in why


@needs_mlx
async def test_another_limit_is_another_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "mlx-trial.json"
    tried: list[Trial] = []

    async def run_trial(*_: object) -> Trial:
        tried.append(Trial(devices=("CPU",), decoded=(1, 8)))
        return tried[-1]

    monkeypatch.setattr(mlx_trial, "run_trial", run_trial)
    for limit in (4096, 4096, 1024):
        monkeypatch.setattr(mlx_trial, "_files_limit", lambda limit=limit: limit)
        await engine_state(cache, "cpu")
    assert len(tried) == 2


async def test_no_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlx_trial, "_PACKAGES", ("no-such-package-of-ours",))
    assert await engine_state(tmp_path / "cache.json", "cpu") is None
