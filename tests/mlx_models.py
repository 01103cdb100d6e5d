"""Pocket as MLX opens it, converted by the project's own script, and what else tests need to know of MLX."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slmtui.sources.resources import pocket_folder

TO_MLX = Path(__file__).parents[1] / "tools" / "pocket" / "to_mlx.py"
SOURCE = pocket_folder() / "pocket-5m-F16.gguf"
Forms = Callable[[str], Path]


def why_not() -> str | None:
    """Why MLX cannot be used here; None where it can."""
    try:
        import mlx.core as mx
        import tokenizers
    except ImportError as error:
        return f"MLX cannot be imported here: {error}"
    return None if mx and tokenizers else "MLX is empty"


needs_mlx = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


ENGINES = ["llama.cpp", pytest.param("MLX", marks=needs_mlx)]
"""To parametrize a test with both engines."""


def converted(target: Path, form: str, source: Path = SOURCE) -> Path:
    """The folder of a form (bf16, 4bit, …) of Pocket 5M, or of another model like it, made unless it is there."""
    folder = target / f"{source.stem.removesuffix('-F16')}-{form}"
    if not folder.exists():
        subprocess.run([sys.executable, str(TO_MLX), str(source), str(target), form], check=True, timeout=120)
    return folder


def changed(source: Path, target: Path, file: str = "config.json", **values: object) -> Path:
    """A copy of a model's folder with other values in one of its JSON files; its other files are links."""
    target.mkdir()
    for path in source.iterdir():
        if path.name != file:
            (target / path.name).symlink_to(path)
    document: dict[str, Any] = json.loads((source / file).read_text("utf-8")) | values
    known = {name: value for name, value in document.items() if value is not None}
    (target / file).write_text(json.dumps(known), encoding="utf-8")
    return target


def endless(source: Path, target: Path) -> Path:
    """A copy of a model that knows no end of its answer: it goes on until its limit."""
    plain = changed(source, target / "plain", eos_token_id=[])
    return changed(plain, target / "endless", "tokenizer_config.json", eos_token=None)
