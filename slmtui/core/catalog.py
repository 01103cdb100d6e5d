"""Model cards and their variants: what is known about a model before it is opened, and where each fact comes from.

A *model* is a card; a *variant* is one quantization of it in one format. `pocket-5m` names the model,
`pocket-5m:Q8_0` the variant. `core.catalog_file` reads cards from `model_catalog.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

Format: TypeAlias = Literal["GGUF", "MLX"]
Source: TypeAlias = Literal["survey", "hub", "config", "file header", "catalogs", "publisher", "computed"]
"""Where a fact was read: the survey's table of models, Hugging Face, the model's config.json, a GGUF header, other
programs' catalogs, the publisher's card, paper or announcement; or that it was computed from other facts."""

Place: TypeAlias = Literal["bundled", "hub cache", "file", "llama.cpp", "LM Studio", "Ollama"]
"""Where a model lies: with slmtui, in Hugging Face's cache, where the person named a file or folder, or in the store of
another program, which alone may change it."""


class CatalogError(ValueError):
    """An entry of the catalog is wrong; the message names the entry and the key."""


class Repository(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A repository on the hub that holds a model in one format."""

    format: Format = "GGUF"
    id: str
    """`owner/name`."""
    quantizations: tuple[str, ...] = ()
    """What to take from it, preferred first; empty when that is not known."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One quantization of a model in one format.

    Unless the model is bundled, `file`, `size_bytes`, `about_bytes` and `sha256` are hints: the hub has the last word.
    """

    quantization: str
    """Label as llama.cpp prints it (Q4_K_M, Q8_0, F16, …); for MLX 4bit, 8bit, bf16, …"""
    format: Format = "GGUF"
    repository: str | None = None
    """`owner/name` on the hub; None for a bundled variant."""
    file: str | None = None
    """File name in the repository; for a bundled model the file in the package; None where all files are needed."""
    size_bytes: int | None = None
    """Exact."""
    about_bytes: int | None = None
    """Rounded, as a page printed it; used where the exact size is not known."""
    sha256: str | None = None

    @property
    def hint_bytes(self) -> int | None:
        """Size of the download before the hub was asked: exact where known, else rounded."""
        return self.size_bytes if self.size_bytes is not None else self.about_bytes


class Architecture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shape of a model; what is not known is None."""

    name: str | None = None
    """Architecture as the GGUF header names it: llama, qwen3, gemma3, …"""
    attention: Literal["MHA", "GQA", "MQA", "MLA", "hybrid"] | None = None
    """Hybrid models mix attention with recurrent or convolutional layers."""
    attention_detail: str | None = None
    """What the kind alone does not say, in a few words."""
    layers: int | None = None
    attention_layers: int | None = None
    """Layers of a hybrid that keep a KV cache; all where attention runs beside the other kind."""
    hidden_size: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_size: int | None = None
    latent_size: int | None = None
    """Values that multi-head latent attention (MLA) keeps for each token and layer, instead of keys and values."""
    window: int | None = None
    """Tokens that sliding-window layers look back."""
    window_layers_frac: float | None = None
    """Share of the layers that have the sliding window."""
    ffn: Literal["gated", "standard", "MoE"] | None = None
    ffn_size: int | None = None
    activation: str | None = None
    norm: str | None = None
    vocabulary: int | None = None
    context: int | None = None
    """Tokens that it was trained for."""
    tied_embeddings: bool | None = None
    active_parameters: int | None = None
    """Parameters that each token passes, for a mixture of experts."""


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model, or the base model that it was tuned from, was trained."""

    tokens: int | None = None
    data: str | None = None
    algorithm: str | None = None


class Sources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the facts of a card come from; None where nothing but the catalog says so."""

    released: Source | None = None
    parameters: Source | None = None
    licence: Source | None = None
    gated: Source | None = None
    thinking: Source | None = None
    architecture: Source | None = None
    """Of every fact in it."""
    training: Source | None = None
    """Of every fact in it."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known about a model before it is opened."""

    id: str
    name: str
    family: str
    developer: str
    released: str | None = None
    """Date as YYYY, YYYY-MM or YYYY-MM-DD."""
    parameters: int | None = None
    licence: str | None = None
    gated: bool | None = None
    """Whether the developer's own repository asks for consent first."""
    thinking: bool | None = None
    """Whether it can write down its reasoning before it answers."""
    description: str = ""
    demo: bool = False
    """A model that shows how the program works and is good for nothing else."""
    bundled: bool = False
    """Whether its files come with the program."""
    base: str | None = None
    """The developer's own repository on the hub, which need not hold files that an engine can open."""
    architecture: Architecture | None = None
    training: Training | None = None
    sources: Sources = Sources()
    inferred: tuple[str, ...] = ()
    """Facts that other models of the family have, and that were not read for this one."""
    repositories: tuple[Repository, ...] = ()
    """Where on the hub it can be had, preferred first within each format."""
    default: str | None = None
    """Quantization that `id` alone means; None means the first variant."""
    variants: tuple[Variant, ...] = ()
    """Empty when no engine can open any file of it."""

    @property
    def default_variant(self) -> Variant | None:
        """The variant that the bare id means; None when the model has no file."""
        named = (variant for variant in self.variants if variant.quantization == self.default)
        return next(named, self.variants[0] if self.variants else None)

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats in which it can be had, that of the first variant first."""
        return tuple(dict.fromkeys(variant.format for variant in self.variants))

    def source_of(self, fact: str) -> Source | Literal["family", "catalog"]:
        """Where a fact of the card, its architecture or its training comes from.

        "family": other models of the family have it; "catalog": nothing but the catalog says so.
        """
        if fact in self.inferred:
            return "family"
        whole = next((part for part, facts in _PARTS.items() if fact in facts), fact)
        source: Source | None = getattr(self.sources, whole, None)
        return source or "catalog"


def preferring(cards: Iterable[ModelCard], form: Format) -> tuple[ModelCard, ...]:
    """The cards, with a default in this format where they have it: as many bits wide as the usual one, or the first."""
    return tuple(_preferring(card, form) for card in cards)


def _preferring(card: ModelCard, form: Format) -> ModelCard:
    usual = card.default_variant
    choices = [variant for variant in card.variants if variant.format == form]
    if usual is None or usual.format == form or not choices:
        return card
    alike = (variant for variant in choices if _bits(variant) == _bits(usual))
    return msgspec.structs.replace(card, default=next(alike, choices[0]).quantization)


def _bits(variant: Variant) -> int | None:
    """Bits of a weight as the label says: Q4_K_M, 4bit, BF16."""
    digits = re.search(r"\d+", variant.quantization)
    return int(digits[0]) if digits else None


_PARTS = {
    "architecture": frozenset(Architecture.__struct_fields__),
    "training": frozenset(Training.__struct_fields__),
}


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A variant whose file is on this machine: what every later step is given."""

    id: str
    """`model:QUANTIZATION` for a catalog entry, `owner/name:QUANTIZATION` for other files of the hub, `ollama/name:tag`
    for Ollama's, the file's path for any other file."""
    name: str
    """Name with variant, short enough for a column head."""
    path: Path
    """Of the file, or of the first of its parts; of the folder for MLX."""
    size_bytes: int
    """Of all files together."""
    format: Format = "GGUF"
    place: Place = "file"
    repository: str | None = None
    """On the hub, where it is known to come from one."""
    card: ModelCard | None = None
    variant: Variant | None = None

    @property
    def demo(self) -> bool:
        """Whether to label this model as a demo."""
        return self.card is not None and self.card.demo
