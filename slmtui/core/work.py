"""What a model's tensors say about its work: bytes that a decode step reads, operations of a prefill token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import msgspec

_EMBEDDINGS = ("token_embd", "per_layer_token_embd", "position_embd", "token_types")
"""Tables of which a token reads one row."""
_LAYER = re.compile(r"blk\.(\d+)\.")


class Tensor(NamedTuple):
    """One tensor of the file."""

    name: str
    type: str
    """In ggml's words: "f32", "q4_K"."""
    shape: tuple[int, ...]
    """Four dimensions, the fastest first."""
    bytes: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What evaluating one token takes; each field as in `core.events.ModelFacts`."""

    decode_read_bytes: int
    prefill_flops: int
    attention_flops: int | None
    weight_type: str | None


class Share(NamedTuple):
    """One tensor's part in evaluating one token."""

    read_bytes: float
    """That a decode step reads."""
    flops: float
    """Of prefill, for one token; the output matrix does not count."""
    attention_flops: int
    """For one token and one token that it looks at."""


class Header(NamedTuple):
    """What the header says beside the tensors; `value` gives a key's value as text, None when it is not there."""

    value: Callable[[str], str | None]
    windowed: bool
    """Whether some layers look at a sliding window only."""

    def number(self, key: str) -> int:
        """An integer below the architecture's own name; 0 when it is not there, or is one a layer."""
        said = self.value(f"{self.value('general.architecture')}.{key}") or ""
        return int(said) if said.isdigit() else 0


def work(tensors: Sequence[Tensor], header: Header) -> Work:
    """Count every tensor as llama.cpp uses it; see `share`.

    Layers that only predict further tokens are not evaluated.
    """
    experts, used = header.number("expert_count"), header.number("expert_used_count")
    routed = used / experts if used and experts else 1.0
    last = header.number("block_count") - header.number("nextn_predict_layers")
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    read, flops, attention = 0.0, 0.0, 0
    types: Counter[str] = Counter()
    for tensor in tensors:
        layer = layer_of(tensor.name)
        if layer is not None and layer >= last > 0:
            continue
        part = share(tensor, routed, tied=tied)
        read += part.read_bytes
        flops += part.flops
        attention += part.attention_flops
        if part.flops:
            types[tensor.type] += prod(tensor.shape)
    return Work(
        decode_read_bytes=round(read),
        prefill_flops=round(flops),
        attention_flops=None if header.windowed else attention,
        weight_type=types.most_common(1)[0][0] if types else None,
    )


def share(tensor: Tensor, routed: float = 1.0, *, tied: bool) -> Share:
    """One tensor's part in the work; `tied` where the embedding is the output matrix too.

    Of experts, the share that a token is routed to counts. Of an embedding one row is read, unless it is the output
    matrix too.
    """
    if is_table(tensor):
        whole = tensor.name == "token_embd.weight" and tied
        return Share(tensor.bytes if whole else tensor.bytes / tensor.shape[1], 0.0, 0)
    part = routed if "_exps" in tensor.name else 1.0
    flops = 0.0
    if layer_of(tensor.name) is not None and tensor.name.endswith(".weight") and tensor.shape[1] > 1:
        flops = 2 * prod(tensor.shape) * part
    # As many values as keys: 2 operations for the score, 2 for the sum, each.
    attention = 4 * tensor.shape[0] if tensor.name.endswith(".attn_output.weight") else 0
    return Share(tensor.bytes * part, flops, attention)


def is_table(tensor: Tensor) -> bool:
    """Whether a token reads one row of it."""
    return tensor.name.removesuffix(".weight") in _EMBEDDINGS


def layer_of(name: str) -> int | None:
    """Number of the layer that a tensor belongs to; None for one outside of the layers."""
    found = _LAYER.match(name)
    return int(found[1]) if found else None
