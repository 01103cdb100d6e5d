"""NVIDIA's libraries as pip installs them, for a CUDA build of llama.cpp on a machine without the CUDA toolkit.

The system's loader does not look into Python's packages, but takes a library that the process has open already.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

_MISSING = re.compile(r"\b(lib(?:cudart|cublas|cublasLt|nccl)\.so\.\d+): cannot open shared object file")


def import_beside(name: str, places: Iterable[str] | None = None) -> ModuleType:
    """Import a module, opening those of NVIDIA's libraries that it misses from the packages in `places`, `sys.path`.

    Raises:
        ImportError, OSError, RuntimeError: as the module's own import; a library that no package has is named.
    """
    places = sys.path if places is None else places
    opened: set[str] = set()
    while True:
        try:
            return importlib.import_module(name)
        except (OSError, RuntimeError) as error:
            missing = _MISSING.search(str(error))
            path = _in_packages(missing[1], places) if missing else None
            if missing is None or path is None or missing[1] in opened:
                raise
            opened.add(missing[1])
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _in_packages(library: str, places: Iterable[str]) -> Path | None:
    """`nvidia/cublas/lib/libcublas.so.12` or `nvidia/cu13/lib/libcublas.so.13`, in the first place that has it."""
    for place in places:
        for path in sorted(Path(place or ".").glob(f"nvidia/*/lib/{library}")):
            return path
    return None
