"""Measurements as rows of a table: one column a fact, with its type, its unit in its name, and llama-bench's name where
the meaning is the same. A missing figure is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from slmtui.core.ceiling import Ceiling, MatmulRate, matmul_share, mbu
from slmtui.core.events import Energy, MemoryPart, ModelFacts, ProcessMemory, Timing
from slmtui.core.machine import EngineState, Machine
from slmtui.core.measurement import Averages, Environment, Measurement, Settings
from slmtui.core.results import joules_per_token, memory_by_kind, peak
from slmtui.core.sampling import Sampling
from slmtui.core.stats import quantile

ColumnType = Literal["text", "whole", "real", "flag"]


class Subject:
    """One measurement taken apart, with empty values where it has none."""

    def __init__(self, measurement: Measurement, environment: Environment | None) -> None:
        self.m = measurement
        self.timing: Timing = measurement.timing
        self.facts: ModelFacts = measurement.facts
        self.settings: Settings = measurement.settings
        self.process = measurement.process_memory or ProcessMemory()
        self.sampling: Sampling | None = measurement.sampling
        self.energy: Energy | None = measurement.timing.energy
        self.ceiling = measurement.ceiling or Ceiling()
        self.averages = measurement.averages or Averages()
        self.environment = environment
        self.machine = environment.machine if environment else Machine()
        self.imported = environment.imported if environment else None

    def itl(self, share: float) -> float | None:
        """A quantile of the inter-token latencies."""
        latencies = self.timing.itl_s
        return quantile(latencies, share) if latencies else None

    def part(self, name: str) -> int | None:
        """Engine memory of one kind, by the name that exports use."""
        return memory_by_kind(self.m.engine_memory)[name]


class Column(msgspec.Struct, frozen=True):
    """One column of every export."""

    name: str
    type: ColumnType
    read: Callable[[Subject], Any]
    of_cell: bool = True
    """Whether all repetitions of a cell share the value, or nearly so."""


def row(measurement: Measurement, environment: Environment | None = None) -> dict[str, Any]:
    """One flat row; without an environment the machine's columns are None."""
    subject = Subject(measurement, environment)
    return {column.name: column.read(subject) for column in COLUMNS}


def of_cell(measurement: Measurement, environment: Environment | None, without: Iterable[str]) -> dict[str, Any]:
    """What holds for a whole cell, read from one of its repetitions, without the columns of these names."""
    subject, left_out = Subject(measurement, environment), set(without)
    return {column.name: column.read(subject) for column in COLUMNS if column.of_cell and column.name not in left_out}


def model_type(facts: ModelFacts) -> str | None:
    """Architecture and quantization in words: "llama Q8_0"."""
    return " ".join(filter(None, (facts.architecture, facts.quantization))) or None


def joined(words: Sequence[str]) -> str | None:
    """Several words in one cell; None when there are none."""
    return "; ".join(words) or None


def _text(name: str, read: Callable[[Subject], str | None], *, of_cell: bool = True) -> Column:
    return Column(name, "text", read, of_cell)


def _whole(name: str, read: Callable[[Subject], int | None], *, of_cell: bool = True) -> Column:
    return Column(name, "whole", read, of_cell)


def _real(name: str, read: Callable[[Subject], float | None], *, of_cell: bool = True) -> Column:
    return Column(name, "real", read, of_cell)


def _flag(name: str, read: Callable[[Subject], bool | None], *, of_cell: bool = True) -> Column:
    return Column(name, "flag", read, of_cell)


def _engine(engine: EngineState) -> str:
    name = " ".join(filter(None, (engine.name, engine.version or "not installed")))
    return f"{name} ({', '.join((*engine.devices, engine.trial))})"


def _rate(rate: MatmulRate) -> str:
    return " ".join(filter(None, (rate.type, rate.buffer, f"{rate.flops:.6g}")))


def _by_device(parts: tuple[MemoryPart, ...]) -> str | None:
    return joined([f"{part.kind} on {part.device}: {part.bytes}" for part in parts])


