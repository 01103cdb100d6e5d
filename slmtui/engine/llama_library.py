"""llama.cpp's shared library in this process: log capture and what the log says, versions, the stop flag.

`load()` must come before any other call. llama.cpp logs through one callback for the whole process; ours keeps
recent lines for error messages and memory figures and writes all of them to file descriptor 2, the worker's log.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from slmtui.core.events import MemoryKind, MemoryPart
from slmtui.engine.nvidia_libraries import import_beside

_DEBUG_LEVEL, _ERROR_LEVEL = 1, 4
_KINDS: dict[str, MemoryKind] = {
    "model": "weights",
    "KV": "KV cache",
    "RS": "recurrent state",
    "compute": "compute",
    "output": "output",
    "state": "recurrent state",
}
_BUFFER_LINE = re.compile(r":\s+(\S+)\s+(?:DSV4 .*)?(model|KV|RS|compute|output|state) buffer size\s*=\s*([\d.]+) MiB")
_CACHE_LINE = re.compile(r"llama_(kv_cache|memory_recurrent): size =\s*([\d.]+) MiB")
_FLASH_SETTING = re.compile(r"llama_context: flash_attn\s+= (\w+)")
_FLASH_FOUND = re.compile(r": Flash Attention (enabled|not supported)")
_OFFLOADED = re.compile(r": offloaded (\d+)/\d+ layers")


class Log:
    """The engine's recent log lines with their levels (1 debug, 2 info, 3 warning, 4 error)."""

    def __init__(self) -> None:
        self.lines: deque[tuple[int, str]] = deque(maxlen=2000)

    def clear(self) -> None:
        """Forget everything so far."""
        self.lines.clear()

    def errors(self) -> str:
        """The error lines as one sentence, without the names of C++ functions."""
        lines = [text.strip() for level, text in self.lines if level == _ERROR_LEVEL and text.strip()]
        return "; ".join(dict.fromkeys(re.sub(r"^\w+: ", "", line).rstrip(".") for line in lines))

    def planned_caches(self, device: str) -> tuple[MemoryPart, ...]:
        """KV cache and recurrent state as a dry run reports them; it logs their buffers as 0."""
        found = (_CACHE_LINE.search(text) for _, text in self.lines)
        return tuple(
            MemoryPart("KV cache" if match[1] == "kv_cache" else "recurrent state", device, _mib(match[2]))
            for match in found
            if match
        )

    def flash_attention(self) -> bool | None:
        """Whether the context that was opened last uses it, "auto" resolved; None for a model without attention."""
        lines = [text for _, text in self.lines]
        settings = [match[1] for match in map(_FLASH_SETTING.search, lines) if match]
        found = [match[1] for match in map(_FLASH_FOUND.search, lines) if match]
        if not any("llama_kv_cache" in line for line in lines):
            return None
        last = found[-1:] if settings[-1:] == ["auto"] else settings[-1:]
        return last[0] == "enabled" if last else None

    def offloaded_layers(self) -> int:
        """How many layers went to other devices, the output layer counting as one; a CPU build does not speak of it."""
        counts = [int(match[1]) for match in (_OFFLOADED.search(text) for _, text in self.lines) if match]
        return counts[-1] if counts else 0

    def memory(self) -> tuple[MemoryPart, ...]:
        """Buffers that the log reports, one part a line, in order."""
        found = (_BUFFER_LINE.search(text) for _, text in self.lines)
        return tuple(MemoryPart(_KINDS[match[2]], _device_name(match[1]), _mib(match[3])) for match in found if match)


LOG = Log()
"""One a process, because llama.cpp has one log callback a process."""


@cache
def load() -> ModuleType:
    """Load the library, route its log, and return the low-level bindings.

    Raises:
        ImportError: llama-cpp-python is not installed.
        OSError: its shared library does not load here.
    """
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # GGML_ASSERT would fork gdb onto the terminal
    bindings = import_beside("llama_cpp.llama_cpp")
    bindings.llama_log_set(_log_callback(bindings), ctypes.c_void_p(0))
    bindings.llama_backend_init()
    return bindings


@cache
def _log_callback(bindings: ModuleType) -> Any:
    """The C callback, cached because llama.cpp keeps only a pointer to it."""

    def take(level: int, text: bytes, _: object) -> None:
        if level != _DEBUG_LEVEL:  # a line a tensor
            LOG.lines.append((level, text.decode("utf-8", "replace")))
            os.write(2, text)

    return bindings.llama_log_callback(take)


class StopCell:
    """A flag that llama.cpp reads after every graph node without entering Python.

    The abort callback is libc's strlen on this two-byte cell: it returns 1, which aborts, once the first byte is
    set. A Python function as callback makes decode nine times slower whenever another thread is busy.
    """

    def __init__(self, bindings: ModuleType) -> None:
        self._bindings = bindings
        self._cell = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
        self._callback = ctypes.cast(libc.strlen, bindings.ggml_abort_callback)

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._cell[0] != b"\x00"

    def attach(self, context: Any) -> None:
        """Let this cell stop evaluations of the context."""
        self._bindings.llama_set_abort_callback(context, self._callback, ctypes.cast(self._cell, ctypes.c_void_p))

    def set(self) -> None:
        """Ask for a stop; callable from any thread."""
        self._cell[0] = b"\x01"

    def clear(self) -> None:
        """Forget an earlier stop."""
        self._cell[0] = b"\x00"


def engine_name() -> str:
    """Name and version for provenance."""
    return f"llama.cpp via llama-cpp-python {version('llama-cpp-python')}"


def build_line() -> str:
    """llama.cpp's own line on instruction sets and backends."""
    line = load().llama_print_system_info().decode("utf-8", "replace")
    return " ".join(line.split())


@cache
def sibling(name: str) -> ctypes.CDLL:
    """A library beside libllama that the bindings do not bind (ggml, ggml-base); the same file gives the same instance.

    Raises:
        OSError: it is missing.
    """
    import llama_cpp

    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(llama_cpp.__file__).parent / "lib")
    for file in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll", f"lib{name}.dll"):
        if (folder / file).exists():
            return ctypes.CDLL(str(folder / file))
    raise OSError(f"{name} is missing beside libllama in {folder}")


def _device_name(buffer: str) -> str:
    """Device of a buffer type's name: CPU_Mapped, CPU_REPACK, AMX and CUDA_Host are all main memory."""
    if buffer.startswith(("CPU", "AMX", "BLAS")) or buffer.endswith("_Host"):
        return "CPU"
    return re.sub(r"_(Mapped|Private|Shared|Split)$", "", buffer)


def _mib(figure: str) -> int:
    """The log's MiB, which have two decimals, in bytes."""
    return round(float(figure) * 1024 * 1024)
