"""Models of many architectures with the sizes of real ones, made without weights: zeros that take no room on disk.

Sizes are those of the named models but for `layers`, which are fewer where only the shape of a layer matters. Words
of the vocabularies are made up, as many and as long as those of real ones.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from slmtui.core.catalog import Variant
from slmtui.core.estimate import Anatomy, anatomy_of
from slmtui.core.estimate_card import anatomy_of_card
from slmtui.core.gguf import TYPES_BY_NAME
from slmtui.sources.catalog import read_catalog
from slmtui.sources.gguf import read_header
from tests.engine.gguf_files import ARRAY, FLOAT32, INT32, STRING, UINT32, Gguf, Tensor

BOOL = 7
_NUMBERS = {"f32": 0, "f16": 1, "q5_0": 6, "q8_0": 8, "q4_K": 12, "q6_K": 14}
_FILE_TYPES = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15}


class Family(NamedTuple):
    """What a family of models needs beside the tensors and figures that all have."""

    figures: dict[str, int | float | bool | list[int]]
    tensors: list[tuple[str, tuple[int, ...]]]
    """Name and shape, `.weight` left out."""
    words: str = "bpe"


class Sizes(NamedTuple):
    """Figures that every family has."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    vocabulary: int
    tied: bool = True


MODELS: dict[str, tuple[str, Sizes]] = {
    "smollm2-135m": ("llama", Sizes(30, 576, 9, 3, 64, 1536, 49_152)),
    "llama-3.2-1b": ("llama", Sizes(4, 2048, 32, 8, 64, 8192, 128_256)),
    "qwen2.5-0.5b": ("qwen2", Sizes(8, 896, 14, 2, 64, 4864, 151_936)),
    "qwen3-0.6b": ("qwen3", Sizes(6, 1024, 16, 8, 128, 3072, 151_936)),
    "gemma-3-270m": ("gemma3", Sizes(18, 640, 4, 1, 256, 2048, 262_144)),
    "phi-3-half": ("phi3", Sizes(6, 1536, 16, 16, 96, 4096, 32_064, tied=False)),
    "granite-4.0-350m": ("granite", Sizes(8, 1024, 16, 4, 64, 2048, 100_352)),
    "lfm2-350m": ("lfm2", Sizes(16, 1024, 16, 8, 64, 4608, 65_536)),
    "pythia-160m": ("gptneox", Sizes(12, 768, 12, 12, 64, 3072, 50_304, tied=False)),
    "gpt2": ("gpt2", Sizes(12, 768, 12, 12, 64, 3072, 50_257)),
    "granite-4.0-h-350m": ("granitehybrid", Sizes(32, 768, 12, 4, 64, 2048, 100_352)),
}
"""Architecture and sizes of what `model` makes; "phi-3-half" is half as wide as Phi-3 mini."""


def as_card(name: str, path: Path, quantization: str) -> Anatomy | None:
    """What the catalog's entry says of the model that `name` was made after, in the file's size, layers and vocabulary.

    None where the catalog has no such entry.
    """
    known = {card.id.removesuffix("-it"): card for card in read_catalog()}
    card, made = known.get(name), anatomy_of([read_header(path)])
    if card is None or card.architecture is None:
        return None
    shape = msgspec.structs.replace(card.architecture, layers=made.layers, vocabulary=made.vocabulary)
    parameters = sum(math.prod(group.tensor.shape) * group.times for group in made.groups)
    said = msgspec.structs.replace(card, architecture=shape, parameters=parameters if card.parameters else None)
    return anatomy_of_card(said, Variant(quantization=quantization, size_bytes=path.stat().st_size))


