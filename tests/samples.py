"""Measurements to store, summarize and export in tests."""

from __future__ import annotations

import msgspec

from slmtui.core.ceiling import Ceiling, MatmulRate
from slmtui.core.events import Energy, EngineMemory, MemoryPart, ModelFacts, ProcessMemory, Timing
from slmtui.core.machine import Cpu, CudaToolkit, EngineState, Gpu, Installer, Machine, Memory
from slmtui.core.measurement import Averages, Environment, Imported, Measurement, MemorySample, Session, Settings
from slmtui.core.sampling import Sampling

ENVIRONMENT = Environment(
    slmtui="0.1.0",
    python="3.11.7",
    machine=Machine(
        cpu=Cpu(name="Testium 9000", physical_cores=4, instruction_sets=("AVX2",)),
        memory=Memory(total_bytes=16 * 1024**3),
        system="Linux 6",
    ),
)

FULL_ENVIRONMENT = Environment(
    slmtui="0.1.0",
    python="3.11.7",
    machine=Machine(
        cpu=Cpu(
            name="Testium 9000",
            architecture="x86_64",
            physical_cores=4,
            logical_cores=8,
            performance_cores=2,
            usable_cores=6,
            instruction_sets=("AVX2", "FMA"),
        ),
        memory=Memory(total_bytes=16 * 1024**3, available_bytes=9 * 1024**3, limited_by="cgroup v2 memory.max"),
        gpus=(
            Gpu(
                index=0,
                name="Graphium",
                vendor="NVIDIA",
                memory_total_bytes=8 * 1024**3,
                memory_free_bytes=7 * 1024**3,
                driver="580.12",
                cuda="13.0",
                compute_capability="8.9",
                power_w=71.0,
                power_limit_w=200.0,
                temperature_c=54.0,
                source="NVML",
            ),
        ),
        engines=(
            EngineState(
                name="llama.cpp", version="0.3.36", devices=("CPU",), build="CPU : AVX2 = 1", advice="Build it anew."
            ),
        ),
        system="Linux 6",
        product="Testbook",
        power="mains",
        governor="performance",
        apple_chip="Testium chip",
        gpu_memory_limit_bytes=6 * 1024**3,
        cuda_visible_devices="0",
        cuda_toolkit=CudaToolkit(nvcc="/usr/local/cuda/bin/nvcc", version="13.0"),
        installer=Installer(python="/usr/bin/python3", by="pip"),
        notes=("A note.",),
    ),
    imported=Imported(program="slmtui 0.1.0", file="x.json", sha256="ab" * 32, at="2026-11-22T00:00:00Z"),
)
"""An environment in which everything is known."""


def session(**changes: object) -> Session:
    """A session that nobody stored."""
    base = Session(id="20261121-0131-a7f3", started_at="2026-11-21T01:31:00Z", environment=ENVIRONMENT)
    return msgspec.structs.replace(base, **changes)


def measurement(
    repetition: int = 0,
    *,
    session: str = "20261121-0131-a7f3",
    model: str = "pocket-5m:Q8_0",
    cell: str = "pp512 tg128",
    **changes: object,
) -> Measurement:
    """One repetition of a benchmark (pp512, tg128) that leaves empty what it can."""
    base = Measurement(
        id=f"{session}/{model}/{cell}/{repetition}",
        session=session,
        kind="bench",
        measured_at=f"2026-11-21T01:31:{repetition % 60:02d}Z",
        model=model,
        name="Pocket 5M Q8_0",
        file="pocket-5m-Q8_0.gguf",
        cell=cell,
        repetition=repetition,
        timing=timing(),
    )
    return msgspec.structs.replace(base, **changes)


def timing(prefill_s: float | None = 0.25, decode_s: float | None = 0.5, **changes: object) -> Timing:
    """A Timing of 512 prompt tokens and 128 decode steps."""
    base = Timing(
        prompt_tokens=512,
        prefill_s=prefill_s,
        generated_tokens=128,
        decode_steps=128,
        decode_s=decode_s,
    )
    return msgspec.structs.replace(base, **changes)


CEILING = Ceiling(
    read_bytes_per_s=2e10,
    reader="memcmp",
    buffer_bytes=256 * 1024**2,
    matmul=(MatmulRate(type="q8_0", flops=1.5e11, buffer="CPU_REPACK"), MatmulRate(type="f16", flops=9e10)),
    threads=4,
    engine="llama.cpp via llama-cpp-python 0.3.36",
    measured_at="2026-11-21T01:30:00Z",
    cpu_share=0.875,
    notes=("q4_K was not measured.",),
)