_IDENTITY = (
    _text("id", lambda s: s.m.id, of_cell=False),
    _text("session", lambda s: s.m.session),
    _text("source", lambda s: s.m.source or None),
    _text("kind", lambda s: s.m.kind),
    _text("measured_at", lambda s: s.m.measured_at, of_cell=False),
    _text("plan", lambda s: s.m.plan or None),
    _text("preset", lambda s: s.m.preset or None),
    _text("cell", lambda s: s.m.cell),
    _whole("repetition", lambda s: s.m.repetition, of_cell=False),
    _whole("warmup_runs", lambda s: s.m.warmup_runs),
    _flag("together", lambda s: s.m.together),
    _real("cool_down_s", lambda s: s.m.cool_down_s),
    _text("reason", lambda s: s.m.reason.value, of_cell=False),
    _flag("averaged", lambda s: s.m.averaged),
)

_MODEL = (
    _text("model", lambda s: s.m.model),
    _text("model_name", lambda s: s.m.name),
    _flag("demo", lambda s: s.m.demo),
    _text("model_filename", lambda s: s.m.file),
    _whole("file_bytes", lambda s: s.m.file_bytes),
    _text("file_sha256", lambda s: s.m.file_sha256),
    _text("model_type", lambda s: model_type(s.facts)),
    _text("architecture", lambda s: s.facts.architecture),
    _text("quantization", lambda s: s.facts.quantization),
    _whole("model_size", lambda s: s.facts.weights_bytes),
    _whole("model_n_params", lambda s: s.facts.parameters),
    _whole("n_layer", lambda s: s.facts.layers),
    _whole("n_embd", lambda s: s.facts.hidden_size),
    _whole("n_head", lambda s: s.facts.heads),
    _whole("n_head_kv", lambda s: s.facts.kv_heads),
    _whole("n_embd_head", lambda s: s.facts.head_size),
    _whole("n_vocab", lambda s: s.facts.vocabulary),
    _whole("n_ctx_train", lambda s: s.facts.trained_context),
    _whole("decode_read_bytes", lambda s: s.facts.decode_read_bytes),
    _whole("prefill_flops_per_token", lambda s: s.facts.prefill_flops),
    _whole("attention_flops", lambda s: s.facts.attention_flops),
    _text("weight_type", lambda s: s.facts.weight_type),
    _text("licence", lambda s: s.facts.licence),
)

_ENGINE = (
    _text("engine", lambda s: s.facts.engine),
    _text("engine_build", lambda s: s.facts.engine_build),
    _whole("n_threads", lambda s: s.settings.threads),
    _whole("n_threads_batch", lambda s: s.settings.threads_batch),
    _whole("n_batch", lambda s: s.settings.batch),
    _whole("n_ubatch", lambda s: s.settings.micro_batch),
    _whole("n_ctx", lambda s: s.settings.context),
    _text("type_k", lambda s: s.settings.type_k),
    _text("type_v", lambda s: s.settings.type_v),
    _text("flash_attn", lambda s: s.settings.flash_attention),
    _flag("flash_attn_used", lambda s: s.facts.flash_attention),
    _text("device", lambda s: s.settings.device),
    _whole("n_gpu_layers", lambda s: s.settings.gpu_layers),
    _whole("n_gpu_layers_used", lambda s: s.facts.gpu_layers),
    _text("split_mode", lambda s: s.settings.split_mode),
    _text("tensor_split", lambda s: s.settings.tensor_split),
    _flag("extra_buffers", lambda s: s.settings.extra_buffers),
    _text("other_settings", lambda s: s.settings.other),
    _real("load_s", lambda s: s.m.load_s),
    _text("page_cache", lambda s: s.m.page_cache),
)

_TEXT = (
    _text("template_source", lambda s: s.facts.template_source),
    _text("template_sha256", lambda s: s.m.template_sha256),
    _text("prompt_sha256", lambda s: s.m.prompt_sha256, of_cell=False),
    _real("temperature", lambda s: s.sampling.temperature if s.sampling else None),
    _whole("top_k", lambda s: s.sampling.top_k if s.sampling else None),
    _real("top_p", lambda s: s.sampling.top_p if s.sampling else None),
    _real("min_p", lambda s: s.sampling.min_p if s.sampling else None),
    _real("repeat_penalty", lambda s: s.sampling.repeat_penalty if s.sampling else None),
    _whole("repeat_last_n", lambda s: s.sampling.repeat_last_n if s.sampling else None),
    _whole("seed", lambda s: s.sampling.seed if s.sampling else None),
    _whole("max_tokens", lambda s: s.sampling.max_tokens if s.sampling else None),
)