def model(name: str, quantization: str = "F16", vocabulary: int | None = None) -> Gguf:
    """One of `MODELS`, its matrices F16, Q8_0, or Q4_K with Q6_K where Q4_K_M may have it.

    A smaller `vocabulary` takes less time to make.
    """
    architecture, sizes = MODELS[name]
    sizes = sizes._replace(vocabulary=vocabulary or sizes.vocabulary)
    family = FAMILIES[architecture](sizes)
    made = Gguf(_metadata(architecture, sizes, family)).set("general.file_type", _FILE_TYPES[quantization])
    tensors = [("token_embd", (sizes.hidden, sizes.vocabulary)), *family.tensors]
    if not sizes.tied:
        tensors.append(("output", (sizes.hidden, sizes.vocabulary)))
    for tensor, shape in tensors:
        full = tensor if tensor.endswith((".bias", ".ssm_a", ".ssm_d")) else f"{tensor}.weight"
        kind = _kind(tensor, shape, quantization)
        made.tensors[full] = Tensor(shape, _NUMBERS[kind], bytes(TYPES_BY_NAME[kind].size(math.prod(shape))))
    return made


def _kind(tensor: str, shape: tuple[int, ...], quantization: str) -> str:
    """Vectors and convolutions stay as they are, as llama-quantize leaves them."""
    if len(shape) == 1 or tensor.endswith(("shortconv.conv", "ssm_conv1d", "ssm_a", "ssm_d")) or "norm" in tensor:
        return "f32"
    if quantization == "F16":
        return "f16"
    if quantization == "Q8_0":
        return "q8_0"
    high = any(tensor.endswith(end) for end in ("token_embd", "output", "attn_v", "ffn_down"))
    if shape[0] % 256:  # what llama-quantize takes where a row is not whole blocks
        return "q8_0" if high else "q5_0"
    return "q6_K" if high else "q4_K"


def _metadata(architecture: str, sizes: Sizes, family: Family) -> dict[str, tuple[int, object]]:
    figures = {
        "context_length": 131_072,
        "embedding_length": sizes.hidden,
        "block_count": sizes.layers,
        "feed_forward_length": sizes.inner,
        "attention.head_count": sizes.heads,
        "attention.head_count_kv": sizes.kv_heads,
        "rope.dimension_count": sizes.head,
        "vocab_size": sizes.vocabulary,
        "attention.layer_norm_rms_epsilon": 1e-5,
        **family.figures,
    }
    return {
        "general.architecture": (STRING, architecture),
        "general.name": (STRING, "Made up"),  # llama.cpp looks for certain names
        "general.file_type": (UINT32, 1),
        **{f"{architecture}.{key}": _typed(value) for key, value in figures.items()},
        **(_pairs(sizes.vocabulary) if family.words == "bpe" else _pieces(sizes.vocabulary)),
    }


def _typed(value: float | list[int]) -> tuple[int, object]:
    match value:
        case bool():
            return BOOL, value
        case int():
            return UINT32, value
        case float():
            return FLOAT32, value
        case _:
            return ARRAY, (INT32, value)


