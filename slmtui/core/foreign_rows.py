"""llama-bench's rows, and ours in its format, as measurements: a sample becomes one, a mean without samples one too.

Field names are those of llama-bench's `test::get_fields` from 2023 (one flag a backend, `f16_kv`) to 2026 (`backends`,
`repack`, `fit_target`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PureWindowsPath
from typing import Literal

import msgspec

from slmtui.core.bench_rows import FLASH_ATTENTION
from slmtui.core.events import MemoryPart, ModelFacts, Timing
from slmtui.core.foreign import ForeignError, ForeignRow
from slmtui.core.machine import Cpu, Gpu, Machine
from slmtui.core.measurement import Averages, Measurement, Settings
from slmtui.core.results import MEMORY_COLUMNS

_OLD_BACKENDS = ("cuda", "opencl", "vulkan", "kompute", "metal", "sycl", "rpc", "gpu_blas", "blas")
# What llama-bench does when it is asked for nothing; anything else is told with the measurement.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "cpu_mask": ("0x0",),
    "cpu_strict": ("0", "False"),
    "poll": ("50",),
    "n_cpu_moe": ("0",),
    "main_gpu": ("0",),
    "no_kv_offload": ("0", "False"),
    "devices": ("auto", "none"),
    "tensor_buft_overrides": ("none",),
    "use_mmap": ("1", "True"),
    "use_direct_io": ("0", "False"),
    "embeddings": ("0", "False"),
    "no_op_offload": ("0", "False"),
    "no_host": ("0", "False"),
    "load_mode": ("auto",),
    "lazy_mode": ("auto",),
    "fit_target": ("0",),
    "fit_min_ctx": ("0",),
}
_NO_SHARES = (None, "0.00", "0")
_VENDORS: Mapping[str, Literal["NVIDIA", "Apple", "AMD", "Intel"]] = {
    "nvidia": "NVIDIA",
    "geforce": "NVIDIA",
    "tesla": "NVIDIA",
    "apple": "Apple",
    "amd": "AMD",
    "radeon": "AMD",
    "intel": "Intel",
}


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says, without ids and session."""

    program: str
    """Which program measured, with its version; the first one of a file in which several did."""
    slmtui: str
    """Version of slmtui, where the rows are ours."""
    python: str
    machine: Machine
    measurements: tuple[Measurement, ...]
    combined: int
    """Rows of one figure for prompt and generation together (-pg), which are left out."""


def readings(rows: Sequence[ForeignRow], file: str) -> Readings:
    """Every row of a file as measurements; `file` is its name.

    Raises:
        ForeignError: a row is wrong, or the rows come from different machines, or none can be used.
    """
    first = rows[0]
    machine = _machine(first)
    measurements: list[Measurement] = []
    combined = 0
    for number, row in enumerate(rows):
        if _machine(row) != machine:
            raise ForeignError(f"{row.where}: it was measured on another machine than {first.where}; split the file")
        if row.whole("n_prompt") and row.whole("n_gen"):
            combined += 1
        else:
            measurements += _measurements(row, f"{number + 1}", f"{_program(row)}, {file}")
    if not measurements:
        raise ForeignError(
            f"all of its {combined} rows measure prompt and generation as one figure (-pg), which can't be told apart"
        )
    return Readings(
        program=_program(first),
        slmtui=first.text("slmtui_version") or "",
        python=first.text("python_version") or "",
        machine=machine,
        measurements=tuple(measurements),
        combined=combined,
    )


def _measurements(row: ForeignRow, cell: str, source: str) -> list[Measurement]:
    prompt, generated = row.whole("n_prompt") or 0, row.whole("n_gen") or 0
    if not prompt and not generated:
        raise ForeignError(f"{row.where}: n_prompt and n_gen are both 0, so it measures nothing")
    base = _base(row, cell, source)
    samples = row.wholes("samples_ns")
    if samples:
        return [
            msgspec.structs.replace(base, repetition=number, timing=_timing(row, nanoseconds / 1e9))
            for number, nanoseconds in enumerate(samples)
        ]
    average = row.whole("avg_ns", lowest=1)
    if average is None:
        raise ForeignError(f"{row.where}: it has neither samples_ns nor avg_ns, so there is no time in it")
    deviation = row.whole("stddev_ns")
    averages = Averages(
        mean_tps=row.real("avg_ts"),
        sd_tps=row.real("stddev_ts"),
        sd_s=None if deviation is None else deviation / 1e9,
        repetitions=row.whole("repetitions", lowest=1),
    )
    return [msgspec.structs.replace(base, timing=_timing(row, average / 1e9), averaged=True, averages=averages)]


def _timing(row: ForeignRow, seconds: float) -> Timing:
    prompt, generated = row.whole("n_prompt") or 0, row.whole("n_gen") or 0
    depth = row.whole("n_depth") or 0
    if prompt:
        return Timing(depth=depth, prompt_tokens=prompt, prefill_s=seconds)
    return Timing(depth=depth, generated_tokens=generated, decode_steps=generated, decode_s=seconds)


def _base(row: ForeignRow, cell: str, source: str) -> Measurement:
    file = row.text("model_filename") or ""
    return Measurement(
        id="",
        session="",
        kind="bench",
        measured_at=_moment(row),
        model=row.text("model") or file,
        name=row.text("model_name") or PureWindowsPath(file).stem or file,
        file=file,
        file_bytes=row.whole("file_bytes"),
        file_sha256=row.text("file_sha256"),
        demo=row.flag("demo") or False,
        facts=_facts(row),
        settings=_settings(row),
        cell=cell,
        warmup_runs=row.whole("warmup_runs"),
        together=row.flag("together") or False,
        timing=Timing(),
        load_s=row.real("load_s"),
        page_cache=row.text("page_cache") or "unknown",
        engine_memory=_engine_memory(row),
        power=row.text("power"),
        governor=row.text("governor"),
        preset=row.text("preset") or "",
        source=source,
    )


