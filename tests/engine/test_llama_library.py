"""llama.cpp's library in this process: the log that is parsed, the devices, the flag that stops an evaluation."""

from __future__ import annotations

import ctypes

import pytest

from slmtui.core.events import MemoryPart
from slmtui.engine import llama_library
from slmtui.engine.llama_library import Log, StopCell

MIB = 1024 * 1024
GPU_LOAD = """
load_tensors: offloaded 25/25 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   254.58 MiB
load_tensors:        CUDA0 model buffer size =   606.03 MiB
load_tensors:          AMX model buffer size =    10.00 MiB
load_tensors:   CPU_REPACK model buffer size =    20.50 MiB
llama_context:  CUDA_Host  output buffer size =     0.58 MiB
llama_kv_cache:      CUDA0 KV buffer size =    96.00 MiB
llama_kv_cache: size =   96.00 MiB (  4096 cells,  24 layers,  1/1 seqs), K (f16):   48.00 MiB, V (f16):   48.00 MiB
llama_memory_recurrent:        CPU RS buffer size =     1.25 MiB
llama_memory_recurrent: size =    1.25 MiB (     1 cells,  24 layers,  1 seqs), R (f32):    0.25 MiB
sched_reserve:      CUDA0 compute buffer size =   298.75 MiB
sched_reserve:  CUDA_Host compute buffer size =    10.01 MiB
"""


def log_of(text: str, level: int = 2) -> Log:
    log = Log()
    log.lines.extend((level, line) for line in text.strip().splitlines(keepends=True))
    return log


def test_memory_is_read_from_the_log_by_kind_and_device() -> None:
    assert log_of(GPU_LOAD).memory() == (
        MemoryPart("weights", "CPU", round(254.58 * MIB)),
        MemoryPart("weights", "CUDA0", round(606.03 * MIB)),
        MemoryPart("weights", "CPU", 10 * MIB),
        MemoryPart("weights", "CPU", round(20.5 * MIB)),
        MemoryPart("output", "CPU", round(0.58 * MIB)),
        MemoryPart("KV cache", "CUDA0", 96 * MIB),
        MemoryPart("recurrent state", "CPU", round(1.25 * MIB)),
        MemoryPart("compute", "CUDA0", round(298.75 * MIB)),
        MemoryPart("compute", "CPU", round(10.01 * MIB)),
    )


def test_caches_of_a_dry_run() -> None:
    assert log_of(GPU_LOAD).planned_caches("CPU") == (
        MemoryPart("KV cache", "CPU", 96 * MIB),
        MemoryPart("recurrent state", "CPU", round(1.25 * MIB)),
    )


def test_errors_are_said_once_and_without_function_names() -> None:
    log = log_of(
        "llama_model_load: error loading model: no such thing\nllama_model_load: again.\nllama_model_load: again\n", 4
    )
    log.lines.append((3, "only a warning"))
    assert log.errors() == "error loading model: no such thing; again"
    log.clear()
    assert log.errors() == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("flash_attn            = enabled", True),
        ("flash_attn            = disabled", False),
        ("flash_attn            = auto\nresolve_fused_ops: Flash Attention enabled", True),
        ("flash_attn            = auto\nresolve_fused_ops: Flash Attention not supported, set to disabled", False),
        ("flash_attn            = auto", None),
        ("flash_attn = auto\nresolve_fused_ops: Flash Attention enabled\nllama_context: flash_attn = disabled", False),
        ("causal_attn           = 1", None),
    ],
)
def test_whether_flash_attention_is_used(said: str, expected: bool | None) -> None:
    log = log_of(f"llama_kv_cache:        CPU KV buffer size =     0.00 MiB\nllama_context: {said}")
    assert log.flash_attention() is expected


def test_a_model_without_attention_uses_no_flash_attention() -> None:
    assert (
        log_of("llama_context: flash_attn = auto\nresolve_fused_ops: Flash Attention enabled").flash_attention() is None
    )


def test_offloaded_layers() -> None:
    assert log_of(GPU_LOAD).offloaded_layers() == 25
    assert log_of("load_tensors: offloaded 3/25 layers to GPU").offloaded_layers() == 3
    assert log_of("nothing").offloaded_layers() == 0


def test_compressor_states_count_as_recurrent() -> None:
    (part,) = log_of("llama_dsv4_comp_state:      CUDA0 DSV4 csa state buffer size =     2.50 MiB").memory()
    assert part == MemoryPart("recurrent state", "CUDA0", round(2.5 * MIB))


def test_the_builds_own_words() -> None:
    assert "CPU" in llama_library.build_line()
    assert "\n" not in llama_library.build_line()
    assert llama_library.engine_name().startswith("llama.cpp via llama-cpp-python 0.")


def test_the_stop_flag_is_read_by_native_code() -> None:
    """The callback that llama.cpp gets is a C function; calling it as llama.cpp does tells the flag."""
    cell = StopCell(llama_library.load())
    data = ctypes.cast(cell._cell, ctypes.c_void_p)
    assert not cell.is_set()
    assert not cell._callback(data)
    cell.set()
    assert cell.is_set()
    assert cell._callback(data)
    cell.clear()
    assert not cell._callback(data)


@pytest.mark.parametrize(
    ("buffer", "device"), [("CPU_Mapped", "CPU"), ("CUDA1", "CUDA1"), ("Vulkan0", "Vulkan0"), ("MTL0_Mapped", "MTL0")]
)
def test_names_of_buffers(buffer: str, device: str) -> None:
    (part,) = log_of(f"load_tensors: {buffer} model buffer size = 1.00 MiB\n").memory()
    assert part.device == device
