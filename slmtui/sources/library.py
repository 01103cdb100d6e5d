"""Models that are on this machine: the bundled ones, and .gguf files in the person's folders."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.text import one_line, shorten
from slmtui.sources.atomic import write_atomically
from slmtui.sources.resources import pocket_folder

_DEPTH_LIMIT = 8
_ENTRY_LIMIT = 50_000
_HASHES_LIMIT = 500
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_SEE = "`slmtui models` lists what is here"


class UnknownModelError(ValueError):
    """No model on this machine has that name; the message says what to do."""


class _Hash(msgspec.Struct, frozen=True):
    size_bytes: int
    mtime_ns: int
    sha256: str


def local_models(cards: Iterable[ModelCard], folders: Iterable[str | Path] = ()) -> tuple[LocalModel, ...]:
    """Every variant whose file is here: bundled ones in catalog order, then files of each folder by path.

    Folders are searched to a depth of 8 and to 50,000 entries each; a folder that can't be read counts as
    empty, links are followed but no folder is entered twice. Only the first part of a split model is listed.
    """
    bundled = [model for card in cards if card.bundled for model in _bundled_models(card)]
    seen = {model.path.resolve() for model in bundled}
    found: list[LocalModel] = []
    for folder in folders:
        for path in sorted(_gguf_files(_absolute(str(folder)))):
            if (real := path.resolve()) not in seen and (model := _file_model(path)) is not None:
                seen.add(real)
                found.append(model)
    return (*bundled, *found)


def find_model(spec: str, cards: Sequence[ModelCard], folders: Iterable[str | Path] = ()) -> LocalModel:
    """The model that a person means by `pocket-5m`, `pocket-5m:Q4_K_M` (in any case) or a file's path.

    A bare file name, with or without `.gguf`, is looked up in `folders` too. Nothing is opened.

    Raises:
        UnknownModelError: no such model or file here, or its file is missing.
    """
    spec = spec.strip()
    if not spec:
        raise UnknownModelError(f"no model was named; {_SEE}")
    card = next((card for card in cards if card.id == spec.partition(":")[0].lower()), None)
    if card is not None:
        return _catalog_model(card, spec.partition(":")[2])
    path = _absolute(spec)
    if _holds(path.is_file):
        return _named_file(path, cards)
    local = local_models(cards, folders)
    named = [m for m in local if m.card is None and spec.lower() in (m.path.name.lower(), m.path.stem.lower())]
    if len(named) == 1:
        return named[0]
    if named:
        paths = ", ".join(str(model.path) for model in named)
        raise UnknownModelError(f"{one_line(spec)} could be any of {paths}; give the path of the one you mean")
    if _looks_like_path(spec):
        raise UnknownModelError(_missing_file(path))
    raise UnknownModelError(_unknown(spec, cards, local))


def file_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file in lower-case hexadecimal, computed once for each size and time of change.

    `cache` is the JSON file that remembers it; one that is damaged or can't be written is ignored.

    Raises:
        OSError: the file at `path` can't be read.
    """
    path = path.resolve()
    before = path.stat()
    known = _read_hashes(cache).get(str(path))
    if known is not None and (known.size_bytes, known.mtime_ns) == (before.st_size, before.st_mtime_ns):
        return known.sha256
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
        _remember(cache, str(path), _Hash(after.st_size, after.st_mtime_ns, digest))
    return digest


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
        card=card,
        variant=variant,
    )


def _catalog_model(card: ModelCard, label: str) -> LocalModel:
    labels = {variant.quantization.lower(): variant for variant in card.variants}
    variant = labels.get(label.lower()) if label else card.default_variant
    if variant is None:
        known = ", ".join(f"{card.id}:{known.quantization}" for known in card.variants) or "none"
        raise UnknownModelError(f"{card.id} has no variant {one_line(label) or 'at all'}; it has {known}")
    if not card.bundled:
        raise UnknownModelError(
            f"{card.id}:{variant.quantization} is in the catalog, but its file is not on this machine; "
            f"give the path of a .gguf file, or choose another model: {_SEE}"
        )
    path = pocket_folder() / (variant.file or "")
    if not path.is_file():
        raise UnknownModelError(
            f"the file of the bundled model {card.id}:{variant.quantization} is missing ({path}); "
            f"install slmtui again, or choose another model: {_SEE}"
        )
    return _card_model(card, variant, path)


