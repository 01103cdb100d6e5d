"""Models that are on this machine: the bundled ones, and .gguf files and MLX folders in the person's folders."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.hub_files import SHARD
from slmtui.core.quantization import matching
from slmtui.core.text import one_line, shorten
from slmtui.sources.resources import pocket_folder
from slmtui.sources.textfile import expanded

_DEPTH_LIMIT = 8
_ENTRY_LIMIT = 50_000
_MLX_CONFIG, _MLX_WEIGHTS = "config.json", ".safetensors"
_SEE = "`slmtui models` lists what is here"


class UnknownModelError(ValueError):
    """No model on this machine has that name; the message says what to do."""


def local_models(
    cards: Iterable[ModelCard], folders: Iterable[str | Path] = (), shared: Iterable[LocalModel] = ()
) -> tuple[LocalModel, ...]:
    """Every variant whose file is here: bundled ones in catalog order, `shared` ones, then each folder's by path.

    `shared` are what `library_hub` and `library_others` find. Folders are searched to a depth of 8 and to 50,000
    entries each; a folder that can't be read counts as empty, links are followed but no folder is entered twice. Only
    the first part of a split model is listed, and a file in several places once.
    """
    bundled = [model for card in cards if card.bundled for model in _bundled_models(card)]
    found: list[LocalModel] = []
    seen: set[Path] = set()
    for model in (*bundled, *shared, *(model for folder in folders for model in folder_models(folder))):
        if (real := model.path.resolve()) not in seen:
            seen.add(real)
            found.append(model)
    return tuple(found)


def find_model(
    spec: str,
    cards: Sequence[ModelCard],
    folders: Iterable[str | Path] = (),
    shared: Sequence[LocalModel] = (),
) -> LocalModel:
    """The model that a person means by `pocket-5m`, `pocket-5m:Q4_K_M`, another id in any spelling, or a path.

    A bare file name, with or without `.gguf`, is looked up too. Nothing is opened.

    Raises:
        UnknownModelError: no such model or file here, or its file is missing.
    """
    spec = spec.strip()
    if not spec:
        raise UnknownModelError(f"no model was named; {_SEE}")
    card = next((card for card in cards if card.id == spec.partition(":")[0].lower()), None)
    if card is not None:
        return _catalog_model(card, spec.partition(":")[2], shared)
    path = absolute(spec)
    if holds(path.is_file) or _is_mlx_folder(path):
        return _named_file(path, local_models(cards, (), shared))
    local = local_models(cards, folders, shared)
    named = _of_repository(spec, local) or [
        m for m in local if m.card is None and spec.lower() in (m.id.lower(), m.path.name.lower(), m.path.stem.lower())
    ]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(one_line(model.id) for model in named)
        raise UnknownModelError(f"{one_line(spec)} could be any of {ids}; give the one that you mean")
    if looks_like_path(spec):
        raise UnknownModelError(no_model_at(path))
    raise UnknownModelError(_unknown(spec, cards, local))


def _bundled_models(card: ModelCard) -> Iterator[LocalModel]:
    for variant in card.variants:
        path = pocket_folder() / (variant.file or "")
        if path.is_file():
            yield _card_model(card, variant, path)


def _card_model(card: ModelCard, variant: Variant, path: Path) -> LocalModel:
    return LocalModel(
        id=f"{card.id}:{variant.quantization}",
        name=f"{card.name} {variant.quantization}",
        path=path,
        size_bytes=path.stat().st_size,
        place="bundled",
        card=card,
        variant=variant,
    )


def _catalog_model(card: ModelCard, label: str, shared: Sequence[LocalModel]) -> LocalModel:
    here = [*_bundled_models(card)] if card.bundled else [model for model in shared if model.card == card]
    by_label = {model.variant.quantization: model for model in reversed(here) if model.variant is not None}
    known = [variant.quantization for variant in card.variants]
    wanted = (
        matching(label, [*known, *by_label]) if label else card.default_variant and card.default_variant.quantization
    )
    if wanted in by_label:
        return by_label[wanted]
    if not label and here:
        return here[0]
    if wanted is None or (card.bundled and wanted not in known):
        listed = ", ".join(f"{card.id}:{variant.quantization}" for variant in card.variants) or "none"
        raise UnknownModelError(f"{card.id} has no variant {one_line(label) or 'at all'}; it has {listed}")
    if card.bundled:
        path = pocket_folder() / next(one.file or "" for one in card.variants if one.quantization == wanted)
        raise UnknownModelError(
            f"the file of the bundled model {card.id}:{wanted} is missing ({path}); "
            f"install slmtui again, or choose another model: {_SEE}"
        )
    raise UnknownModelError(
        f"{card.id}:{wanted} is in the catalog, but not on this machine; `slmtui pull {card.id}:{wanted}` downloads it"
    )


def _of_repository(spec: str, local: Sequence[LocalModel]) -> list[LocalModel]:
    """Models of the hub's repository `owner/name` or `owner/name:LABEL`, whatever they are called here."""
    name, _, label = spec.partition(":")
    models = [model for model in local if model.repository is not None and model.repository.lower() == name.lower()]
    if not label:
        return models
    wanted = matching(label, [model.variant.quantization for model in models if model.variant is not None])
    return [model for model in models if model.variant is not None and model.variant.quantization == wanted]


