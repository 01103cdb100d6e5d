"""What an estimate must know of a model, and how it is had from the file's header.

`estimate_card` has the same from a catalog's card, `estimate_memory` and `estimate_speed` make figures of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from slmtui.core.gguf import GgufHeader
from slmtui.core.work import Tensor, layer_of

Source = Literal["file header", "catalog", "measurement"]
_LAYER = re.compile(r"blk\.\d+\.")
WINDOW_EVERY = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "exaone4": 4,
    "cohere2": 4,
    "olmo2": 4,
    "smallthinker": 4,
    "gpt-oss": 2,
    "plamo3": 8,
}
"""Of so many layers one looks at everything and the others at a window, unless the header says (llama.cpp's models)."""


class Range(msgspec.Struct, frozen=True):
    """An estimate with the interval in which it is expected."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        """All three multiplied."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


class Group(NamedTuple):
    """Tensors that are alike in so many layers."""

    tensor: Tensor
    """The first of them."""
    times: int

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return self.tensor.bytes * self.times


class Cache(NamedTuple):
    """What so many layers keep of each token."""

    layers: int
    keys: int
    values: int
    window: int | None
    """Tokens that they look back; None for all."""


class Anatomy(msgspec.Struct, frozen=True, kw_only=True):
    """A model as far as memory and speed depend on it."""

    source: Source
    architecture: str
    layers: int
    hidden: int
    vocabulary: int
    merges: bool
    """Whether the vocabulary joins pairs (BPE); otherwise it has scores (SentencePiece)."""
    trained_context: int | None
    groups: tuple[Group, ...]
    """All tensors of any size."""
    ends: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] = ((), ())
    """Matrices before the first, and after the last, tensor of the file that always stays in the mapped file."""
    caches: tuple[Cache, ...]
    state_bytes: int = 0
    """Of all recurrent layers for one sequence."""
    width: int
    """32-bit numbers that the engine keeps for each token of a micro-batch at the same time."""
    routed: float = 1.0
    """Share of the experts that a token passes."""
    doubts: tuple[str, ...] = ()
    """What was guessed, in sentences."""

    @property
    def tied(self) -> bool:
        """Whether the embedding is the output matrix too."""
        return not any(group.tensor.name == "output.weight" for group in self.groups)

    @property
    def weights_bytes(self) -> int:
        """Of all tensors."""
        return sum(group.bytes for group in self.groups)


def anatomy_of(headers: Sequence[GgufHeader]) -> Anatomy:
    """From the headers of a model's files: one, or all parts of a split model.

    Raises:
        ValueError: it has no embedding, so it is no language model.
    """
    first = headers[0]
    layers = first.number("block_count") or 0
    last = layers - (first.number("nextn_predict_layers") or 0)
    tensors = [
        tensor for header in headers for tensor in header.tensors if (layer_of(tensor.name) or 0) < last or not last
    ]
    named = {tensor.name: tensor for tensor in tensors}
    embedding = named.get("token_embd.weight")
    if embedding is None:
        raise ValueError("it has no embedding, so it is no language model")
    inside = _by_layer(tensors)
    hidden = embedding.shape[0]
    experts, used = first.number("expert_count"), first.number("expert_used_count")
    return Anatomy(
        source="file header",
        architecture=first.architecture,
        layers=last,
        hidden=hidden,
        vocabulary=embedding.shape[1],
        merges=first.length("tokenizer.ggml.merges") is not None,
        trained_context=first.number("context_length"),
        groups=_grouped(tensors),
        ends=_ends(tensors),
        caches=_caches(first, inside, last),
        state_bytes=sum(_state_bytes(first, parts, hidden) for parts in inside.values()),
        width=max((_width(parts, hidden, used or 0) for parts in inside.values()), default=4 * hidden),
        routed=used / experts if used and experts else 1.0,
    )


def ffn_width(hidden: int, inner: int, *, gated: bool) -> int:
    """Numbers that the feed-forward part keeps for each token at the same time.

    With a gate these are its three inner vectors (gate, up, product), else one; around them three or four of the hidden
    size: what is added at the end, its norm, the result, and a gap that llama.cpp's allocator leaves or not, by the
    order in which a family computes (ggml-alloc.c takes the best fit). Dry runs of eleven families come within 10 %.
    """
    return (3 if gated else 1) * inner + 7 * hidden // 2


def state_width(hidden: int, projected: int, convolved: int, inner: int) -> int:
    """The same for a recurrent layer: input, projection, convolution before and after, what the scan gives with its
    states, and that with what passes it by.
    """
    return hidden + projected + 2 * convolved + 2 * inner + inner // 4


