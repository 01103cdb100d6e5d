"""Models in Hugging Face's cache, whichever program brought them there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from slmtui.core.catalog import Format, LocalModel, ModelCard, Variant
from slmtui.core.hub_files import HubDataError, HubFile, checked_path, gguf_choices, is_repository
from slmtui.core.quantization import by_config
from slmtui.core.text import one_line
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.textfile import TextFileError, read_json

_FILES_LIMIT = 2_000
"""In one snapshot; a model has a few dozen."""
_JSON_LIMIT_BYTES = 16 << 20
"""A config has a few kilobytes, the index of ten thousand tensors about one million bytes."""
_NO_BLOB = "0" * 40


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def hub_models(cards: Iterable[ModelCard], cache: Path) -> tuple[LocalModel, ...]:
    """Every whole model in the cache, by repository; of several commits the one that a branch was last seen at counts.

    Where several repositories hold one variant of a card, the one that the card prefers has the card's id. A folder
    that can't be read counts as empty.
    """
    known = {place.id.lower(): (rank, card) for card in cards for rank, place in enumerate(card.repositories)}
    found: list[tuple[int, LocalModel]] = []
    for folder in repository_folders(cache):
        rank, card = known.get(folder.repository.lower(), (0, None))
        here = {
            model.id: model
            for snapshot in _snapshots(folder.path)[::-1]
            for model in _models(snapshot, folder.repository, card)
        }
        found += [(rank, model) for model in here.values()]
    ids: set[str] = set()
    models: list[LocalModel] = []
    for _, model in sorted(found, key=lambda ranked: ranked[0]):
        label = model.variant.quantization if model.variant is not None else ""
        named = model if model.id not in ids else msgspec.structs.replace(model, id=f"{model.repository}:{label}")
        ids.add(named.id)
        models.append(named)
    return tuple(models)


def repository_folders(cache: Path) -> Iterator[RepositoryFolder]:
    """Every repository with models in the cache."""
    for path in _inside(cache):
        repository = "/".join(path.name.split("--")[1:])
        if path.name.startswith("models--") and is_repository(repository):
            yield RepositoryFolder(cache, repository)


def files_of(model: LocalModel) -> tuple[Path, ...]:
    """Every file of a model in the cache."""
    snapshot = model.path if model.format == "MLX" else _snapshot_of(model.path)
    files = tuple(_files(snapshot))
    if model.format == "MLX":
        return tuple(snapshot / file.path for file in files)
    name = model.path.relative_to(snapshot).as_posix()
    choice = next(choice for choice in gguf_choices(files) if choice.files[0].path == name)
    return tuple(snapshot / file.path for file in choice.files)


def mlx_label(folder: Path) -> str | None:
    """Quantization of the MLX model in a folder, from its `config.json`; None when it is none, or not whole."""
    return by_config(_mlx_config(folder))


def _mlx_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says in a folder that holds whole weights; nothing in any other."""
    try:
        config = read_json(folder / "config.json", dict[str, Any], _JSON_LIMIT_BYTES)
        weights = any(path.suffix == ".safetensors" for path in folder.iterdir())
        return config if weights and _shards_are_there(folder) else {}
    except (OSError, TextFileError):
        return {}


def _models(snapshot: Path, repository: str, card: ModelCard | None) -> Iterator[LocalModel]:
    files = tuple(_files(snapshot))
    for choice in gguf_choices(files):
        path = snapshot.joinpath(*choice.files[0].path.split("/"))
        yield _model(repository, card, "GGUF", choice.label, path, choice.size_bytes)
    config = _mlx_config(snapshot)
    label = by_config(config)
    if label is not None and ("quantization" in config or _is_mlx(repository, card)):
        yield _model(repository, card, "MLX", label, snapshot, sum(file.size_bytes for file in files))


def _model(
    repository: str, card: ModelCard | None, form: Format, label: str | None, path: Path, size_bytes: int
) -> LocalModel:
    variants = [one for one in card.variants if one.format == form] if card is not None else []
    variant = next((one for one in variants if one.file == path.name or one.quantization == label), None)
    label = variant.quantization if variant is not None else label
    named = f"{repository}:{label}" if label else f"{repository}/{path.name}"
    return LocalModel(
        id=f"{card.id}:{label}" if card is not None and label else named,
        name=f"{card.name} {label}" if card is not None and label else one_line(named.partition("/")[2]),
        path=path,
        size_bytes=size_bytes,
        format=form,
        place="hub cache",
        repository=repository,
        card=card,
        variant=variant or Variant(quantization=label or "", format=form, repository=repository, file=path.name),
    )


def _is_mlx(repository: str, card: ModelCard | None) -> bool:
    places = card.repositories if card is not None else ()
    listed = {place.id.lower() for place in places if place.format == "MLX"}
    return repository.startswith("mlx-community/") or repository.lower() in listed


def _snapshots(folder: Path) -> list[Path]:
    """Snapshots of a repository; those at which a branch was last seen come first, then the newest."""
    at: set[str] = set()
    for reference in _inside(folder / "refs"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            at.add(reference.read_text("ascii").strip())
    dated: list[tuple[bool, float, Path]] = []
    for snapshot in _inside(folder / "snapshots"):
        with contextlib.suppress(OSError):
            dated.append((snapshot.name not in at, -snapshot.stat().st_mtime, snapshot))
    return [snapshot for *_, snapshot in sorted(dated)]


def _files(snapshot: Path) -> Iterator[HubFile]:
    """The files of a snapshot that are really there."""
    left = _FILES_LIMIT
    for folder, _, names in os.walk(snapshot):
        for name in names[:left]:
            path = Path(folder) / name
            with contextlib.suppress(OSError, HubDataError):
                relative = checked_path(path.relative_to(snapshot).as_posix())
                yield HubFile(path=relative, size_bytes=path.stat().st_size, blob=_NO_BLOB)
        left -= len(names)
        if left <= 0:
            return


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _shards_are_there(folder: Path) -> bool:
    """Whether every file that the weights' index names is in the folder.

    Raises:
        OSError, TextFileError: the index cannot be read, or names what cannot be a file.
    """
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return True
    document = read_json(index, _Index, _JSON_LIMIT_BYTES)
    return all((folder / Path(name).name).exists() for name in set(document.weight_map.values()))


def _snapshot_of(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.parent.name == "snapshots")
