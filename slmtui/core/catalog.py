"""Model cards and their variants, and how `model_catalog.toml` is read.

A *model* is a card; a *variant* is one quantization of it in one format. `pocket-5m` names the model,
`pocket-5m:Q8_0` the variant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


class CatalogError(ValueError):
    """An entry of the catalog is wrong; the message names the entry and the key."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One quantization of a model in one format."""

    quantization: str
    """Label as llama.cpp prints it: Q4_K_M, Q8_0, F16, …"""
    format: Literal["GGUF", "MLX"] = "GGUF"
    file: str
    """File name; for a bundled model the file in the package."""
    size_bytes: int | None = None
    sha256: str | None = None


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known about a model before it is opened."""

    id: str
    name: str
    family: str
    developer: str
    released: str | None = None
    """Date as YYYY-MM or YYYY-MM-DD."""
    parameters: int | None = None
    licence: str | None = None
    description: str = ""
    demo: bool = False
    """A model that shows how the program works and is good for nothing else."""
    bundled: bool = False
    """Whether its files come with the program."""
    default: str | None = None
    """Quantization that `id` alone means; None means the first variant."""
    variants: tuple[Variant, ...] = ()

    @property
    def default_variant(self) -> Variant | None:
        """The variant that the bare id means; None when the model has no file."""
        named = (variant for variant in self.variants if variant.quantization == self.default)
        return next(named, self.variants[0] if self.variants else None)


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A variant whose file is on this machine: what every later step is given."""

    id: str
    """`model:QUANTIZATION` for a catalog entry, the file's path for any other file."""
    name: str
    """Name with variant, short enough for a column head."""
    path: Path
    size_bytes: int
    card: ModelCard | None = None
    variant: Variant | None = None

    @property
    def demo(self) -> bool:
        """Whether to label this model as a demo."""
        return self.card is not None and self.card.demo


def parse_catalog(document: Mapping[str, Any], source: str) -> tuple[ModelCard, ...]:
    """Read the parsed TOML of a catalog: an array of tables named `model`.

    Raises:
        CatalogError: names `source`, the entry and the key that is wrong.
    """
    entries = document.get("model", [])
    if not isinstance(entries, list):
        raise CatalogError(f"{source}: `model` must be an array of tables, written [[model]]")
    cards: list[ModelCard] = []
    seen: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        card = _parse_entry(entry, f"{source}: model {number}")
        if card.id in seen:
            raise CatalogError(f"{source}: model {number}: id {card.id!r} is used twice")
        seen.add(card.id)
        cards.append(card)
    return tuple(cards)


def _parse_entry(entry: object, where: str) -> ModelCard:
    if isinstance(entry, dict) and isinstance(entry.get("id"), str):
        where = f"{where} ({entry['id']})"
    try:
        card = msgspec.convert(entry, ModelCard)
    except msgspec.ValidationError as error:
        raise CatalogError(f"{where}: {error}") from None
    if not _ID.fullmatch(card.id):
        raise CatalogError(f"{where}: id must be lower-case letters, digits, '.', '_' and '-', not {card.id!r}")
    labels = [variant.quantization for variant in card.variants]
    if len(set(labels)) != len(labels):
        raise CatalogError(f"{where}: two variants have the same quantization")
    if card.default is not None and card.default not in labels:
        raise CatalogError(f"{where}: default {card.default!r} is none of its variants ({', '.join(labels)})")
    return card
