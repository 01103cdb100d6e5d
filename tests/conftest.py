"""Isolation for every test: no home folder, no network, no terminal of the developer's leaks in."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.engine.gguf_files import Gguf
from tests.mlx_models import SOURCE, Forms, converted

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell, and programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder that holds all files of the program, and a clean environment."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SLMTUI_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "huggingface"))
    monkeypatch.setenv("LLAMA_CACHE", str(folder / "llama.cpp"))
    monkeypatch.setenv("OLLAMA_MODELS", str(folder / "ollama"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    for name in ("NO_COLOR", "SLMTUI_THEME", "COLUMNS", "LINES", "HF_TOKEN", "HF_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives Pocket as an engine opens it, with `gguf_files.HOSTILE` in place of each blank that it writes."""
    folder = tmp_path_factory.mktemp("hostile")
    source = Gguf.read(SOURCE).with_hostile_blanks().write(folder / "hostile.gguf")
    return lambda engine: converted(folder, "bf16", source) if engine == "MLX" else source


@pytest.fixture(scope="session")
def mlx_forms(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    """Gives the folder of Pocket in one of MLX's forms, converted once a run; for tests marked `needs_mlx`."""
    return partial(converted, tmp_path_factory.mktemp("mlx"))