def _named_file(path: Path, cards: Sequence[ModelCard]) -> LocalModel:
    # A bundled file keeps its card when named by its path: demo models are labelled wherever they appear.
    for card in cards:
        for bundled in _bundled_models(card) if card.bundled else ():
            if bundled.path.samefile(path):
                return bundled
    model = _file_model(path)
    if model is None:
        raise UnknownModelError(
            f"the name of {one_line(str(path))} is not valid UTF-8, so the engine can't be told to open it; "
            "rename the file"
        )
    return model


def _file_model(path: Path) -> LocalModel | None:
    """The model in a file; None when it is gone again or its name can't be written in UTF-8."""
    try:
        str(path).encode()
        size_bytes = _size_bytes(path)
    except (OSError, UnicodeEncodeError):
        return None
    return LocalModel(id=str(path), name=one_line(path.stem), path=path, size_bytes=size_bytes)


def _size_bytes(path: Path) -> int:
    """Size of the file, of all parts together when it is the first of a split model."""
    part = _PART.fullmatch(path.name)
    if part is None:
        return path.stat().st_size
    count = int(part["count"])
    files = (path.with_name(f"{part['stem']}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1))
    return sum(file.stat().st_size for file in files if file.is_file())


def _gguf_files(folder: Path) -> Iterator[Path]:
    """Paths of model files below `folder`, breadth first so that a limit cuts the deepest; a file is itself."""
    if _holds(folder.is_file):
        yield folder
        return
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
        for entry in listing:
            if _holds(entry.is_dir) and depth < _DEPTH_LIMIT:
                waiting.append((current / entry.name, depth + 1))
            elif _is_model_file(entry):
                yield current / entry.name


def _is_model_file(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    part = _PART.fullmatch(name)
    # "mmproj" files hold the eyes of a model, not a language model.
    if not name.endswith(".gguf") or name.startswith("mmproj") or (part and int(part["number"]) != 1):
        return False
    return _holds(entry.is_file)


def _holds(question: Callable[[], bool]) -> bool:
    """The answer of the file system; no when it can't say (name too long, folder closed to us)."""
    try:
        return question()
    except (OSError, ValueError):
        return False


def _absolute(path: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        return Path(path).absolute()


def _looks_like_path(spec: str) -> bool:
    separators = [os.sep, os.altsep] if os.altsep else [os.sep]
    return spec.lower().endswith(".gguf") or any(s in spec for s in separators) or _holds(_absolute(spec).is_dir)


def _missing_file(path: Path) -> str:
    shown = one_line(str(path))
    if _holds(path.is_dir):
        names = [name for name in _names(path) if name.lower().endswith(".gguf")]
        inside = f"name one of its files: {_listed(names)}" if names else f"it holds no .gguf file; {_SEE}"
        return f"{shown} is a folder; {inside}"
    close = difflib.get_close_matches(path.name, _names(path.parent), n=3)
    meant = f"did you mean {_listed(close)}?" if close else f"correct the path, or name a model: {_SEE}"
    return f"there is no file {shown}; {meant}"


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


def _read_hashes(cache: Path) -> dict[str, _Hash]:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, _Hash])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _remember(cache: Path, path: str, entry: _Hash) -> None:
    hashes = _read_hashes(cache)
    hashes.pop(path, None)
    newest = list(hashes.items())[-(_HASHES_LIMIT - 1) :]
    with contextlib.suppress(OSError, UnicodeEncodeError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, msgspec.json.encode({**dict(newest), path: entry}))
