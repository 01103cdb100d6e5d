"""Memory by device, in numbers and in words."""

from __future__ import annotations

from slmtui.core.events import MemoryPart, ProcessMemory
from slmtui.core.places import by_device, engine_words, memory_words, on_gpus

MIB = 1024**2
PARTS = (
    MemoryPart("weights", "CUDA0", 600 * MIB),
    MemoryPart("weights", "CPU", 60 * MIB),
    MemoryPart("KV cache", "CUDA0", 100 * MIB),
)
ON_CPU = PARTS[1:2]
CHARGED = ProcessMemory(pss_bytes=300 * MIB)


def test_bytes_on_each_device_main_memory_first() -> None:
    assert by_device(PARTS) == {"CPU": 60 * MIB, "CUDA0": 700 * MIB}
    assert list(by_device(PARTS)) == ["CPU", "CUDA0"]
    assert engine_words(PARTS) == "CPU 60 MiB, CUDA0 700 MiB"
    assert engine_words(()) == ""


def test_the_drivers_figure_comes_before_the_engines() -> None:
    assert on_gpus(ProcessMemory(gpu_bytes=1200 * MIB), PARTS) == 1200 * MIB
    assert on_gpus(CHARGED, PARTS) == 700 * MIB
    assert on_gpus(CHARGED, ON_CPU) is None
    assert on_gpus(None, ()) is None


def test_words_name_each_device() -> None:
    assert memory_words(CHARGED, ON_CPU) == "300 MiB"
    assert memory_words(CHARGED, PARTS) == "300 MiB + 700 MiB on CUDA0"
    assert memory_words(ProcessMemory(pss_bytes=300 * MIB, gpu_bytes=900 * MIB), PARTS) == "300 MiB + 900 MiB on CUDA0"
    two = (*PARTS, MemoryPart("weights", "CUDA1", 500 * MIB))
    assert memory_words(CHARGED, two) == "300 MiB + 700 MiB on CUDA0 + 500 MiB on CUDA1"
    assert memory_words(None, ()) == "—"
    assert memory_words(ProcessMemory(gpu_bytes=900 * MIB), ()) == "— + 900 MiB on the GPU"
