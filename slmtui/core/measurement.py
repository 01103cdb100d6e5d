"""Measurements as they are stored: one record a repetition. `core.rows` makes them rows of a table."""

from __future__ import annotations

from typing import Literal

import msgspec

from slmtui.core.ceiling import Ceiling
from slmtui.core.events import EngineMemory, MemoryPart, ModelFacts, ProcessMemory, StopReason, Timing
from slmtui.core.machine import Machine
from slmtui.core.sampling import Sampling

Kind = Literal["bench", "chat", "probe"]


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Where the measurements of a session came from that another program, or slmtui elsewhere, has made."""

    program: str
    """Which program measured, with its version: "llama-bench 3b15924d (6789)"."""
    file: str
    """Name of the imported file, without its folder."""
    sha256: str
    """Hash of the file's content, by which it is known again."""
    at: str
    """When it was imported; ISO 8601 in UTC."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounded a measurement; None where the system does not say."""

    slmtui: str
    """Version of the slmtui that measured; empty when another program did."""
    python: str
    """Version of its Python; empty when another program measured."""
    machine: Machine = Machine()
    imported: Imported | None = None
    """None when it was measured here."""

    @property
    def program(self) -> str:
        """Which program measured, with its version."""
        return self.imported.program if self.imported else f"slmtui {self.slmtui}"


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
    answers: int = 0
    """How many answers of probes it holds."""
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
    """As asked for, -1 for all; for as many as fit, how many did."""
    split_mode: str | None = None
    """How several GPUs share the model: "layer", "row", "none"."""
    tensor_split: str | None = None
    """Each GPU's share: "3/1"; None for shares by free memory."""
    extra_buffers: bool | None = None
    other: str | None = None
    """Settings of another program that have no field here: "n_cpu_moe=4 split_mode=row"."""


class Averages(msgspec.Struct, frozen=True, kw_only=True):
    """What another program says of all its repetitions together, where it does not say what each one took."""

    mean_tps: float | None = None
    """Mean of the repetitions' speeds, which is not tokens over mean time."""
    sd_tps: float | None = None
    sd_s: float | None = None
    """Standard deviation of the time of the measured phase."""
    repetitions: int | None = None
    """Of how many; None when the file does not say."""


class MemorySample(msgspec.Struct, frozen=True, kw_only=True):
    """The worker's memory at one moment of a measurement."""

    at_s: float
    """Since the request began."""
    memory: ProcessMemory


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition of a benchmark, one answer of a chat, or one batch of a probe."""

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
    after_prompt: bool = False
    """Whether a benchmark's decode went on from the prompt; otherwise both phases began at the depth."""
    timing: Timing
    reason: StopReason = StopReason.COMPLETED
    load_s: float | None = None
    page_cache: str = "unknown"
    engine_memory: tuple[MemoryPart, ...] = ()
    process_memory: ProcessMemory | None = None
    """At the end of the measurement."""
    peak_rss_bytes: int | None = None
    """The largest resident size that the worker ever had, by the system's own account."""
    peak_memory: ProcessMemory | None = None
    allocator: EngineMemory | None = None
    """The engine's own account of its memory after the request, where it keeps one (MLX)."""
    """The largest of each figure since the worker started; all but RSS are those of the samples."""
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
    preset: str = ""
    """Name of the plan's preset: "standard"."""
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
    averages: Averages | None = None
    """Mean and spread in the other program's words, where the measurement is averaged."""

    @property
    def overhead_s(self) -> float | None:
        """What the tool itself cost: `wall_s` minus filling the depth, prefill and decode; None without `wall_s`.

        It holds the way to the worker and back, clearing the cache, drawing token ids, and in a chat tokenizing and
        sampling.
        """
        if self.wall_s is None:
            return None
        timing = self.timing
        return self.wall_s - sum(part or 0.0 for part in (timing.depth_s, timing.prefill_s, timing.decode_s))