def _layers(sizes: Sizes, *parts: Iterable[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """The parts in each layer, and the norm at the end."""
    inside = list(itertools.chain(*parts))
    return [
        ("output_norm", (sizes.hidden,)),
        *((f"blk.{n}.{part}", s) for n in range(sizes.layers) for part, s in inside),
    ]


def _attention(sizes: Sizes, *, norms: bool = False, biases: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
    queries, keys = sizes.heads * sizes.head, sizes.kv_heads * sizes.head
    yield "attn_norm", (sizes.hidden,)
    yield "attn_q", (sizes.hidden, queries)
    yield "attn_k", (sizes.hidden, keys)
    yield "attn_v", (sizes.hidden, keys)
    yield "attn_output", (queries, sizes.hidden)
    if norms:
        yield "attn_q_norm", (sizes.head,)
        yield "attn_k_norm", (sizes.head,)
    if biases:
        yield from ((f"attn_{part}.bias", (width,)) for part, width in (("q", queries), ("k", keys), ("v", keys)))


def _gated(sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "ffn_norm", (sizes.hidden,)
    yield "ffn_gate", (sizes.hidden, sizes.inner)
    yield "ffn_up", (sizes.hidden, sizes.inner)
    yield "ffn_down", (sizes.inner, sizes.hidden)


def _llama(sizes: Sizes) -> Family:
    return Family({}, _layers(sizes, _attention(sizes), _gated(sizes)))


def _qwen2(sizes: Sizes) -> Family:
    return Family({}, _layers(sizes, _attention(sizes, biases=True), _gated(sizes)))


def _qwen3(sizes: Sizes) -> Family:
    figures = {"attention.key_length": sizes.head, "attention.value_length": sizes.head}
    return Family({**figures}, _layers(sizes, _attention(sizes, norms=True), _gated(sizes)))


def _gemma3(sizes: Sizes) -> Family:
    figures = {
        "attention.key_length": sizes.head,
        "attention.value_length": sizes.head,
        "attention.sliding_window": 512,
    }
    after = [("post_attention_norm", (sizes.hidden,)), ("post_ffw_norm", (sizes.hidden,))]
    return Family({**figures}, _layers(sizes, _attention(sizes, norms=True), _gated(sizes), after), "pieces")


def _phi3(sizes: Sizes) -> Family:
    keys = sizes.kv_heads * sizes.head
    layer = [
        ("attn_norm", (sizes.hidden,)),
        ("attn_qkv", (sizes.hidden, sizes.heads * sizes.head + 2 * keys)),
        ("attn_output", (sizes.heads * sizes.head, sizes.hidden)),
        ("ffn_norm", (sizes.hidden,)),
        ("ffn_up", (sizes.hidden, 2 * sizes.inner)),
        ("ffn_down", (sizes.inner, sizes.hidden)),
    ]
    return Family({"attention.sliding_window": 2047}, _layers(sizes, layer), "pieces")


def _granite(sizes: Sizes) -> Family:
    figures = {"logit_scale": 4.0, "residual_scale": 0.246, "embedding_scale": 12.0, "attention.scale": 0.0156}
    return Family({**figures}, _layers(sizes, _attention(sizes), _gated(sizes)))


def _lfm2(sizes: Sizes) -> Family:
    """Six of sixteen layers have attention, the others a short convolution."""
    attending = {2, 5, 8, 10, 12, 14}
    convolution = [
        ("attn_norm", (sizes.hidden,)),
        ("shortconv.conv", (3, sizes.hidden)),
        ("shortconv.in_proj", (sizes.hidden, 3 * sizes.hidden)),
        ("shortconv.out_proj", (sizes.hidden, sizes.hidden)),
    ]
    tensors: list[tuple[str, tuple[int, ...]]] = [("token_embd_norm", (sizes.hidden,))]
    for layer in range(sizes.layers):
        first = _attention(sizes, norms=True) if layer in attending else convolution
        tensors += [(f"blk.{layer}.{part}", shape) for part, shape in itertools.chain(first, _gated(sizes))]
    counts = [sizes.kv_heads if layer in attending else 0 for layer in range(sizes.layers)]
    return Family({"attention.head_count_kv": counts, "shortconv.l_cache": 3}, tensors)


def _with_biases(sizes: Sizes) -> list[tuple[str, tuple[int, ...]]]:
    """A layer whose attention is one matrix, whose feed-forward part has no gate, and whose every part has a bias."""
    keys = sizes.kv_heads * sizes.head
    wide = sizes.heads * sizes.head + 2 * keys
    matrices = [
        ("attn_qkv", (sizes.hidden, wide)),
        ("attn_output", (sizes.heads * sizes.head, sizes.hidden)),
        ("ffn_up", (sizes.hidden, sizes.inner)),
        ("ffn_down", (sizes.inner, sizes.hidden)),
    ]
    norms = [("attn_norm", (sizes.hidden,)), ("ffn_norm", (sizes.hidden,))]
    biases = [(f"{part}.bias", (shape[-1],)) for part, shape in (*matrices, *norms)]
    return [("output_norm.bias", (sizes.hidden,)), *_layers(sizes, norms, matrices, biases)]


def _gptneox(sizes: Sizes) -> Family:
    figures = {"attention.layer_norm_epsilon": 1e-5, "use_parallel_residual": True}
    return Family({**figures}, _with_biases(sizes))


def _gpt2(sizes: Sizes) -> Family:
    tensors = [("position_embd", (sizes.hidden, 1024)), *_with_biases(sizes)]
    return Family({"attention.layer_norm_epsilon": 1e-5, "context_length": 1024}, tensors)


def _granitehybrid(sizes: Sizes) -> Family:
    """Four of 32 layers have attention, the others a Mamba-2 state."""
    attending = {10, 13, 17, 27}
    state, groups, kernel = 128, 1, 4
    inner, heads = 2 * sizes.hidden, 2 * sizes.hidden // 32
    mamba = [
        ("attn_norm", (sizes.hidden,)),
        ("ssm_in", (sizes.hidden, 2 * inner + 2 * groups * state + heads)),
        ("ssm_conv1d", (kernel, inner + 2 * groups * state)),
        ("ssm_conv1d.bias", (inner + 2 * groups * state,)),
        ("ssm_dt.bias", (heads,)),
        ("ssm_a", (1, heads)),
        ("ssm_d", (1, heads)),
        ("ssm_norm", (inner // groups, groups)),
        ("ssm_out", (inner, sizes.hidden)),
    ]
    tensors: list[tuple[str, tuple[int, ...]]] = [("output_norm", (sizes.hidden,))]
    for layer in range(sizes.layers):
        first = _attention(sizes) if layer in attending else mamba
        tensors += [(f"blk.{layer}.{part}", shape) for part, shape in itertools.chain(first, _gated(sizes))]
    figures: dict[str, float | list[int]] = {
        "attention.head_count_kv": [sizes.kv_heads if layer in attending else 0 for layer in range(sizes.layers)],
        "logit_scale": 3.0,
        "ssm.conv_kernel": kernel,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": heads,
        "ssm.group_count": groups,
    }
    return Family({**figures}, tensors)


FAMILIES: dict[str, Callable[[Sizes], Family]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma3": _gemma3,
    "phi3": _phi3,
    "granite": _granite,
    "lfm2": _lfm2,
    "gptneox": _gptneox,
    "gpt2": _gpt2,
    "granitehybrid": _granitehybrid,
}


@cache
def _pairs(size: int) -> dict[str, tuple[int, object]]:
    """A byte-pair vocabulary: bytes, and words that each join two earlier ones."""
    draw = random.Random(size)
    tokens = [_letter(byte) for byte in range(256)]
    usual = [_letter(ord(letter)) for letter in " etaoinshrdlu"] * 20 + tokens
    known, merges = set(tokens), list[str]()
    while len(tokens) < size - 3:
        left = tokens[draw.randrange(len(tokens))] if draw.random() < 0.8 else draw.choice(usual)
        right = draw.choice(usual)
        if len(left + right) <= 12 and left + right not in known:
            tokens.append(left + right)
            known.add(left + right)
            merges.append(f"{left} {right}")
    tokens += ["<|begin|>", "<|end|>", "<|turn|>"]
    return {
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "gpt-2"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (INT32, [1] * (size - 3) + [3] * 3)),
        "tokenizer.ggml.merges": (ARRAY, (STRING, merges)),
        "tokenizer.ggml.bos_token_id": (UINT32, size - 3),
        "tokenizer.ggml.eos_token_id": (UINT32, size - 2),
    }


def _letter(byte: int) -> str:
    """GPT-2's letter for a byte: itself where it can be seen, else one from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in seen:
        return chr(byte)
    return chr(256 + sorted(set(range(256)) - set(seen)).index(byte))


@cache
def _pieces(size: int) -> dict[str, tuple[int, object]]:
    """A SentencePiece vocabulary: three marks, bytes, and words with scores."""
    words = [f"▁word{number}" for number in range(size - 259)]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(words)  # unknown, control, byte, normal
    return {
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (
            ARRAY,
            (STRING, ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]),
        ),
        "tokenizer.ggml.scores": (ARRAY, (FLOAT32, [-float(number) for number in range(size)])),
        "tokenizer.ggml.token_type": (ARRAY, (INT32, kinds)),
        "tokenizer.ggml.unknown_token_id": (UINT32, 0),
        "tokenizer.ggml.bos_token_id": (UINT32, 1),
        "tokenizer.ggml.eos_token_id": (UINT32, 2),
    }
