"""Measurements as they are stored and exported: one record a repetition, one row a record."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from slmtui.core.ceiling import Ceiling
from slmtui.core.events import MemoryKind, MemoryPart, ModelFacts, ProcessMemory, StopReason, Timing, total_bytes
from slmtui.core.machine import Machine
from slmtui.core.sampling import Sampling
from slmtui.core.stats import quantile

Kind = Literal["bench", "chat"]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounded a measurement; None where the system does not say."""

    slmtui: str
    python: str
    machine: Machine = Machine()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the program that measured something: the unit of export."""

    id: str
    started_at: str
    """ISO 8601 in UTC."""
    ended_at: str | None = None
    name: str = ""
    environment: Environment
    measurements: int = 0
    """How many repetitions it holds."""
    models: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine was set up for a measurement."""

    threads: int | None = None
    threads_batch: int | None = None
    batch: int | None = None
    micro_batch: int | None = None
    context: int | None = None
    type_k: str | None = None
    type_v: str | None = None
    flash_attention: str | None = None
    device: str | None = None
    gpu_layers: int | None = None
    extra_buffers: bool | None = None


class MemorySample(msgspec.Struct, frozen=True, kw_only=True):
    """The worker's memory at one moment of a measurement."""

    at_s: float
    """Since the request began."""
    memory: ProcessMemory


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition of a benchmark, or one answer of a chat."""

    id: str
    session: str
    kind: Kind
    measured_at: str
    """ISO 8601 in UTC."""
    model: str
    """Id of the variant: `pocket-5m:Q8_0`, or a path."""
    name: str
    file: str
    file_bytes: int | None = None
    file_sha256: str | None = None
    demo: bool = False
    facts: ModelFacts = ModelFacts()
    settings: Settings = Settings()
    cell: str = ""
    """Groups the repetitions of one cell of a plan."""
    repetition: int = 0
    """Counts from 0 within its cell."""
    warmup_runs: int | None = None
    """How many uncounted runs came before the first repetition of the cell."""
    together: bool = False
    """Whether other models ran at the same time (contended)."""
    timing: Timing
    reason: StopReason = StopReason.COMPLETED
    load_s: float | None = None
    page_cache: str = "unknown"
    engine_memory: tuple[MemoryPart, ...] = ()
    process_memory: ProcessMemory | None = None
    """At the end of the measurement."""
    peak_rss_bytes: int | None = None
    sampling: Sampling | None = None
    prompt_sha256: str | None = None
    load_average: float | None = None
    """One-minute load average of the machine when the measurement began."""
    temperature_c: float | None = None
    """Temperature of the processor when the measurement began."""
    load_average_after: float | None = None
    temperature_after_c: float | None = None
    power: str | None = None
    """Where the machine's power came from, in words."""
    governor: str | None = None
    """Frequency governor of the processor."""
    plan: str = ""
    """Id of the plan that it belongs to; empty for a chat."""
    cool_down_s: float | None = None
    """Pause before this repetition; None when the plan has none."""
    wall_s: float | None = None
    """The whole repetition as the app saw it, from the request to its last event."""
    memory_samples: tuple[MemorySample, ...] = ()
    """About four a second, the last one at the end."""
    ceiling: Ceiling | None = None
    """The machine's ceiling as it was known then."""
    template_sha256: str | None = None
    """Hash of the chat template that the text was rendered with."""
    source: str = ""
    """Which program measured it and the file it was imported from; empty for our own."""
    averaged: bool = False
    """Whether the figures are another program's means, so that there are no repetitions to look at."""


def row(measurement: Measurement) -> dict[str, Any]:
    """One flat row for a table; llama-bench's field names where the meaning is the same.

    Units are in the names; a missing figure is None.
    """
    timing, facts, settings = measurement.timing, measurement.facts, measurement.settings
    process = measurement.process_memory or ProcessMemory()
    itl = sorted(timing.itl_s)
    return {
        "id": measurement.id,
        "session": measurement.session,
        "kind": measurement.kind,
        "measured_at": measurement.measured_at,
        "model": measurement.model,
        "model_name": measurement.name,
        "demo": measurement.demo,
        "model_filename": measurement.file,
        "file_bytes": measurement.file_bytes,
        "file_sha256": measurement.file_sha256,
        "model_type": " ".join(filter(None, (facts.architecture, facts.quantization))) or None,
        "quantization": facts.quantization,
        "model_size": facts.weights_bytes,
        "model_n_params": facts.parameters,
        "engine": facts.engine,
        "engine_build": facts.engine_build,
        "cell": measurement.cell,
        "repetition": measurement.repetition,
        "warmup_runs": measurement.warmup_runs,
        "together": measurement.together,
        "reason": measurement.reason.value,
        "n_prompt": timing.prompt_tokens,
        "n_gen": timing.generated_tokens,
        "n_depth": timing.depth,
        "decode_steps": timing.decode_steps,
        "prefill_s": timing.prefill_s,
        "prefill_tps": timing.prefill_tps,
        "ttft_s": timing.ttft_s,
        "decode_s": timing.decode_s,
        "decode_tps": timing.decode_tps,
        "itl_p50_s": _pick(itl, 0.50),
        "itl_p95_s": _pick(itl, 0.95),
        "itl_max_s": itl[-1] if itl else None,
        "load_s": measurement.load_s,
        "page_cache": measurement.page_cache,
        "weights_bytes": _memory(measurement, "weights"),
        "kv_cache_bytes": _memory(measurement, "KV cache"),
        "recurrent_state_bytes": _memory(measurement, "recurrent state"),
        "compute_bytes": _memory(measurement, "compute"),
        "output_bytes": _memory(measurement, "output"),
        "process_rss_bytes": process.rss_bytes,
        "process_pss_bytes": process.pss_bytes,
        "process_uss_bytes": process.uss_bytes,
        "process_footprint_bytes": process.footprint_bytes,
        "process_peak_rss_bytes": measurement.peak_rss_bytes,
        "n_threads": settings.threads,
        "n_threads_batch": settings.threads_batch,
        "n_batch": settings.batch,
        "n_ubatch": settings.micro_batch,
        "n_ctx": settings.context,
        "type_k": settings.type_k,
        "type_v": settings.type_v,
        "flash_attn": settings.flash_attention,
        "device": settings.device,
        "n_gpu_layers": settings.gpu_layers,
        "extra_buffers": settings.extra_buffers,
        "temperature": measurement.sampling.temperature if measurement.sampling else None,
        "seed": measurement.sampling.seed if measurement.sampling else None,
        "prompt_sha256": measurement.prompt_sha256,
        "load_average": measurement.load_average,
        "temperature_c": measurement.temperature_c,
    }


def _pick(ordered: list[float], share: float) -> float | None:
    return quantile(ordered, share) if ordered else None


def _memory(measurement: Measurement, kind: MemoryKind) -> int | None:
    if not any(part.kind == kind for part in measurement.engine_memory):
        return None
    return total_bytes(measurement.engine_memory, kind)
