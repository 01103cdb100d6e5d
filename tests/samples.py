"""Measurements to store, summarize and export in tests."""

from __future__ import annotations

import msgspec

from slmtui.core.events import MemoryPart, ModelFacts, ProcessMemory, Timing
from slmtui.core.machine import Cpu, Machine, Memory
from slmtui.core.measurement import Environment, Measurement, Session, Settings
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


def full_measurement(repetition: int = 0, *, session: str = "20261121-0131-a7f3", **changes: object) -> Measurement:
    """One answer of a chat in which every figure is there."""
    filled: dict[str, object] = {
        "kind": "chat",
        "demo": True,
        "name": "Größe 5M | 「小」",
        "file_bytes": 5_647_008,
        "file_sha256": "b7" * 32,
        "facts": ModelFacts(
            architecture="llama",
            quantization="Q8_0",
            parameters=5_246_208,
            weights_bytes=5_600_000,
            engine="llama.cpp via llama-cpp-python 0.3.36",
            engine_build="CPU : AVX2 = 1 | FMA = 1",
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
            extra_buffers=True,
        ),
        "warmup_runs": 3,
        "timing": timing(ttft_s=0.1 + 0.2, token_at_s=(0.3, 0.31, 0.33), depth=7),
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
        "process_memory": ProcessMemory(
            rss_bytes=40_000_000, pss_bytes=30_000_000, uss_bytes=25_000_000, footprint_bytes=31_000_000
        ),
        "peak_rss_bytes": 41_000_000,
        "sampling": Sampling(temperature=0.0, seed=2**32 - 1),
        "prompt_sha256": "0a" * 32,
        "load_average": 1.0,
        "temperature_c": 51.5,
    }
    return msgspec.structs.replace(measurement(repetition, session=session), **(filled | changes))