def _grouped(tensors: Sequence[Tensor]) -> tuple[Group, ...]:
    found: dict[tuple[str, str, tuple[int, ...]], list[Tensor]] = {}
    for tensor in tensors:
        found.setdefault((_LAYER.sub("blk.*.", tensor.name), tensor.type, tensor.shape), []).append(tensor)
    return tuple(Group(alike[0], len(alike)) for alike in found.values())


def _ends(tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Matrices at both ends of the file, up to the first vector or embedding."""
    stays = [index for index, one in enumerate(tensors) if one.shape[1] == 1 or one.name == "token_embd.weight"]
    return tuple(tensors[: stays[0]]), tuple(tensors[stays[-1] + 1 :])


def _by_layer(tensors: Sequence[Tensor]) -> dict[int, dict[str, Tensor]]:
    """Tensors of each layer by name without `blk.N.` and `.weight`."""
    found: dict[int, dict[str, Tensor]] = {}
    for tensor in tensors:
        layer = layer_of(tensor.name)
        if layer is not None:
            found.setdefault(layer, {})[_LAYER.sub("", tensor.name).removesuffix(".weight")] = tensor
    return found


def _caches(header: GgufHeader, inside: dict[int, dict[str, Tensor]], layers: int) -> tuple[Cache, ...]:
    windowed = _windowed(header, layers)
    window = header.number("attention.sliding_window")
    sharing = layers - (header.number("attention.shared_kv_layers") or 0)
    counted: Counter[tuple[int, int, int | None]] = Counter()
    for layer, parts in inside.items():
        output = parts.get("attn_output")
        if output is None or layer >= sharing:
            continue
        keys, values = _kept(parts, output.shape[0])
        counted[keys, values, window if layer in windowed else None] += 1
    return tuple(Cache(count, *kept) for kept, count in counted.items())


def _kept(parts: dict[str, Tensor], queries: int) -> tuple[int, int]:
    """Numbers of a token's keys and of its values that one layer keeps."""
    if latent := parts.get("attn_kv_a_mqa"):
        return latent.shape[1], 0  # values are a part of the keys
    if whole := parts.get("attn_qkv"):
        half = (whole.shape[1] - queries) // 2
        return half, half
    keys = parts.get("attn_k")
    values = parts.get("attn_v", keys)
    return (keys.shape[1] if keys else 0), (values.shape[1] if values else 0)


def _windowed(header: GgufHeader, layers: int) -> frozenset[int]:
    """Layers that look at a window only; llama.cpp ignores the window of Phi-3."""
    if not header.number("attention.sliding_window") or header.architecture == "phi3":
        return frozenset()
    pattern = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return frozenset(layer for layer, flag in enumerate(pattern) if flag)
    every = pattern if isinstance(pattern, int) else WINDOW_EVERY.get(header.architecture)
    return frozenset(layer for layer in range(layers) if layer % every < every - 1) if every else frozenset()


def _state_bytes(header: GgufHeader, parts: dict[str, Tensor], hidden: int) -> int:
    """Bytes of one layer's recurrent state: 32-bit numbers of the convolution's past and of the state itself."""
    if "shortconv.conv" in parts:
        return 4 * hidden * ((header.number("shortconv.l_cache") or 1) - 1)
    if "ssm_conv1d" not in parts:
        return 0
    inner, state = header.number("ssm.inner_size") or 0, header.number("ssm.state_size") or 0
    past = (header.number("ssm.conv_kernel") or 1) - 1
    return 4 * (past * (inner + 2 * (header.number("ssm.group_count") or 0) * state) + state * inner)


def _width(parts: dict[str, Tensor], hidden: int, used: int) -> int:
    """Numbers that one layer keeps for each token at the same time; `used` experts a token."""
    widths = [4 * hidden]
    if output := parts.get("attn_output"):
        widths.append(2 * hidden + 2 * output.shape[0] + sum(_kept(parts, output.shape[0])))
    down = parts.get("ffn_down") or parts.get("ffn_down_exps")
    if down is not None:
        up = parts.get("ffn_up")
        gated = any(name in parts for name in ("ffn_gate", "ffn_gate_exps")) or bool(up and up.shape[1] > down.shape[0])
        times = used if "ffn_down_exps" in parts else 1
        widths.append(ffn_width(hidden, times * down.shape[0], gated=gated) + (times - 1) * hidden)
    if "ssm_in" in parts and "ssm_conv1d" in parts and "ssm_out" in parts:
        projected, convolved = parts["ssm_in"].shape[1], parts["ssm_conv1d"].shape[1]
        widths.append(state_width(hidden, projected, convolved, parts["ssm_out"].shape[0]))
    return max(widths)