_SPEED = (
    _whole("n_prompt", lambda s: s.timing.prompt_tokens, of_cell=False),
    _whole("n_gen", lambda s: s.timing.generated_tokens, of_cell=False),
    _whole("n_depth", lambda s: s.timing.depth, of_cell=False),
    _whole("decode_steps", lambda s: s.timing.decode_steps, of_cell=False),
    _flag("after_prompt", lambda s: s.m.after_prompt),
    _real("depth_s", lambda s: s.timing.depth_s, of_cell=False),
    _real("prefill_s", lambda s: s.timing.prefill_s, of_cell=False),
    _real("prefill_tps", lambda s: s.timing.prefill_tps, of_cell=False),
    _real("ttft_s", lambda s: s.timing.ttft_s, of_cell=False),
    _real("decode_s", lambda s: s.timing.decode_s, of_cell=False),
    _real("decode_tps", lambda s: s.timing.decode_tps, of_cell=False),
    _real("engine_prefill_s", lambda s: s.timing.engine_prefill_s, of_cell=False),
    _real("engine_decode_s", lambda s: s.timing.engine_decode_s, of_cell=False),
    _real("itl_p50_s", lambda s: s.itl(0.50), of_cell=False),
    _real("itl_p95_s", lambda s: s.itl(0.95), of_cell=False),
    _real("itl_max_s", lambda s: s.itl(1.0), of_cell=False),
    _real("wall_s", lambda s: s.m.wall_s, of_cell=False),
    _real("overhead_s", lambda s: s.m.overhead_s, of_cell=False),
    _real("average_tps", lambda s: s.averages.mean_tps, of_cell=False),
    _real("average_sd_tps", lambda s: s.averages.sd_tps, of_cell=False),
    _real("average_sd_s", lambda s: s.averages.sd_s, of_cell=False),
    _whole("average_repetitions", lambda s: s.averages.repetitions, of_cell=False),
)

_CEILING = (
    _real("mbu", lambda s: mbu(s.m), of_cell=False),
    _real("matmul_share", lambda s: matmul_share(s.m), of_cell=False),
    _real("ceiling_read_bytes_per_s", lambda s: s.ceiling.read_bytes_per_s),
    _text("ceiling_reader", lambda s: s.ceiling.reader),
    _whole("ceiling_buffer_bytes", lambda s: s.ceiling.buffer_bytes),
    _text("ceiling_matmul_flops", lambda s: joined([_rate(rate) for rate in s.ceiling.matmul])),
    _whole("ceiling_threads", lambda s: s.ceiling.threads),
    _real("ceiling_cpu_share", lambda s: s.ceiling.cpu_share),
    _text("ceiling_engine", lambda s: s.ceiling.engine),
    _text("ceiling_measured_at", lambda s: s.ceiling.measured_at),
    _text("ceiling_notes", lambda s: joined(s.ceiling.notes)),
)

_ENERGY = (
    _text("energy_meter", lambda s: s.energy.meter if s.energy else None),
    _real("prefill_j", lambda s: s.energy.prefill_j if s.energy else None, of_cell=False),
    _real("decode_j", lambda s: s.energy.decode_j if s.energy else None, of_cell=False),
    _real("prefill_j_per_token", lambda s: joules_per_token(s.m)[0], of_cell=False),
    _real("decode_j_per_token", lambda s: joules_per_token(s.m)[1], of_cell=False),
)

