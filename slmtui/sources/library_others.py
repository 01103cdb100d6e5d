"""Models that other programs keep: llama.cpp's cache, LM Studio's folder, Ollama's store. Nothing is changed there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from slmtui.core.catalog import LocalModel, Place
from slmtui.core.hub_files import HubDataError, HubFile, checked_path, gguf_choices
from slmtui.core.text import one_line
from slmtui.sources.library_hub import mlx_label
from slmtui.sources.textfile import TextFileError, read_json

_JSON_LIMIT_BYTES = 1 << 20
_ENTRY_LIMIT = 20_000
_DEPTH_LIMIT = 4
_MODEL_LAYER = "application/vnd.ollama.image.model"
_NO_BLOB = "0" * 40


class Others(msgspec.Struct, frozen=True, kw_only=True):
    """Where other programs keep their models; what is not there is simply empty."""

    llama_cpp: Path
    lm_studio: tuple[Path, ...]
    ollama: tuple[Path, ...]

    @classmethod
    def find(cls, environ: Mapping[str, str] | None = None, home: Path | None = None) -> Others:
        """The programs' own defaults, and the environment variables and settings that move them."""
        known = os.environ if environ is None else environ
        home = home or Path(os.path.expanduser("~"))  # noqa: PTH111 - `Path.home` fails where nobody has a home
        ollama = _named(known, "OLLAMA_MODELS")
        of_the_service = Path("/usr/share/ollama/.ollama/models")  # on Linux
        return cls(
            llama_cpp=_named(known, "LLAMA_CACHE") or _cache(known, home) / "llama.cpp",
            lm_studio=_lm_studio(home),
            ollama=(ollama,) if ollama is not None else (home / ".ollama" / "models", of_the_service),
        )


def other_models(others: Others) -> tuple[LocalModel, ...]:
    """Every whole model that other programs keep here; a store that can't be read counts as empty."""
    found = [*_gguf_models(others.llama_cpp, "llama.cpp")]
    for folder in others.lm_studio:
        found += [*_gguf_models(folder, "LM Studio"), *_mlx_models(folder)]
    for folder in others.ollama:
        found += _ollama_models(folder)
    return tuple({model.path: model for model in found}.values())


class _Layer(msgspec.Struct):
    digest: str
    media_type: str = msgspec.field(default="", name="mediaType")


class _Manifest(msgspec.Struct):
    layers: list[_Layer]


class _LmSettings(msgspec.Struct):
    downloads_folder: str | None = msgspec.field(default=None, name="downloadsFolder")


def _named(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "").strip()
    return Path(value) if value else None


def _cache(environ: Mapping[str, str], home: Path) -> Path:
    """The folder of caches, as llama.cpp asks for it."""
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if sys.platform == "win32":
        return _named(environ, "LOCALAPPDATA") or home / "AppData" / "Local"
    return _named(environ, "XDG_CACHE_HOME") or home / ".cache"


def _lm_studio(home: Path) -> tuple[Path, ...]:
    """LM Studio's folders of models: the one that its settings name, and those of its newer and older versions."""
    root = home / ".lmstudio"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        root = Path((home / ".lmstudio-home-pointer").read_text("utf-8").strip() or root)
    folders = [root / "models", home / ".cache" / "lm-studio" / "models"]
    with contextlib.suppress(TextFileError):
        settings = read_json(root / "settings.json", _LmSettings, _JSON_LIMIT_BYTES)
        if settings.downloads_folder:
            folders.insert(0, Path(settings.downloads_folder))
    return tuple(dict.fromkeys(folders))


def _gguf_models(folder: Path, place: Place) -> Iterator[LocalModel]:
    """Whole GGUF language models below a folder, by path."""
    files: list[HubFile] = []
    for path in _below(folder):
        with contextlib.suppress(OSError, HubDataError):
            relative = checked_path(path.relative_to(folder).as_posix())
            files.append(HubFile(path=relative, size_bytes=path.stat().st_size, blob=_NO_BLOB))
    for choice in sorted(gguf_choices(files), key=lambda choice: choice.files[0].path):
        path = folder.joinpath(*choice.files[0].path.split("/"))
        name = one_line(PurePosixPath(choice.files[0].path).stem)
        yield LocalModel(id=str(path), name=name, path=path, size_bytes=choice.size_bytes, place=place)


def _mlx_models(folder: Path) -> Iterator[LocalModel]:
    """MLX models, which LM Studio keeps as publisher/name."""
    for config in sorted({path for path in _below(folder) if path.name == "config.json"}):
        label = mlx_label(config.parent)
        if label is not None:
            size = sum(path.stat().st_size for path in config.parent.iterdir() if path.is_file())
            name = one_line(config.parent.name)
            yield LocalModel(
                id=str(config.parent), name=name, path=config.parent, size_bytes=size, format="MLX", place="LM Studio"
            )


def _ollama_models(folder: Path) -> Iterator[LocalModel]:
    """Ollama's models: a manifest by name and tag names the blob that is a GGUF file."""
    manifests = folder / "manifests"
    for path in sorted(filter(Path.is_file, _below(manifests))):
        with contextlib.suppress(OSError, TextFileError):
            manifest = read_json(path, _Manifest, _JSON_LIMIT_BYTES)
            digest = next((layer.digest for layer in manifest.layers if layer.media_type == _MODEL_LAYER), "")
            blob = folder / "blobs" / digest.replace(":", "-")
            if digest.startswith("sha256:") and digest[7:].isalnum() and _is_gguf(blob):
                name = _ollama_name(path.relative_to(manifests).parts)
                size = blob.stat().st_size
                yield LocalModel(id=f"ollama/{name}", name=name, path=blob, size_bytes=size, place="Ollama")


def _ollama_name(parts: tuple[str, ...]) -> str:
    """What one types for it: `qwen3:0.6b`, `somebody/tiny:latest`, `hf.co/owner/name:Q4_K_M`."""
    host, *path, tag = parts
    shown = path[1:] if path[:1] == ["library"] else path
    if host != "registry.ollama.ai":
        shown = [host, *path]
    return one_line(f"{'/'.join(shown)}:{tag}")


def _is_gguf(path: Path) -> bool:
    if not path.is_file():  # opening a pipe would wait for a writer
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _below(folder: Path) -> Iterator[Path]:
    """Files below a folder, to a limit of depth and number."""
    budget = _ENTRY_LIMIT
    for current, folders, names in os.walk(folder):
        if len(Path(current).relative_to(folder).parts) >= _DEPTH_LIMIT:
            folders.clear()
        budget -= len(names)
        if budget < 0:
            return
        yield from (Path(current) / name for name in names)
