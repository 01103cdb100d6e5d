"""Cells: the repetitions of a measurement summarized, and the rows that llama-bench would print for them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import msgspec

from slmtui.core.events import MemoryKind, MemoryPart, StopReason, total_bytes
from slmtui.core.machine import Machine
from slmtui.core.measurement import Kind, Measurement
from slmtui.core.stats import Summary, summarize

# The values of llama.cpp's `enum llama_flash_attn_type`, which llama-bench prints too.
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """All complete repetitions of one cell: same model, same settings, same shape."""

    session: str
    kind: Kind
    model: str
    """Id of the variant: `pocket-5m:Q8_0`, or a path."""
    name: str
    demo: bool
    cell: str
    together: bool
    """Whether other models ran at the same time (contended)."""
    prompt_tokens: int
    """Tokens that prefill evaluated, in the first repetition."""
    decode_steps: int
    """Evaluations of one token each, in the first repetition."""
    depth: int
    """Tokens in the context before the measured part, in the first repetition."""
    prefill_tps: Summary | None
    decode_tps: Summary | None
    ttft_s: Summary | None
    engine_memory: tuple[MemoryPart, ...]
    """As the engine allocated it for the last repetition."""
    process_bytes: int | None
    """What the operating system charged to the worker, the largest of the repetitions."""
    peak_rss_bytes: int | None
    measurements: tuple[Measurement, ...]
    """The repetitions in the order in which they were measured; never empty."""

    @property
    def noisy(self) -> bool:
        """Whether one of the two speeds spreads so far that the cell should be run again."""
        return any(speed is not None and speed.noisy for speed in (self.prefill_tps, self.decode_tps))

    @property
    def shape(self) -> str:
        """What was measured, in llama-bench's words: `pp512 tg128 @ d4096`; `chat` for answers."""
        if self.kind == "chat":
            return "chat"
        return shape_label(self.prompt_tokens, self.decode_steps, self.depth, between=" ")


def cell_results(measurements: Sequence[Measurement]) -> tuple[CellResult, ...]:
    """Group measurements into cells, in the order in which each cell's first repetition appears.

    Repetitions that were cancelled half-way do not count, and a cell that has no other is left out. Answers
    of a chat have no shape of their own: all of one model in one cell are summarized together.
    """
    groups: dict[Hashable, list[Measurement]] = {}
    for measurement in measurements:
        if measurement.reason is not StopReason.CANCELLED:
            groups.setdefault(_key(measurement), []).append(measurement)
    return tuple(_result(group) for group in groups.values())


def shape_label(prompt_tokens: int, decode_steps: int, depth: int = 0, between: str = "+") -> str:
    """A test in llama-bench's words: `pp512`, `tg128`, `pp512+tg128 @ d4096`."""
    parts = [f"{prefix}{tokens}" for prefix, tokens in (("pp", prompt_tokens), ("tg", decode_steps)) if tokens]
    label = between.join(parts) or "nothing"
    return f"{label} @ d{depth}" if depth else label


def memory_by_kind(parts: tuple[MemoryPart, ...]) -> dict[str, int | None]:
    """Bytes of each kind under the names that exports use; None where the engine named no such buffer."""
    columns: dict[str, MemoryKind] = {
        "weights_bytes": "weights",
        "kv_cache_bytes": "KV cache",
        "recurrent_state_bytes": "recurrent state",
        "compute_bytes": "compute",
        "output_bytes": "output",
    }
    present = {part.kind for part in parts}
    return {name: total_bytes(parts, kind) if kind in present else None for name, kind in columns.items()}


def bench_rows(results: Sequence[CellResult], machine: Machine) -> list[dict[str, Any]]:
    """The rows of `llama-bench -o json` for benchmark cells: one for prefill, with n_gen 0, one for decode.

    Names are llama-bench's where the meaning is the same; ours follow (`median_ts`, memory by kind).
    A missing figure is None; llama-bench's build_commit and build_number are not known here and left out.
    """
    rows = []
    for result in results:
        if result.kind != "bench":
            continue
        for phase, speed in (("pp", result.prefill_tps), ("tg", result.decode_tps)):
            if speed is not None:
                rows.append(_subject(result, machine) | _timed(result, phase, speed) | _ours(result, speed))
    return rows


