"""The tensors of a GGUF file as libggml's own reader finds them; only the file's header is read."""

from __future__ import annotations

import ctypes
import os
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from slmtui.core.work import Header, Tensor, Work, work
from slmtui.engine import llama_library


def model_work(path: Path, weights_bytes: int, header: Header) -> Work | None:
    """`work` of the model in this file; None where the file holds only a part of its `weights_bytes`."""
    tensors = all_tensors(path, weights_bytes)
    return work(tensors, header) if tensors else None


def all_tensors(path: Path, weights_bytes: int) -> tuple[Tensor, ...]:
    """The tensors of the model in this file; none where the file holds only a part of its `weights_bytes`."""
    try:
        status = path.stat()
    except OSError:
        return ()
    tensors = _read(path, status.st_size, status.st_mtime_ns)
    return tensors if sum(tensor.bytes for tensor in tensors) == weights_bytes else ()


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
