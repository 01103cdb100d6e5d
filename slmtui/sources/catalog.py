"""The models that slmtui knows: the catalog that comes with it, with what the person adds in their config folder."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from slmtui import __version__
from slmtui.core.catalog import Architecture, CatalogError, ModelCard, Repository, Sources, Training, Variant
from slmtui.core.catalog_file import extended, parse_catalog
from slmtui.sources.atomic import write_atomically
from slmtui.sources.locks import changing
from slmtui.sources.resources import catalog_file
from slmtui.sources.textfile import TextFileError, decoded, read_bytes

_LARGEST_BYTES = 20_000_000
"""A hundred times what comes with the program."""
_SHAPES = [kind.__struct_fields__ for kind in (ModelCard, Architecture, Training, Sources, Repository, Variant)]


class _Kept(msgspec.Struct, frozen=True):
    """A catalog as it was parsed, and the stamp of the file that it was parsed from."""

    stamp: str
    cards: tuple[ModelCard, ...]


def shipped_catalog(cache: Path) -> tuple[ModelCard, ...]:
    """The models in the catalog that comes with the program, in its order.

    Parsing its TOML takes 60 ms, more than a first frame can spare; `cache` is the file that keeps what came of it
    (2 ms). One that is damaged, of another version or can't be written is done without.

    Raises:
        CatalogError, ResourceError: the catalog is damaged or missing.
    """
    path = catalog_file()
    status = path.stat()
    stamp = f"{__version__} {path} {status.st_size} {status.st_mtime_ns} {_SHAPES}"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.msgpack.decode(cache.read_bytes(), type=_Kept)
        if kept.stamp == stamp:
            return kept.cards
    cards = read_catalog(path)
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, msgspec.msgpack.encode(_Kept(stamp, cards)))
    return cards


def read_catalog(path: Path | None = None) -> tuple[ModelCard, ...]:
    """The models in a `model_catalog.toml`, in its order; None reads the one that comes with the program.

    Raises:
        CatalogError: the file can't be read or an entry is wrong; the message names the file.
        ResourceError: the program's own catalog is missing.
    """
    shipped = path is None
    path = path or catalog_file()
    return parse_catalog(_document(path, "install slmtui again" if shipped else "correct that place"), str(path))


def with_own(cards: tuple[ModelCard, ...], path: Path) -> tuple[ModelCard, ...]:
    """These cards with the person's own catalog, which adds models and corrects known ones; it need not exist.

    Raises:
        CatalogError: the file can't be read or an entry is wrong; the message names the file.
    """
    if not path.exists():
        return cards
    return extended(cards, _document(path, "correct that place"), str(path))


def add_own(cards: tuple[ModelCard, ...], path: Path, entry: Mapping[str, Any]) -> tuple[ModelCard, ...]:
    """Write a new entry at the end of the person's own catalog, whose text stays as it is, and return all cards.

    Raises:
        CatalogError: the file can't be read or written, or would be wrong with the entry.
    """
    try:
        with changing(path):
            return _added(cards, path, entry)
    except ValueError as error:
        raise CatalogError(f"{path} can't be added to: {error}") from error
    except OSError as error:
        raise CatalogError(f"can't write {path}: {error.strerror or 'another process holds it'}") from error


def _added(cards: tuple[ModelCard, ...], path: Path, entry: Mapping[str, Any]) -> tuple[ModelCard, ...]:
    import tomli_w

    text = path.read_text("utf-8") if path.exists() else ""
    text += ("\n" if text else "") + tomli_w.dumps({"model": [entry]})
    found = extended(cards, tomllib.loads(text), str(path))
    write_atomically(path, text)
    return found


def _document(path: Path, advice: str) -> dict[str, Any]:
    try:
        return tomllib.loads(decoded(read_bytes(path, _LARGEST_BYTES)))
    except TextFileError as error:
        raise CatalogError(f"can't read {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{path} is not TOML: {error}; {advice}") from error
