"""The models that slmtui knows: the catalog that comes with it, with what the person adds in their config folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from slmtui.core.catalog import CatalogError, ModelCard
from slmtui.core.catalog_file import extended, parse_catalog
from slmtui.sources.resources import catalog_file


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


def _document(path: Path, advice: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CatalogError(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CatalogError(f"{path} is not TOML: {error}; {advice}") from error
