"""How `model_catalog.toml` is read: the program's own, and the person's, which adds to it and corrects it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from slmtui.core.catalog import Architecture, CatalogError, ModelCard, Training, Variant

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FACTS = frozenset((*ModelCard.__struct_fields__, *Architecture.__struct_fields__, *Training.__struct_fields__)) - {
    "sources",
    "inferred",
}


def parse_catalog(document: Mapping[str, Any], source: str) -> tuple[ModelCard, ...]:
    """Read the parsed TOML of a catalog: an array of tables named `model`.

    Raises:
        CatalogError: names `source`, the entry and the key that is wrong.
    """
    return tuple(_parse(document, source, {}).values())


def extended(cards: Iterable[ModelCard], document: Mapping[str, Any], source: str) -> tuple[ModelCard, ...]:
    """These cards with the entries of another catalog: a known id changes that card's keys, a new one comes last.

    Raises:
        CatalogError: names `source`, the entry and the key that is wrong.
    """
    known = {card.id: card for card in cards}
    return tuple((known | _parse(document, source, known)).values())


def _parse(document: Mapping[str, Any], source: str, known: Mapping[str, ModelCard]) -> dict[str, ModelCard]:
    entries = document.get("model", [])
    if not isinstance(entries, list):
        raise CatalogError(f"{source}: `model` must be an array of tables, written [[model]]")
    if unknown := sorted(document.keys() - {"model"}):
        raise CatalogError(f"{source}: unknown key `{unknown[0]}`; models are written [[model]]")
    cards: dict[str, ModelCard] = {}
    for number, entry in enumerate(entries, start=1):
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"{source}: model {number} ({name})" if isinstance(name, str) else f"{source}: model {number}"
        before = known.get(name) if isinstance(name, str) else None
        card = _card({**_written(before), **entry} if before else entry, where)
        if card.id in cards:
            raise CatalogError(f"{where}: id {card.id!r} is used twice")
        cards[card.id] = card
    return cards


def _written(card: ModelCard) -> dict[str, Any]:
    """The card as an entry would write it."""
    entry: dict[str, Any] = msgspec.to_builtins(card)
    return {key: value for key, value in entry.items() if value is not None}


def _card(entry: object, where: str) -> ModelCard:
    try:
        card = msgspec.convert(entry, ModelCard)
    except msgspec.ValidationError as error:
        raise CatalogError(f"{where}: {error}") from None
    if complaint := _complaint(card):
        raise CatalogError(f"{where}: {complaint}")
    variants = tuple(_located(card, variant, f"{where}: variants[{n}]") for n, variant in enumerate(card.variants))
    return msgspec.structs.replace(card, variants=variants)


def _complaint(card: ModelCard) -> str | None:
    """What is wrong with a card whose keys and types are right."""
    labels = [variant.quantization for variant in card.variants]
    if not _ID.fullmatch(card.id):
        return f"id must be lower-case letters, digits, '.', '_' and '-', not {card.id!r}"
    if card.released is not None and not _DATE.fullmatch(card.released):
        return f"released must be YYYY, YYYY-MM or YYYY-MM-DD, not {card.released!r}"
    if card.default is not None and card.default not in labels:
        return f"default {card.default!r} is none of its variants ({', '.join(labels)})"
    for number, repository in enumerate(card.repositories):
        if not _REPOSITORY.fullmatch(repository.id):
            return f"repositories[{number}].id must be owner/name, not {repository.id!r}"
    if len({label.lower() for label in labels}) != len(labels):
        return "two variants have the same quantization"
    return next((f"inferred names no fact: {name!r}" for name in card.inferred if name not in _FACTS), None)


def _located(card: ModelCard, variant: Variant, where: str) -> Variant:
    """The variant with its repository: its own, or the first one of its format."""
    if variant.sha256 is not None and not _SHA256.fullmatch(variant.sha256):
        raise CatalogError(f"{where}.sha256 must be 64 lower-case hexadecimal digits, not {variant.sha256!r}")
    if variant.file is not None and not _is_inside(variant.file):
        raise CatalogError(f"{where}.file must be a path inside the repository, not {variant.file!r}")
    if card.bundled:
        if variant.file is None:
            raise CatalogError(f"{where}: a bundled variant needs its `file`")
        return variant
    first = next((known.id for known in card.repositories if known.format == variant.format), None)
    repository = variant.repository or first
    if repository is None:
        raise CatalogError(f"{where}: needs a `repository`, or `repositories` with one for {variant.format}")
    if not _REPOSITORY.fullmatch(repository):
        raise CatalogError(f"{where}.repository must be owner/name, not {repository!r}")
    return msgspec.structs.replace(variant, repository=repository)


def _is_inside(file: str) -> bool:
    """Whether a name from a catalog stays in the folder that it is put into."""
    path = PurePosixPath(file)
    plain = file.isprintable() and "\\" not in file and ":" not in file
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts
