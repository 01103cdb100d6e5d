"""Cells as the rows that llama-bench would print for them, with our columns after its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slmtui.core.measurement import Environment, Measurement
from slmtui.core.results import CellResult
from slmtui.core.rows import model_type, of_cell
from slmtui.core.stats import Summary, quantile, summarize

FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
"""The values of llama.cpp's `enum llama_flash_attn_type`, which llama-bench prints."""


def bench_rows(results: Sequence[CellResult], environment: Environment) -> list[dict[str, Any]]:
    """The rows of `llama-bench -o json` for benchmark cells: one for prefill, with n_gen 0, one for decode.

    Names are llama-bench's where the meaning is the same; ours follow: median and quartiles, then the columns of
    `core.rows` that hold for the whole cell, then the median or peak of its repetitions' other figures. A missing
    figure is None; llama-bench's build_commit and build_number are not known here and left out.
    """
    rows = []
    for result in results:
        if result.kind != "bench":
            continue
        for phase, speed in (("pp", result.prefill_tps), ("tg", result.decode_tps)):
            if speed is not None:
                row = _subject(result, environment) | _timed(result, phase, speed) | _ours(result, speed)
                rows.append(row | of_cell(result.measurements[0], environment, without=row))
    return rows


def _subject(result: CellResult, environment: Environment) -> dict[str, Any]:
    first, machine = result.measurements[0], environment.machine
    facts, settings = first.facts, first.settings
    return {
        "cpu_info": machine.cpu.name,
        "gpu_info": ", ".join(gpu.name for gpu in machine.gpus),
        "backends": _backend(facts.device or settings.device),
        "model_filename": first.file,
        "model_type": model_type(facts),
        "model_size": facts.weights_bytes,
        "model_n_params": facts.parameters,
        "n_batch": settings.batch,
        "n_ubatch": settings.micro_batch,
        "n_threads": settings.threads,
        "type_k": settings.type_k,
        "type_v": settings.type_v,
        "n_gpu_layers": settings.gpu_layers,
        "flash_attn": FLASH_ATTENTION.get(settings.flash_attention or ""),
    }


def _backend(device: str | None) -> str | None:
    """llama-bench's name of what a device needs: CUDA for "CUDA0" and "cuda:0", CPU for "cpu"."""
    return device.partition("+")[0].partition(":")[0].rstrip("0123456789").upper() if device else None


def _timed(result: CellResult, phase: str, speed: Summary) -> dict[str, Any]:
    timings = [measurement.timing for measurement in result.measurements]
    pairs = [(t.prefill_s, t.prefill_tps) if phase == "pp" else (t.decode_s, t.decode_tps) for t in timings]
    samples = [(round(seconds * 1e9), tps) for seconds, tps in pairs if seconds is not None and tps is not None]
    nanoseconds = summarize([ns for ns, _ in samples])
    # Decode that goes on from the prompt begins at that depth, whatever the prompt's own was.
    before = result.prompt_tokens if phase == "tg" and result.after_prompt else 0
    return {
        "n_prompt": result.prompt_tokens if phase == "pp" else 0,
        "n_gen": result.decode_steps if phase == "tg" else 0,
        "n_depth": result.depth + before,
        "test_time": result.measurements[0].measured_at,
        "avg_ns": round(nanoseconds.mean) if nanoseconds else None,
        "stddev_ns": round(nanoseconds.sd) if nanoseconds else None,
        "avg_ts": speed.mean,
        "stddev_ts": speed.sd,
        "samples_ns": [ns for ns, _ in samples],
        "samples_ts": [tps for _, tps in samples],
    }


def _ours(result: CellResult, speed: Summary) -> dict[str, Any]:
    first, last = result.measurements[0], result.measurements[-1]
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
        "ttft_s": result.ttft_s.median if result.ttft_s else None,
        "engine_prefill_s": _median(result, lambda m: m.timing.engine_prefill_s),
        "engine_decode_s": _median(result, lambda m: m.timing.engine_decode_s),
        "depth_s": _median(result, lambda m: m.timing.depth_s),
        "wall_s": _median(result, lambda m: m.wall_s),
        "overhead_s": _median(result, lambda m: m.overhead_s),
        "mbu": result.mbu,
        "matmul_share": result.matmul_share,
        "energy_meter": result.energy_meter,
        "prefill_j_per_token": result.prefill_j_per_token,
        "decode_j_per_token": result.decode_j_per_token,
        "process_bytes": result.process_bytes,
        "process_peak_rss_bytes": result.peak_rss_bytes,
        "process_peak_pss_bytes": result.peak_pss_bytes,
        "process_peak_uss_bytes": result.peak_uss_bytes,
        "process_peak_footprint_bytes": result.peak_footprint_bytes,
        "process_peak_gpu_bytes": result.peak_gpu_bytes,
        "load_average": first.load_average,
        "load_average_after": last.load_average_after,
        "temperature_c": first.temperature_c,
        "temperature_after_c": last.temperature_after_c,
    }


def _median(result: CellResult, read: Callable[[Measurement], float | None]) -> float | None:
    values = [value for value in map(read, result.measurements) if value is not None]
    return quantile(values, 0.5) if values else None