_MEMORY = (
    _whole("weights_bytes", lambda s: s.part("weights_bytes")),
    _whole("kv_cache_bytes", lambda s: s.part("kv_cache_bytes")),
    _whole("recurrent_state_bytes", lambda s: s.part("recurrent_state_bytes")),
    _whole("compute_bytes", lambda s: s.part("compute_bytes")),
    _whole("output_bytes", lambda s: s.part("output_bytes")),
    _text("engine_memory_by_device", lambda s: _by_device(s.m.engine_memory)),
    _whole("process_rss_bytes", lambda s: s.process.rss_bytes, of_cell=False),
    _whole("process_pss_bytes", lambda s: s.process.pss_bytes, of_cell=False),
    _whole("process_uss_bytes", lambda s: s.process.uss_bytes, of_cell=False),
    _whole("process_footprint_bytes", lambda s: s.process.footprint_bytes, of_cell=False),
    _whole("process_gpu_bytes", lambda s: s.process.gpu_bytes, of_cell=False),
    _whole("process_peak_rss_bytes", lambda s: s.m.peak_rss_bytes, of_cell=False),
    _whole("process_peak_pss_bytes", lambda s: peak(s.m, lambda memory: memory.pss_bytes), of_cell=False),
    _whole("process_peak_uss_bytes", lambda s: peak(s.m, lambda memory: memory.uss_bytes), of_cell=False),
    _whole("process_peak_footprint_bytes", lambda s: peak(s.m, lambda memory: memory.footprint_bytes), of_cell=False),
    _whole("process_peak_gpu_bytes", lambda s: peak(s.m, lambda memory: memory.gpu_bytes), of_cell=False),
    _whole("allocator_active_bytes", lambda s: s.m.allocator.active_bytes if s.m.allocator else None, of_cell=False),
    _whole("allocator_cache_bytes", lambda s: s.m.allocator.cache_bytes if s.m.allocator else None, of_cell=False),
    _whole("allocator_peak_bytes", lambda s: s.m.allocator.peak_bytes if s.m.allocator else None, of_cell=False),
)

_SURROUNDINGS = (
    _real("load_average", lambda s: s.m.load_average, of_cell=False),
    _real("load_average_after", lambda s: s.m.load_average_after, of_cell=False),
    _real("temperature_c", lambda s: s.m.temperature_c, of_cell=False),
    _real("temperature_after_c", lambda s: s.m.temperature_after_c, of_cell=False),
    _text("power", lambda s: s.m.power),
    _text("governor", lambda s: s.m.governor),
)

_MACHINE = (
    _text("slmtui_version", lambda s: (s.environment.slmtui or None) if s.environment else None),
    _text("python_version", lambda s: (s.environment.python or None) if s.environment else None),
    _text("system", lambda s: s.machine.system),
    _text("product", lambda s: s.machine.product),
    _text("cpu_info", lambda s: s.machine.cpu.name or s.machine.apple_chip),
    _text("cpu_architecture", lambda s: s.machine.cpu.architecture),
    _whole("cpu_physical_cores", lambda s: s.machine.cpu.physical_cores),
    _whole("cpu_logical_cores", lambda s: s.machine.cpu.logical_cores),
    _whole("cpu_performance_cores", lambda s: s.machine.cpu.performance_cores),
    _whole("cpu_usable_cores", lambda s: s.machine.cpu.usable_cores),
    _text("instruction_sets", lambda s: joined(s.machine.cpu.instruction_sets)),
    _whole("memory_total_bytes", lambda s: s.machine.memory.total_bytes),
    _text("memory_limited_by", lambda s: s.machine.memory.limited_by),
    _text("gpu_info", lambda s: joined([gpu.name for gpu in s.machine.gpus])),
    _text("gpu_driver", lambda s: joined([gpu.driver for gpu in s.machine.gpus if gpu.driver])),
    _text("gpu_cuda", lambda s: joined([gpu.cuda for gpu in s.machine.gpus if gpu.cuda])),
    _text("gpu_memory", lambda s: joined([str(gpu.memory_total_bytes or "unknown") for gpu in s.machine.gpus])),
    _text("gpu_compute", lambda s: joined([g.compute_capability for g in s.machine.gpus if g.compute_capability])),
    _whole("gpu_memory_limit_bytes", lambda s: s.machine.gpu_memory_limit_bytes),
    _text("cuda_visible_devices", lambda s: s.machine.cuda_visible_devices),
    _text("engines", lambda s: joined([_engine(engine) for engine in s.machine.engines])),
    _text("imported_from", lambda s: s.imported.file if s.imported else None),
    _text("imported_sha256", lambda s: s.imported.sha256 if s.imported else None),
    _text("imported_at", lambda s: s.imported.at if s.imported else None),
)

COLUMNS = (
    *_IDENTITY,
    *_MODEL,
    *_SPEED,
    *_ENGINE,
    *_TEXT,
    *_CEILING,
    *_ENERGY,
    *_MEMORY,
    *_SURROUNDINGS,
    *_MACHINE,
)
"""Every column, in the order of the exports."""
