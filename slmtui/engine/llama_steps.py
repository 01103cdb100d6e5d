"""Single tokens without Python in between: `steps.c`, where it was compiled.

The build of the package compiles it if there is a C compiler. Without it every token goes through Python, which cost
8 to 18 microseconds each with Pocket 2M on a Xeon.
"""

from __future__ import annotations

import ctypes
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARY = Path(__file__).with_name("steps.so")
_BATCH = ("n_tokens", "token", "embd", "pos", "n_seq_id", "seq_id", "logits")
_SAME_CLOCK_S = 0.1


class Steps:
    """The compiled loop over llama.cpp's functions."""

    def __init__(self, library: ctypes.CDLL, bindings: ModuleType) -> None:
        self._run = library.slmtui_steps
        self._run.restype = ctypes.c_int32
        pointer = ctypes.c_void_p
        self._run.argtypes = [pointer, pointer, pointer, pointer, ctypes.c_int32, ctypes.c_double, pointer, pointer]
        self._functions = [ctypes.cast(each, pointer) for each in (bindings.llama_decode, bindings.llama_synchronize)]
        self._code = ctypes.c_int32()

    def run(self, context: Any, tokens: Any, first: int, until_s: float) -> tuple[list[float], int]:
        """Evaluate tokens of a C array from the `first` on, of which at least one; begin none at `until_s` or later.

        Returns the clock (`time.perf_counter`, seconds) after each one, and llama_decode's last return code.
        """
        count = len(tokens) - first
        at = (ctypes.c_double * count)()
        where = ctypes.byref(tokens, first * ctypes.sizeof(tokens._type_))
        done = self._run(*self._functions, context, where, count, until_s, at, ctypes.byref(self._code))
        return at[:done], self._code.value


@cache
def compiled(bindings: ModuleType) -> Steps | None:
    """The loop, if it was compiled and fits to this llama.cpp and this Python's clock."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        library.slmtui_clock.restype = ctypes.c_double
        library.slmtui_batch_bytes.restype = ctypes.c_uint64
    except (OSError, AttributeError):  # not there, not for this system, or of another version
        return None
    batch = bindings.llama_batch
    same_batch = tuple(name for name, *_ in batch._fields_) == _BATCH
    same_batch = same_batch and library.slmtui_batch_bytes() == ctypes.sizeof(batch)
    same_clock = abs(library.slmtui_clock() - time.perf_counter()) < _SAME_CLOCK_S
    try:
        return Steps(library, bindings) if same_batch and same_clock else None
    except ctypes.ArgumentError:  # a binding that is no function of C has no address to be called by
        return None
