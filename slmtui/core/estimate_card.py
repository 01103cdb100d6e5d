"""What an estimate must know of a model that is not here: from its catalog card, or from the facts of a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from slmtui.core.catalog import Architecture, ModelCard, Variant
from slmtui.core.estimate import Anatomy, Cache, Group, Source, ffn_width
from slmtui.core.events import ModelFacts
from slmtui.core.gguf import TYPES_BY_NAME, TensorType
from slmtui.core.work import Tensor

_PIECES = frozenset(("llama", "gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "phi3", "minicpm", "bitnet"))
"""Architectures whose vocabularies have scores; of llama's, those over 100,000 tokens and SmolLM's have merges."""
_GATELESS = frozenset(("gptneox", "gpt2", "bloom", "phi2", "nemotron", "nemotron_h"))


HEADER_TOKEN_BYTES = {True: 38, False: 25}
"""Of a file for each token of its vocabulary, with merges and without: what Q8_0 files of Qwen3 (39), SmolLM2 (36) and
Gemma (25) have beyond their weights."""


class Mix(NamedTuple):
    """Types that a quantization has for most matrices, and for the output matrix."""

    most: str
    output: str


_MIXES = {
    "F32": Mix("f32", "f32"),
    "F16": Mix("f16", "f16"),
    "BF16": Mix("bf16", "bf16"),
    "Q8_0": Mix("q8_0", "q8_0"),
    "MXFP4": Mix("mxfp4", "q8_0"),
    "TQ1_0": Mix("tq1_0", "q6_K"),
    "TQ2_0": Mix("tq2_0", "q6_K"),
    "I2_S": Mix("tq2_0", "f16"),
    "IQ2_M": Mix("iq2_s", "q6_K"),
    "IQ3_M": Mix("iq3_s", "q6_K"),
    "IQ3_XS": Mix("iq3_s", "q6_K"),
}


def mix_of(quantization: str) -> Mix | None:
    """The types of a quantization by its label; None for one that is not llama.cpp's.

    `Q4_K_M` has q4_K and here and there a larger type; the output matrix is q6_K in all of the small ones
    (llama-quant.cpp).
    """
    label = quantization.upper().removeprefix("UD-")
    if label in _MIXES:
        return _MIXES[label]
    for kind in sorted(TYPES_BY_NAME, key=len, reverse=True):
        if label == kind.upper() or label.startswith(f"{kind.upper()}_"):
            return Mix(kind, "q6_K")
    return None


def anatomy_of_card(card: ModelCard, variant: Variant) -> Anatomy | None:
    """From the catalog's facts and the variant's label and size; None where too little is known."""
    shape = card.architecture
    if variant.format != "GGUF" or shape is None:
        return None
    words = HEADER_TOKEN_BYTES[_merges(shape)] * (shape.vocabulary or 0)
    weights_bytes = variant.hint_bytes - words if variant.hint_bytes is not None else None
    return _anatomy("catalog", shape, variant.quantization, weights_bytes, card.parameters)


def anatomy_of_facts(facts: ModelFacts) -> Anatomy | None:
    """From what a worker said of a model that was measured; None where too little is known.

    That is so where layers look at windows, whose size facts do not have (`attention_flops` is missing), and where
    each layer has a number of KV heads of its own and the first has none.
    """
    if facts.kv_heads is None or (facts.attention_flops is None and facts.prefill_flops is not None):
        return None
    attending = _layers_with_attention(facts)
    shape = Architecture(
        name=facts.architecture,
        attention="hybrid" if attending is not None and attending != facts.layers else None,
        layers=facts.layers,
        attention_layers=attending,
        hidden_size=facts.hidden_size,
        heads=facts.heads,
        kv_heads=facts.kv_heads,
        head_size=facts.head_size,
        vocabulary=facts.vocabulary,
        context=facts.trained_context,
        tied_embeddings=_reads_embedding(facts),
    )
    return _anatomy("measurement", shape, facts.quantization or "", facts.weights_bytes, facts.parameters)


def _layers_with_attention(facts: ModelFacts) -> int | None:
    """Told from attention's operations; None where they are not those of whole layers with as many values as keys."""
    layer = 4 * (facts.heads or 0) * (facts.head_size or 0)
    if not layer or facts.attention_flops is None or facts.attention_flops % layer:
        return None
    return facts.attention_flops // layer


