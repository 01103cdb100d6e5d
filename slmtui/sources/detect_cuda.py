"""NVIDIA's CUDA toolkit, which only building llama.cpp needs: where its compiler is, and of which version."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from slmtui.core.machine import CudaToolkit
from slmtui.sources.detect_files import read_text

_USUAL = (Path("/usr/local/cuda"), Path("/opt/cuda"))
_COMPILER = "nvcc.exe" if os.name == "nt" else "nvcc"
_VERSION = re.compile(r"#define\s+CUDART_VERSION\s+(\d+)")


def cuda_toolkit(environment: Mapping[str, str] | None = None, usual: tuple[Path, ...] = _USUAL) -> CudaToolkit | None:
    """The toolkit that the environment names, else the one on the path, else the one in the usual places."""
    environment = os.environ if environment is None else environment
    for nvcc in _candidates(environment, usual):
        if nvcc.is_file():
            return CudaToolkit(nvcc=str(nvcc), version=_version(nvcc))
    return None


def _candidates(environment: Mapping[str, str], usual: tuple[Path, ...]) -> Iterator[Path]:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if folder := environment.get(name):
            yield Path(folder) / "bin" / _COMPILER
    if found := shutil.which(_COMPILER, path=environment.get("PATH", "")):
        yield Path(found)
    yield from (place / "bin" / _COMPILER for place in usual)


def _version(nvcc: Path) -> str | None:
    """What the header beside the compiler says; 13000 is 13.0."""
    for root in dict.fromkeys((nvcc.parents[1], nvcc.resolve().parents[1])):
        found = _VERSION.search(read_text(root / "include" / "cuda_runtime_api.h") or "")
        if found:
            major, minor = divmod(int(found[1]), 1000)
            return f"{major}.{minor // 10}"
    return None
