"""What a GGUF file's tensors say about a model's work: bytes that a decode step reads, operations of a prefill token.

libggml's own reader opens the file; only its header is read.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slmtui.engine import llama_library

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
    """Count every tensor as llama.cpp uses it.

    Of experts, the share that a token is routed to counts. Of an embedding one row is read, unless it is the output
    matrix too. Layers that only predict further tokens are not evaluated.
    """
    experts, used = header.number("expert_count"), header.number("expert_used_count")
    last = header.number("block_count") - header.number("nextn_predict_layers")
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    read, flops, attention = 0.0, 0.0, 0
    types: Counter[str] = Counter()
    for tensor in tensors:
        layer = _LAYER.match(tensor.name)
        if layer and int(layer[1]) >= last > 0:
            continue
        kind = tensor.name.removesuffix(".weight")
        if kind in _EMBEDDINGS:
            read += tensor.bytes if kind == "token_embd" and tied else tensor.bytes / tensor.shape[1]
            continue
        share = used / experts if used and experts and "_exps" in tensor.name else 1.0
        read += tensor.bytes * share
        if layer and tensor.name.endswith(".weight") and tensor.shape[1] > 1:
            flops += 2 * prod(tensor.shape) * share
            types[tensor.type] += prod(tensor.shape)
        if tensor.name.endswith(".attn_output.weight"):
            attention += 4 * tensor.shape[0]  # as many values as keys: 2 for the score, 2 for the sum, each
    return Work(
        decode_read_bytes=round(read),
        prefill_flops=round(flops),
        attention_flops=None if header.windowed else attention,
        weight_type=types.most_common(1)[0][0] if types else None,
    )


def model_work(path: Path, weights_bytes: int, header: Header) -> Work | None:
    """`work` of the model in this file; None where the file holds only a part of its `weights_bytes`."""
    try:
        status = path.stat()
    except OSError:
        return None
    tensors = _read(path, status.st_size, status.st_mtime_ns)
    if not tensors or sum(tensor.bytes for tensor in tensors) != weights_bytes:
        return None
    return work(tensors, header)


def read_tensors(path: Path) -> tuple[Tensor, ...]:
    """The tensor list; empty when libggml cannot read the file's header."""
    library = _library()
    context = library.gguf_init_from_file(os.fsencode(path), _Parameters(no_alloc=True))
    if not context:
        return ()
    try:
        return tuple(_tensor(library, context, index) for index in range(library.gguf_get_n_tensors(context)))
    finally:
        library.gguf_free(context)


@lru_cache(maxsize=1)
def _read(path: Path, _size: int, _changed_ns: int) -> tuple[Tensor, ...]:
    """`read_tensors`, remembered: a load asks twice, for its dry run and for the model itself."""
    return read_tensors(path)


class _Parameters(ctypes.Structure):
    """`struct gguf_init_params` (gguf.h)."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


def _tensor(library: Any, context: int, index: int) -> Tensor:
    kind = library.gguf_get_tensor_type(context, index)
    return Tensor(
        name=library.gguf_get_tensor_name(context, index).decode("utf-8", "replace"),
        type=library.ggml_type_name(kind).decode(),
        shape=tuple(library.gguf_get_tensor_ne(context, index)[:4]),
        bytes=library.gguf_get_tensor_size(context, index),
    )


@cache
def _library() -> Any:
    """libggml-base with the types of the functions used here (gguf.h, ggml.h)."""
    llama_library.load()  # its log, too, takes what the reader says
    base = llama_library.sibling("ggml-base")
    pointer, index = ctypes.c_void_p, ctypes.c_int64
    for name, result, arguments in (
        ("gguf_init_from_file", pointer, [ctypes.c_char_p, _Parameters]),
        ("gguf_free", None, [pointer]),
        ("gguf_get_n_tensors", index, [pointer]),
        ("gguf_get_tensor_name", ctypes.c_char_p, [pointer, index]),
        ("gguf_get_tensor_type", ctypes.c_int, [pointer, index]),
        ("gguf_get_tensor_ne", ctypes.POINTER(ctypes.c_int64), [pointer, index]),
        ("gguf_get_tensor_size", ctypes.c_size_t, [pointer, index]),
        ("ggml_type_name", ctypes.c_char_p, [ctypes.c_int]),
    ):
        function = getattr(base, name)
        function.restype, function.argtypes = result, arguments
    return base