def process_memory(more: int = 0) -> ProcessMemory:
    """A worker's memory with every figure of it."""
    return ProcessMemory(
        rss_bytes=40_000_000 + more,
        pss_bytes=30_000_000 + more,
        uss_bytes=25_000_000 + more,
        footprint_bytes=31_000_000 + more,
        gpu_bytes=10_000_000 + more,
    )


def full_measurement(repetition: int = 0, *, session: str = "20261121-0131-a7f3", **changes: object) -> Measurement:
    """One answer of a chat in which every figure is there that slmtui itself measures."""
    filled: dict[str, object] = {
        "kind": "chat",
        "demo": True,
        "name": "Größe 5M | 「小」",
        "file_bytes": 5_647_008,
        "file_sha256": "b7" * 32,
        "facts": ModelFacts(
            name="Größe",
            architecture="llama",
            quantization="Q8_0",
            parameters=5_246_208,
            weights_bytes=5_600_000,
            layers=8,
            hidden_size=192,
            heads=6,
            kv_heads=3,
            vocabulary=8192,
            trained_context=1024,
            licence="MIT",
            description="A model for tests.",
            template_source="file header",
            template_sha256="cd" * 32,
            engine="llama.cpp via llama-cpp-python 0.3.36",
            engine_build="CPU : AVX2 = 1 | FMA = 1",
            context=4096,
            threads=2,
            device="cpu",
            gpu_layers=0,
            extra_buffers=True,
            flash_attention=True,
            kv_type="f16",
            head_size=32,
            decode_read_bytes=4_100_000,
            prefill_flops=9_000_000,
            attention_flops=6_144,
            weight_type="q8_0",
        ),
        "settings": Settings(
            threads=2,
            threads_batch=4,
            batch=2048,
            micro_batch=512,
            context=4096,
            type_k="f16",
            type_v="f16",
            flash_attention="auto",
            device="cpu",
            gpu_layers=0,
            split_mode="layer",
            tensor_split="3/1",
            extra_buffers=True,
            other="poll=0",
        ),
        "warmup_runs": 3,
        "timing": timing(
            ttft_s=0.1 + 0.2,
            token_at_s=(0.3, 0.31, 0.33),
            depth=7,
            depth_s=0.02,
            engine_prefill_s=0.24,
            engine_decode_s=0.49,
            energy=Energy(meter="RAPL package-0", prefill_j=5.0, decode_j=12.0),
        ),
        "load_s": 0.125,
        "page_cache": "warm",
        "engine_memory": (
            MemoryPart("weights", "CPU", 5_600_000),
            MemoryPart("KV cache", "CPU", 3_000_000),
            MemoryPart("KV cache", "CUDA0", 1_000_000),
            MemoryPart("recurrent state", "CPU", 11),
            MemoryPart("compute", "CPU", 2_000_000),
            MemoryPart("output", "CPU", 8_192),
        ),
        "process_memory": process_memory(),
        "peak_rss_bytes": 41_000_000,
        "peak_memory": process_memory(3_000_000),
        "allocator": EngineMemory(active_bytes=11_000_000, cache_bytes=2_000_000, peak_bytes=14_000_000),
        "memory_samples": (
            MemorySample(at_s=0.25, memory=process_memory(-1_000_000)),
            MemorySample(at_s=0.5, memory=process_memory(2_000_000)),
        ),
        "sampling": Sampling(temperature=0.0, seed=2**32 - 1),
        "prompt_sha256": "0a" * 32,
        "load_average": 1.0,
        "temperature_c": 51.5,
        "load_average_after": 1.25,
        "temperature_after_c": 54.5,
        "power": "battery 83 %",
        "governor": "powersave",
        "preset": "standard",
        "cool_down_s": 2.0,
        "wall_s": 0.875,
        "ceiling": CEILING,
        "template_sha256": "cd" * 32,
    }
    return msgspec.structs.replace(measurement(repetition, session=session), **(filled | changes))


def imported_measurement() -> Measurement:
    """A measurement in which no field is left empty, not even those of another program's averages."""
    foreign: dict[str, object] = {
        "plan": "0123abcd",
        "source": "slmtui 0.1.0, x.json",
        "averaged": True,
        "averages": Averages(mean_tps=2048.5, sd_tps=12.0, sd_s=0.004, repetitions=5),
    }
    return msgspec.structs.replace(full_measurement(), **foreign)