def _reads_embedding(facts: ModelFacts) -> bool | None:
    """Whether a decode step leaves out less than half of an embedding, so that this is the output matrix too."""
    if facts.decode_read_bytes is None or facts.weights_bytes is None or not facts.parameters:
        return None
    embedding = facts.weights_bytes * (facts.vocabulary or 0) * (facts.hidden_size or 0) / facts.parameters
    return facts.weights_bytes - facts.decode_read_bytes < embedding / 2


def _anatomy(
    source: Source, shape: Architecture, quantization: str, weights_bytes: int | None, parameters: int | None
) -> Anatomy | None:
    mix = mix_of(quantization)
    layers, hidden, vocabulary = shape.layers, shape.hidden_size, shape.vocabulary
    if mix is None or not layers or not hidden or not vocabulary:
        return None
    inner = _inner(shape, parameters)
    caches = _caches(shape)
    gated = _gated(shape)
    named = _groups(shape, mix, inner, parameters)
    groups = _scaled([*named, *_others(shape, mix, named, parameters, weights_bytes)], weights_bytes)
    output = tuple(group.tensor for group in groups if group.tensor.name == "output.weight")
    return Anatomy(
        source=source,
        architecture=shape.name or "",
        layers=layers,
        hidden=hidden,
        vocabulary=vocabulary,
        merges=_merges(shape),
        trained_context=shape.context,
        groups=groups,
        ends=(output, ()),  # converters put it first or last
        caches=caches or (),
        width=ffn_width(hidden, inner, gated=gated),
        doubts=tuple(_doubts(shape)),
    )


def _doubts(shape: Architecture) -> Iterator[str]:
    """What had to be guessed, in sentences."""
    if shape.ffn_size is None:
        yield "The size of the feed-forward part is not known; it was told from the number of parameters."
    if shape.latent_size is None and _heads(shape) is None:
        yield "The KV cache is not known, because the catalog does not say how many heads there are."
    if shape.attention == "hybrid":
        yield "The state of its layers without attention is not known, and not counted."
        if shape.attention_layers is None:
            yield "How many of its layers keep a KV cache is not known; all are counted."
    if shape.window_layers_frac and shape.window is None:
        yield "How far its sliding windows look back is not known; they are counted as if they saw the whole context."


def _merges(shape: Architecture) -> bool:
    vocabulary = shape.vocabulary or 0
    return shape.name not in _PIECES or (shape.name == "llama" and vocabulary > 100_000) or vocabulary == 49_152


def _gated(shape: Architecture) -> bool:
    return shape.ffn != "standard" if shape.ffn is not None else shape.name not in _GATELESS


