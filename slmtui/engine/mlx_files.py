"""The files of an MLX model: what can be seen, and refused, before MLX is loaded."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from slmtui.core import text
from slmtui.core.documents import decode_others
from slmtui.core.events import FailureKind
from slmtui.core.quantization import by_config
from slmtui.engine.backends import EngineError
from slmtui.engine.gauge import page_cache_state

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
_INDEX = "model.safetensors.index.json"
_JSON_LIMIT_BYTES = 64 * 1024 * 1024
"""Twice the largest tokenizer there is."""
_LAYERS_LIMIT = 1000
"""Ten times the deepest models; layers are built one by one before the weights are looked at."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_LICENCE = re.compile(r"^license:\s*([\w.-]+)\s*$", re.MULTILINE)
_SNAPSHOT = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")


@dataclass(frozen=True)
class ModelFolder:
    """One model's folder, its small files read."""

    path: Path
    config: dict[str, Any]
    tokenizer_config: dict[str, Any]
    weights: tuple[Path, ...]
    generation: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name, or the repository's where it lies in the hub's cache."""
        for folder in self.path.absolute().parents:
            if found := _SNAPSHOT.fullmatch(folder.name):
                return text.one_line(f"{found['owner']}/{found['name']}")
        return text.one_line(self.path.absolute().name) or "this model"

    @property
    def model_type(self) -> str:
        """What mlx-lm calls the architecture."""
        return text.one_line(self.config["model_type"])

    def number(self, *names: str) -> int | None:
        """The first of these that the config has as a positive whole number, at its top or for the text part."""
        inner = self.config.get("text_config")
        for part in (self.config, inner if isinstance(inner, dict) else {}):
            for name in names:
                value = part.get(name)
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    return value
        return None

    @property
    def quantization(self) -> str | None:
        """4bit, 8bit, mxfp4, bf16, …; None where the config does not say."""
        return by_config(self.config)

    @property
    def licence(self) -> str | None:
        """What the front matter of README.md says."""
        found = _LICENCE.search(_front_matter(self.path / "README.md"))
        return found[1] if found else None

    def page_cache(self) -> Literal["cold", "warm", "unknown"]:
        """Whether the weights are in memory; "unknown" where some are and some are not."""
        states = {page_cache_state(file) for file in self.weights}
        return states.pop() if len(states) == 1 else "unknown"


def find_folder(path: str) -> Path:
    """The folder that is meant: one on this machine, or a repository `owner/name` of the hub that is in its cache.

    Raises:
        EngineError: there is none.
    """
    folder, shown = Path(path), text.one_line(path)
    try:
        if folder.is_dir():
            return folder
        exists = folder.exists()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise EngineError(FailureKind.BAD_FILE, f"{shown} cannot be read: {why}. Check the path.") from None
    if exists:
        raise EngineError(
            FailureKind.BAD_FILE,
            f"{shown} is a file; MLX opens a folder that holds {CONFIG} and model.safetensors. Name that folder.",
        )
    if _REPOSITORY.fullmatch(path):
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(path, CONFIG)
        except HFValidationError:
            found = None
        if isinstance(found, str):
            return Path(found).parent
        raise EngineError(
            FailureKind.BAD_FILE,
            f"There is no folder {shown}, and no repository of that name in the hub's cache. Check the path, or "
            "download the repository first.",
        )
    raise EngineError(FailureKind.BAD_FILE, f"There is no folder {shown}. Check the path.")


def read_folder(path: str) -> ModelFolder:
    """The model in a folder or a cached repository; its weights are not opened.

    Raises:
        EngineError: no such folder, or it does not hold a whole model.
    """
    folder = find_folder(path)
    shown = text.one_line(str(folder))
    config = read_json(folder / CONFIG)
    if config is None:
        raise EngineError(
            FailureKind.BAD_FILE,
            f"{shown} is not a model: it has no {CONFIG}. Choose a folder with {CONFIG} and model.safetensors.",
        )
    if not isinstance(config.get("model_type"), str):
        raise EngineError(
            FailureKind.BAD_FILE, f"{shown} is not a model: its {CONFIG} names no model_type. Choose another folder."
        )
    _check_kinds(folder)
    weights = tuple(sorted(folder.glob("model*.safetensors")))
    missing = sorted(_indexed(folder) - {file.name for file in weights})
    if missing or not weights:
        what = text.one_line(missing[0]) if missing else "model.safetensors"
        raise EngineError(FailureKind.BAD_FILE, f"{shown} is incomplete: {what} is missing. Download or copy it again.")
    found = ModelFolder(
        folder,
        config,
        read_json(folder / TOKENIZER_CONFIG) or {},
        weights,
        read_json(folder / "generation_config.json") or {},
    )
    layers = found.number("num_hidden_layers", "n_layers", "num_layers", "n_layer")
    if layers is not None and layers > _LAYERS_LIMIT:
        raise EngineError(
            FailureKind.BAD_FILE, f"{shown} is damaged: its {CONFIG} says {layers:,} layers. Download it again."
        )
    return found


def read_json(path: Path) -> dict[str, Any] | None:
    """An object in a JSON file; None when there is no such file.

    Raises:
        EngineError: it cannot be read, or is something else.
    """
    shown = text.one_line(str(path))
    try:
        known = path.stat()
        if not (stat.S_ISREG(known.st_mode) or stat.S_ISDIR(known.st_mode)):
            raise _no_file(path)
        if known.st_size > _JSON_LIMIT_BYTES:
            raise EngineError(FailureKind.BAD_FILE, f"{shown} is too large for what it should be. Download it again.")
        return msgspec.convert(decode_others(path.read_bytes()), dict[str, Any])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineError(
            FailureKind.BAD_FILE, f"{shown} cannot be read: {error.strerror}. Check its permissions."
        ) from None
    except (ValueError, RecursionError) as error:
        raise EngineError(FailureKind.BAD_FILE, f"{shown} is damaged ({error}). Download or copy it again.") from None


def _check_kinds(folder: Path) -> None:
    """Refuse pipes and the like: MLX, opening one, would wait for ever and let no other thread of this process run.

    Raises:
        EngineError: names it.
    """
    try:
        for path in sorted(folder.iterdir()):
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise _no_file(path)
    except OSError as error:
        shown = text.one_line(str(folder))
        raise EngineError(
            FailureKind.BAD_FILE, f"{shown} cannot be read: {error.strerror}. Check its permissions."
        ) from None


def _no_file(path: Path) -> EngineError:
    return EngineError(
        FailureKind.BAD_FILE,
        f"{text.one_line(str(path))} is no file but a pipe, a socket or a device. Remove it, or choose another folder.",
    )


def _indexed(folder: Path) -> set[str]:
    """Names of the files that the weights' index names; empty without an index."""
    index = read_json(folder / _INDEX) or {}
    names = index.get("weight_map")
    return {str(name) for name in names.values()} if isinstance(names, dict) else set()


def _front_matter(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.read(16 * 1024)
    except OSError:
        return ""
    return head.partition("---")[2].partition("\n---")[0] if head.startswith("---") else ""
