"""What is refused before llama.cpp would crash on it, and what its own failures mean for a person."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slmtui.core import text
from slmtui.core.events import FailureKind
from slmtui.core.gguf import CACHE_TYPES, TENSOR_TYPES
from slmtui.engine import llama_library
from slmtui.engine.backends import EngineError
from slmtui.engine.protocol import Load

KV_TYPES = {name: number for name in CACHE_TYPES for number, kind in TENSOR_TYPES.items() if kind.name == name}
"""Numbers of `enum ggml_type` (ggml.h) that a KV cache can have; any other makes llama.cpp abort."""
_GGUF_MAGIC = b"GGUF"
_NO_ROOM = ("failed to allocate", "unable to allocate", "mmap failed")


def check_file(path: Path) -> None:
    """Look at what can be seen without the engine.

    Raises:
        EngineError: no file, not readable, or not a GGUF.
    """
    shown = text.one_line(str(path))
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise EngineError(FailureKind.BAD_FILE, f"{shown} is a folder; name the .gguf file in it.")
        if not stat.S_ISREG(kind):  # opening a pipe would wait for a writer
            raise EngineError(FailureKind.BAD_FILE, f"{shown} is a device or a pipe; name a .gguf file.")
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise EngineError(FailureKind.BAD_FILE, f"There is no file {shown}. Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise EngineError(FailureKind.BAD_FILE, f"{shown} cannot be read: {why}. Check the path.") from None
    if magic != _GGUF_MAGIC:
        raise EngineError(
            FailureKind.BAD_FILE,
            f"{shown} is not a GGUF file: it does not begin with the letters GGUF. "
            "Choose a .gguf file, or download it again if it should be one.",
        )


def kv_type(name: str) -> int:
    """llama.cpp's number of a KV cache type.

    Raises:
        EngineError: the name is none of those that llama.cpp has kernels for.
    """
    return _number(f"KV cache type {name!r}", name, KV_TYPES)


def flash_attention_type(bindings: Any, name: str) -> int:
    """llama.cpp's number of a flash attention setting.

    Raises:
        EngineError: it is none of those there are.
    """
    known = {
        "auto": bindings.LLAMA_FLASH_ATTN_TYPE_AUTO,
        "on": bindings.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": bindings.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }
    return _number(f"Flash attention {name!r}", name, known)


def split_mode(bindings: Any, name: str) -> int:
    """llama.cpp's number of a way to share a model among GPUs.

    Raises:
        EngineError: it is none of those there are.
    """
    known = {
        "layer": bindings.LLAMA_SPLIT_MODE_LAYER,
        "row": bindings.LLAMA_SPLIT_MODE_ROW,
        "none": bindings.LLAMA_SPLIT_MODE_NONE,
    }
    return _number(f"A split by {name!r}", name, known)


def _number(what: str, name: str, known: Mapping[str, int]) -> int:
    if name not in known:
        raise EngineError(FailureKind.BAD_REQUEST, f"{what} is none of {', '.join(known)}.")
    return int(known[name])


def load_failure(path: Path) -> tuple[FailureKind, str]:
    """Why llama.cpp did not open the file, from its log."""
    why, shown = _why(), text.one_line(path.name)
    if "unknown model architecture" in why:
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"This version of llama.cpp does not know the architecture of {shown} ({why}). "
            "Update slmtui and llama-cpp-python, or choose another model.",
        )
    if "cannot be used as main model" in why:
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"{shown} is a part of another model ({why}). Choose the file of the language model itself.",
        )
    if any(sign in why for sign in _NO_ROOM):
        return (
            FailureKind.OUT_OF_MEMORY,
            f"{shown} does not fit into memory ({why}). Choose a smaller variant, or fewer layers on the GPU.",
        )
    return (
        FailureKind.BAD_FILE,
        f"{shown} is damaged or incomplete ({why}). Download or copy it again.",
    )


def context_failure(request: Load, context: int) -> tuple[FailureKind, str]:
    """Why llama.cpp did not create a context of so many tokens, from its log."""
    why = _why()
    if "requires flash_attn" in why or "flash" in why:
        return (
            FailureKind.BAD_REQUEST,
            f"A quantized V cache ({request.type_v}) needs flash attention; set it to auto or on ({why}).",
        )
    if "does not divide" in why:
        return (
            FailureKind.BAD_REQUEST,
            f"This model's heads are too small for a KV cache of {request.type_k} and {request.type_v} ({why}). "
            "Choose f16.",
        )
    return (
        FailureKind.OUT_OF_MEMORY,
        f"A context of {context:,} tokens cannot be created ({why}). Choose a smaller context.",
    )


def _why() -> str:
    """What llama.cpp logged as errors, fit for a message: it quotes file names and headers."""
    return text.one_line(llama_library.LOG.errors()) or "llama.cpp gave no reason"