def _named_file(path: Path, known: Sequence[LocalModel]) -> LocalModel:
    # A known file keeps its card when named by its path: demo models are labelled wherever they appear.
    for one in known:
        with contextlib.suppress(OSError, ValueError):
            if one.path.samefile(path):
                return one
    model = _model_at(path)
    if model is None:
        raise UnknownModelError(
            f"the name of {one_line(str(path))} is not valid UTF-8, so the engine can't be told to open it; "
            "rename the file"
        )
    return model


def folder_models(folder: str | Path) -> Iterator[LocalModel]:
    """The models in a folder and below it, by path; for a file the model in it."""
    for path in sorted(_model_paths(absolute(str(folder)))):
        if (model := _model_at(path)) is not None:
            yield model


def _model_at(path: Path) -> LocalModel | None:
    """The model in a file or an MLX folder; None when it is gone again or its name can't be written in UTF-8."""
    try:
        str(path).encode()
        mlx = path.is_dir()
        size_bytes = _size_bytes(path)
    except (OSError, UnicodeEncodeError):
        return None
    name = one_line(path.name if mlx else path.stem)
    return LocalModel(id=str(path), name=name, path=path, size_bytes=size_bytes, format="MLX" if mlx else "GGUF")


def _is_mlx_folder(path: Path) -> bool:
    """Whether a folder is a model in MLX's format: it has a config and weights."""
    return holds((path / _MLX_CONFIG).is_file) and any(name.endswith(_MLX_WEIGHTS) for name in _names(path))


def _size_bytes(path: Path) -> int:
    """Size of the file, of all parts together when it is the first of a split model; of an MLX folder's files."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    part = SHARD.fullmatch(path.name)
    if part is None:
        return path.stat().st_size
    count = int(part["count"])
    files = (path.with_name(f"{part['stem']}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1))
    return sum(file.stat().st_size for file in files if file.is_file())


def _model_paths(folder: Path) -> Iterator[Path]:
    """Paths of GGUF files and MLX folders from `folder` down, breadth first so that a limit cuts the deepest."""
    if holds(folder.is_file):
        yield folder
        return
    from slmtui.sources.library_hub import mlx_label

    waiting = deque([(folder, 0)])
    entered: set[tuple[int, int]] = set()
    budget = _ENTRY_LIMIT
    while waiting and budget > 0:
        current, depth = waiting.popleft()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                listing = list(entries)[:budget]
        except OSError:
            continue
        budget -= len(listing)
        if _MLX_CONFIG in {entry.name for entry in listing} and mlx_label(current) is not None:
            yield current
        for entry in listing:
            if holds(entry.is_dir) and depth < _DEPTH_LIMIT:
                waiting.append((current / entry.name, depth + 1))
            elif _is_model_file(entry):
                yield current / entry.name


def _is_model_file(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    part = SHARD.fullmatch(name)
    # "mmproj" files hold the eyes of a model, not a language model.
    if not name.endswith(".gguf") or name.startswith("mmproj") or (part and int(part["number"]) != 1):
        return False
    return holds(entry.is_file)


def holds(question: Callable[[], bool]) -> bool:
    """The answer of the file system; no when it can't say (name too long, folder closed to us)."""
    try:
        return question()
    except (OSError, ValueError):
        return False


def absolute(path: str) -> Path:
    """A path as a person writes it, with `~`, from the root on."""
    named = expanded(Path(path))
    try:
        return named.absolute()
    except OSError:  # the folder that the program was started in is gone
        return named


def looks_like_path(spec: str) -> bool:
    """Whether a person means a place on this machine rather than a name."""
    separators = [os.sep, os.altsep] if os.altsep else [os.sep]
    return spec.lower().endswith(".gguf") or any(s in spec for s in separators) or os.path.lexists(absolute(spec))


def no_model_at(path: Path) -> str:
    """Why there is no model at a path, and what to do, in words."""
    shown = one_line(str(path))
    if holds(path.is_dir):
        names = [name for name in _names(path) if name.lower().endswith(".gguf")]
        inside = f"name one of its files: {_listed(names)}" if names else f"it holds no model; {_SEE}"
        return f"{shown} is a folder; {inside}"
    close = difflib.get_close_matches(path.name, _names(path.parent), n=3)
    meant = f"did you mean {_listed(close)}?" if close else f"correct the path, or name a model: {_SEE}"
    oddity = _oddity(path)
    return f"{shown} {oddity}; name a .gguf file" if oddity else f"there is no file {shown}; {meant}"


def _oddity(path: Path) -> str | None:
    """What stands at a path that is neither a file nor a folder; None where there is nothing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return f"is a link to {one_line(str(path.readlink()))}, which is not there" if path.is_symlink() else None
    except PermissionError as error:
        return f"can't be read: {error.strerror}"
    except (OSError, ValueError) as error:  # too long a name, one below a file, a zero byte: nothing can be there
        loops = isinstance(error, OSError) and error.errno == errno.ELOOP
        return "is a link that leads to itself" if loops else None
    return None if stat.S_ISREG(status.st_mode) else "is a device or a pipe"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (OSError, ValueError):
        return []


def _unknown(spec: str, cards: Sequence[ModelCard], local: Sequence[LocalModel]) -> str:
    names = [card.id for card in cards] + [m.id if m.card else m.path.stem for m in local]
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(spec.lower(), by_lower, n=3)
    meant = f"did you mean {_listed([by_lower[name] for name in close])}? " if close else ""
    return f"no model is called {shorten(one_line(spec), 80)}; {meant}{_SEE}; a .gguf file is named by its path"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(one_line(name) for name in names[:5])
    return f"{shown}, …" if len(names) > 5 else shown