def _key(measurement: Measurement) -> Hashable:
    timing = measurement.timing
    shape = (timing.prompt_tokens, timing.decode_steps, timing.depth) if measurement.kind == "bench" else None
    return (
        measurement.session,
        measurement.kind,
        measurement.model,
        measurement.cell,
        measurement.together,
        measurement.settings,
        shape,
    )


def _result(group: list[Measurement]) -> CellResult:
    first, last = group[0], group[-1]
    charged = [m.process_memory.charged_bytes if m.process_memory else None for m in group]
    return CellResult(
        session=first.session,
        kind=first.kind,
        model=first.model,
        name=first.name,
        demo=first.demo,
        cell=first.cell,
        together=first.together,
        prompt_tokens=first.timing.prompt_tokens,
        decode_steps=first.timing.decode_steps,
        depth=first.timing.depth,
        prefill_tps=summarize([m.timing.prefill_tps for m in group]),
        decode_tps=summarize([m.timing.decode_tps for m in group]),
        ttft_s=summarize([m.timing.ttft_s for m in group]),
        engine_memory=last.engine_memory,
        process_bytes=_largest(charged),
        peak_rss_bytes=_largest([m.peak_rss_bytes for m in group]),
        measurements=tuple(group),
    )


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _subject(result: CellResult, machine: Machine) -> dict[str, Any]:
    first = result.measurements[0]
    facts, settings = first.facts, first.settings
    return {
        "cpu_info": machine.cpu.name,
        "gpu_info": ", ".join(gpu.name for gpu in machine.gpus),
        "backends": settings.device.partition(":")[0].upper() if settings.device else None,
        "model_filename": first.file,
        "model_type": " ".join(filter(None, (facts.architecture, facts.quantization))) or None,
        "model_size": facts.weights_bytes,
        "model_n_params": facts.parameters,
        "n_batch": settings.batch,
        "n_ubatch": settings.micro_batch,
        "n_threads": settings.threads,
        "type_k": settings.type_k,
        "type_v": settings.type_v,
        "n_gpu_layers": settings.gpu_layers,
        "flash_attn": _FLASH_ATTENTION.get(settings.flash_attention or ""),
    }


def _timed(result: CellResult, phase: str, speed: Summary) -> dict[str, Any]:
    timings = [measurement.timing for measurement in result.measurements]
    pairs = [(t.prefill_s, t.prefill_tps) if phase == "pp" else (t.decode_s, t.decode_tps) for t in timings]
    samples = [(round(seconds * 1e9), tps) for seconds, tps in pairs if seconds is not None and tps is not None]
    nanoseconds = summarize([ns for ns, _ in samples])
    return {
        "n_prompt": result.prompt_tokens if phase == "pp" else 0,
        "n_gen": result.decode_steps if phase == "tg" else 0,
        "n_depth": result.depth,
        "test_time": result.measurements[0].measured_at,
        "avg_ns": round(nanoseconds.mean) if nanoseconds else None,
        "stddev_ns": round(nanoseconds.sd) if nanoseconds else None,
        "avg_ts": speed.mean,
        "stddev_ts": speed.sd,
        "samples_ns": [ns for ns, _ in samples],
        "samples_ts": [tps for _, tps in samples],
    }


def _ours(result: CellResult, speed: Summary) -> dict[str, Any]:
    first = result.measurements[0]
    return {
        "model": result.model,
        "model_name": result.name,
        "demo": result.demo,
        "session": result.session,
        "cell": result.cell,
        "repetitions": speed.n,
        "median_ts": speed.median,
        "q1_ts": speed.q1,
        "q3_ts": speed.q3,
        "noisy": speed.noisy,
        "together": result.together,
        "warmup_runs": first.warmup_runs,
        "ttft_s": result.ttft_s.median if result.ttft_s else None,
        "load_s": first.load_s,
        "page_cache": first.page_cache,
        "file_bytes": first.file_bytes,
        "file_sha256": first.file_sha256,
        "engine": first.facts.engine,
        "engine_build": first.facts.engine_build,
        "device": first.settings.device,
        "n_threads_batch": first.settings.threads_batch,
        "n_ctx": first.settings.context,
        "extra_buffers": first.settings.extra_buffers,
        **memory_by_kind(result.engine_memory),
        "process_bytes": result.process_bytes,
        "process_peak_rss_bytes": result.peak_rss_bytes,
    }