def _heads(shape: Architecture) -> tuple[int, int] | None:
    """Numbers of all queries and of all keys of a token; None where it is not known."""
    hidden, heads = shape.hidden_size or 0, shape.heads
    size = shape.head_size or (hidden // heads if heads else None)
    if not heads or not size:
        return None
    return heads * size, (shape.kv_heads or heads) * size


def _attending(shape: Architecture) -> int:
    """Layers with attention: all, unless the shape says."""
    return shape.attention_layers if shape.attention_layers is not None else shape.layers or 0


def _caches(shape: Architecture) -> tuple[Cache, ...] | None:
    layers = _attending(shape)
    if shape.latent_size is not None:
        return (Cache(layers, shape.latent_size, 0, None),)
    heads = _heads(shape)
    if heads is None:
        return None
    windowed = round(layers * (shape.window_layers_frac or 0.0)) if shape.window else 0
    found = (Cache(layers - windowed, heads[1], heads[1], None), Cache(windowed, heads[1], heads[1], shape.window))
    return tuple(cache for cache in found if cache.layers)


def _inner(shape: Architecture, parameters: int | None) -> int:
    """Size of the feed-forward part's inner vectors: as said, from the parameters, or four times the hidden."""
    hidden, layers = shape.hidden_size or 0, shape.layers or 1
    if shape.ffn_size is not None:
        return shape.ffn_size
    if parameters is None:
        return 4 * hidden
    queries, keys = _heads(shape) or (hidden, hidden)
    tables = 2 if shape.tied_embeddings is False else 1
    rest = parameters - tables * (shape.vocabulary or 0) * hidden - _attending(shape) * 2 * hidden * (queries + keys)
    found = rest / (layers * hidden * (3 if _gated(shape) else 2))
    return max(hidden, round(found / 64) * 64)  # vectors are in the rest too, and no model's size is odd


def _groups(shape: Architecture, mix: Mix, inner: int, parameters: int | None) -> list[Group]:
    """The matrices that every model of such a shape has."""
    hidden, layers = shape.hidden_size or 0, shape.layers or 0
    vocabulary = shape.vocabulary or 0
    attending = _attending(shape)
    queries, keys = _heads(shape) or (hidden, hidden)
    tied = shape.tied_embeddings if shape.tied_embeddings is not None else _tied(shape, inner, parameters)
    groups = [
        Group(_tensor("token_embd", mix.output if tied else mix.most, hidden, vocabulary), 1),
        *([] if tied else [Group(_tensor("output", mix.output, hidden, vocabulary), 1)]),
        Group(_tensor("blk.0.attn_q", mix.most, hidden, queries), attending),
        Group(_tensor("blk.0.attn_k", mix.most, hidden, keys), attending),
        Group(_tensor("blk.0.attn_v", mix.most, hidden, keys), attending),
        Group(_tensor("blk.0.attn_output", mix.most, queries, hidden), attending),
        *([Group(_tensor("blk.0.ffn_gate", mix.most, hidden, inner), layers)] if _gated(shape) else []),
        Group(_tensor("blk.0.ffn_up", mix.most, hidden, inner), layers),
        Group(_tensor("blk.0.ffn_down", mix.most, inner, hidden), layers),
    ]
    return [group for group in groups if group.times]


def _others(
    shape: Architecture, mix: Mix, named: list[Group], parameters: int | None, weights_bytes: int | None
) -> list[Group]:
    """One more matrix a layer for what the parameters say beyond the named ones, as layers of other kinds have.

    Where nobody says how many parameters a hybrid has, the weights' size does.
    """
    hidden, layers = shape.hidden_size or 1, shape.layers or 1
    beyond = (parameters or 0) - sum(prod(group.tensor.shape) * group.times for group in named)
    if parameters is None and weights_bytes is not None and shape.attention == "hybrid":
        kind = _storable(TYPES_BY_NAME[mix.most], hidden)
        beyond = (weights_bytes - sum(group.bytes for group in named)) // kind.bytes * kind.block
    rows = beyond // hidden // layers // 32 * 32
    return [Group(_tensor("blk.0.other", mix.most, hidden, rows), layers)] if rows > 0 else []


def _tied(shape: Architecture, inner: int, parameters: int | None) -> bool:
    """Whether the parameters leave no room for an output matrix of its own; yes where they are not known."""
    if parameters is None:
        return True
    hidden, layers = shape.hidden_size or 0, shape.layers or 0
    queries, keys = _heads(shape) or (hidden, hidden)
    inside = _attending(shape) * 2 * hidden * (queries + keys) + layers * (3 if _gated(shape) else 2) * hidden * inner
    return parameters - inside < 1.5 * (shape.vocabulary or 0) * hidden


def _tensor(name: str, kind: str, width: int, rows: int) -> Tensor:
    stored = _storable(TYPES_BY_NAME[kind], width)
    return Tensor(f"{name}.weight", stored.name, (width, rows, 1, 1), stored.size(width * rows))


def _storable(kind: TensorType, width: int) -> TensorType:
    """The type, or what llama-quantize takes where a row is not whole blocks of it (`tensor_type_fallback`)."""
    if width % kind.block == 0:
        return kind
    smaller = {"q4_K": "q5_0", "q5_K": "q5_1", "q6_K": "q8_0", "q2_K": "q4_0", "q3_K": "q4_0"}.get(kind.name, "q8_0")
    fallback = TYPES_BY_NAME[smaller]
    return fallback if width % fallback.block == 0 else TYPES_BY_NAME["f16"]


def _scaled(groups: list[Group], weights_bytes: int | None) -> tuple[Group, ...]:
    """As large together as the file's weights, where their size is known."""
    total = sum(group.bytes for group in groups)
    if weights_bytes is None or weights_bytes <= 0 or not total:
        return tuple(groups)
    factor = weights_bytes / total
    return tuple(
        group._replace(tensor=group.tensor._replace(bytes=round(group.tensor.bytes * factor))) for group in groups
    )