def _facts(row: ForeignRow) -> ModelFacts:
    words = row.text("model_type")
    # "llama 7B Q4_0": architecture, size, quantization; a model without a size that llama.cpp knows has "?B".
    found = re.fullmatch(r"(\S+) (?:\S*(?:\d[KMBT]\S*|\?B?|Small|Medium|Large|XL) )?(.+)", words or "")
    commit, number = row.text("build_commit"), row.whole("build_number")
    build = " ".join(filter(None, (None if number is None else f"b{number}", f"({commit})" if commit else None)))
    return ModelFacts(
        name=words,
        architecture=row.text("architecture") or (found[1] if found else None),
        quantization=row.text("quantization") or (_quantization(found[2]) if found else None),
        parameters=row.whole("model_n_params"),
        weights_bytes=row.whole("model_size"),
        engine=row.text("engine") or (f"llama.cpp {build}" if build else None),
        engine_build=row.text("engine_build"),
        flash_attention=row.flag("flash_attn_used"),
    )


def _quantization(words: str) -> str:
    """llama.cpp's words for a file type as the usual label: "Q4_K - Medium" is Q4_K_M, "all F32" is F32."""
    label = words.removesuffix(" (guessed)").removeprefix("all ")
    label = re.sub(r" - (S)mall$| - (M)edium$| - (L)arge$", lambda size: f"_{size[1] or size[2] or size[3]}", label)
    return re.sub(r" - [\d.]+ bpw.*$", "", label)


def _settings(row: ForeignRow) -> Settings:
    threads, device = row.whole("n_threads"), _device(row)
    half = row.flag("f16_kv")
    kv_type = None if half is None else "f16" if half else "f32"
    # A build without a GPU offloads nothing, whatever it was asked for.
    layers = 0 if device in ("cpu", "blas", "cpu,blas", "blas,cpu") else row.whole("n_gpu_layers", lowest=-1)
    shares = row.text("tensor_split")
    return Settings(
        threads=threads,
        threads_batch=row.whole("n_threads_batch") or threads,
        batch=row.whole("n_batch"),
        micro_batch=row.whole("n_ubatch"),
        context=row.whole("n_ctx"),
        type_k=row.text("type_k") or kv_type,
        type_v=row.text("type_v") or kv_type,
        flash_attention=_flash_attention(row),
        device=row.text("device") or device,
        gpu_layers=layers,
        split_mode=row.text("split_mode") if layers else None,
        tensor_split=None if shares in _NO_SHARES else shares,
        extra_buffers=row.flag("repack") if "repack" in row.fields else row.flag("extra_buffers"),
        other=row.text("other_settings") or _unusual(row),
    )


def _device(row: ForeignRow) -> str | None:
    backends = row.text("backends")
    if backends is not None:
        return backends.lower().replace(" ", "")
    known = [name for name in _OLD_BACKENDS if name in row.fields]
    on = [name for name in known if row.flag(name)]
    return ",".join(on or ["cpu"]) if known else None


def _flash_attention(row: ForeignRow) -> str | None:
    value = row.fields.get("flash_attn")
    if isinstance(value, str) and value.strip() in FLASH_ATTENTION:
        return value.strip()
    if str(value).strip() == "-1":
        return "auto"
    on = row.flag("flash_attn")
    return None if on is None else "on" if on else "off"


def _unusual(row: ForeignRow) -> str | None:
    told = []
    for name, usual in _USUAL.items():
        value = str(row.fields.get(name, "")).strip()
        if value and value not in usual:
            told.append(f"{name}={ForeignRow(row.where, {name: value}).text(name)}")
    return " ".join(told) or None


def _engine_memory(row: ForeignRow) -> tuple[MemoryPart, ...]:
    device = row.text("device") or ""
    parts: list[MemoryPart] = []
    for name, kind in MEMORY_COLUMNS.items():
        size = row.whole(name)
        if size is not None:
            parts.append(MemoryPart(kind, device, size))
    return tuple(parts)


def _machine(row: ForeignRow) -> Machine:
    names = [name.strip() for name in re.split(r"[;,] ", row.text("gpu_info") or "") if name.strip()]
    return Machine(
        cpu=Cpu(
            name=row.text("cpu_info"),
            architecture=row.text("cpu_architecture"),
            physical_cores=row.whole("cpu_physical_cores"),
            logical_cores=row.whole("cpu_logical_cores"),
            instruction_sets=tuple(filter(None, (row.text("instruction_sets") or "").split("; "))),
        ),
        gpus=tuple(
            Gpu(index=index, name=name, vendor=_vendor(name), source="imported") for index, name in enumerate(names)
        ),
        system=row.text("system"),
        product=row.text("product"),
    )


def _vendor(name: str) -> Literal["NVIDIA", "Apple", "AMD", "Intel", "unknown"]:
    lower = name.lower()
    return next((vendor for word, vendor in _VENDORS.items() if word in lower), "unknown")


def _program(row: ForeignRow) -> str:
    if version := row.text("slmtui_version"):
        return f"slmtui {version}"
    number = row.whole("build_number")
    build = (row.text("build_commit"), None if number is None else f"({number})")
    return " ".join(filter(None, ("llama-bench", *build)))


def _moment(row: ForeignRow) -> str:
    try:
        moment = datetime.fromisoformat(row.text("test_time") or "")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        row.refuse("test_time", "is no date and time")
    return moment.isoformat(timespec="milliseconds")
