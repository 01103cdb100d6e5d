"""Memory by the device that it lies on, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterable

from slmtui.core.events import MAIN_MEMORY, MemoryPart, ProcessMemory
from slmtui.core.text import memory, one_line


def by_device(parts: Iterable[MemoryPart]) -> dict[str, int]:
    """Bytes that the engine allocated on each device, main memory first, then in the order in which it named them."""
    found: dict[str, int] = {}
    for part in parts:
        found[part.device] = found.get(part.device, 0) + part.bytes
    return {name: found[name] for name in sorted(found, key=lambda name: name != MAIN_MEMORY)}


def on_gpus(process: ProcessMemory | None, parts: Iterable[MemoryPart]) -> int | None:
    """What a worker takes on all GPUs: the driver's figure, else what the engine allocated; None without a GPU."""
    if process is not None and process.gpu_bytes is not None:
        return process.gpu_bytes
    return sum(size for device, size in by_device(parts).items() if device != MAIN_MEMORY) or None


def memory_words(process: ProcessMemory | None, parts: Iterable[MemoryPart]) -> str:
    """Main memory as the system charges it, and what lies on GPUs: "1.02 GiB + 3.1 GiB on CUDA0"."""
    parts = tuple(parts)
    main = memory(process.charged_bytes if process else None)
    devices = {name: size for name, size in by_device(parts).items() if name != MAIN_MEMORY and size}
    if len(devices) > 1:
        return " + ".join([main, *(f"{memory(size)} on {one_line(name)}" for name, size in devices.items())])
    there = on_gpus(process, parts)
    return main if there is None else f"{main} + {memory(there)} on {one_line(next(iter(devices), 'the GPU'))}"


def engine_words(parts: Iterable[MemoryPart]) -> str:
    """What the engine allocated on each device: "CPU 12 MiB, CUDA0 1.1 GiB"; empty for nothing."""
    return ", ".join(f"{one_line(name)} {memory(size)}" for name, size in by_device(parts).items())
