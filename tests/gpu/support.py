"""A GPU as tests see it, and the driver's account of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from slmtui.core.events import MemoryPart
from slmtui.core.places import by_device
from slmtui.sources.detect_nvidia import nvidia_gpus

MIB = 1024**2
GIB = 1024**3
OVERHEAD_BYTES = 1536 * MIB
"""What a process may take beside its engine's buffers: the CUDA context, cuBLAS, pools."""

Hog = Callable[[int], None]

HOG = """
import ctypes, re, sys
from pathlib import Path
from slmtui.engine import llama_library

llama_library.load()
runtime = re.search(r"/\\S*libcudart\\.so\\S*", Path("/proc/self/maps").read_text())
if runtime is None:
    sys.exit(print("llama.cpp has no shared CUDA runtime", flush=True))
cuda = ctypes.CDLL(runtime[0])
free, total, pointer = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
cuda.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
code = cuda.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(free.value - int(sys.argv[1])))
print(f"cudaMalloc ended with {code}" if code else "taken", flush=True)
sys.stdin.read()
"""
"""Program that leaves its first argument's bytes free on the first GPU until its input ends."""


class Graphics(NamedTuple):
    """A GPU in llama.cpp's words."""

    name: str
    description: str
    pci: str | None

    @property
    def backend(self) -> str:
        """ "CUDA", "MTL", "Vulkan"."""
        return self.name.rstrip("0123456789")

    @property
    def cuda(self) -> bool:
        """Whether it is an NVIDIA GPU by CUDA."""
        return self.backend == "CUDA"

    def bytes_of(self, parts: tuple[MemoryPart, ...]) -> int:
        """What lies on it."""
        return by_device(parts).get(self.name, 0)


def free_bytes() -> int:
    """Free video memory of all NVIDIA processors together, by the driver."""
    gpus, _ = nvidia_gpus()
    return sum(gpu.memory_free_bytes or 0 for gpu in gpus)
