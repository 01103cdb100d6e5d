"""Cells: the repetitions of a measurement summarized."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import msgspec

from slmtui.core.ceiling import matmul_share, mbu
from slmtui.core.events import MemoryKind, MemoryPart, ProcessMemory, StopReason, total_bytes
from slmtui.core.measurement import Kind, Measurement
from slmtui.core.stats import Summary, quantile, summarize

MEMORY_COLUMNS: Mapping[str, MemoryKind] = {
    "weights_bytes": "weights",
    "kv_cache_bytes": "KV cache",
    "recurrent_state_bytes": "recurrent state",
    "compute_bytes": "compute",
    "output_bytes": "output",
}
"""Names of the kinds of engine memory in exports."""


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
    peak_pss_bytes: int | None = None
    """Largest of the samples since the worker started, about four a second; between two samples nobody looks."""
    peak_uss_bytes: int | None = None
    peak_footprint_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    mbu: float | None = None
    """Bandwidth use: median share (0 to 1) of the machine's read bandwidth that decode used."""
    matmul_share: float | None = None
    """Median share (0 to 1) of the machine's matrix rate that prefill reached."""
    energy_meter: str | None = None
    """The meter that counted; None where none can be read without privileges."""
    prefill_j_per_token: float | None = None
    """Median joules for one prompt token."""
    decode_j_per_token: float | None = None
    """Median joules for one decode step."""
    after_prompt: bool = False
    """Whether decode went on from the prompt; otherwise both phases began at `depth`."""
    plan: str = ""
    """Id of the plan that it belongs to; empty for a chat."""
    source: str = ""
    """Which program measured it and the file it was imported from; empty for our own."""
    averaged: bool = False
    """Whether there is only another program's mean and standard deviation: no median, no quartiles."""
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
        between = "+" if self.after_prompt else " "
        return shape_label(self.prompt_tokens, self.decode_steps, self.depth, between)


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


def by_phase(results: Sequence[CellResult]) -> tuple[CellResult, ...]:
    """Prefill and decode of each benchmark cell as two cells, as llama-bench has them.

    A batch counts as far as it matters: it is never larger than the prompt, and decode has none. A cell whose decode
    went on from its prompt stays whole, and so does a chat.
    """
    apart: list[Measurement] = []
    for result in results:
        whole = result.kind == "chat" or result.after_prompt
        for measurement in result.measurements:
            apart += [measurement] if whole else _halves(measurement)
    return cell_results(apart)


def shape_label(prompt_tokens: int, decode_steps: int, depth: int = 0, between: str = "+") -> str:
    """A test in llama-bench's words: `pp512`, `tg128`, `pp512+tg128 @ d4096`."""
    parts = [f"{prefix}{tokens}" for prefix, tokens in (("pp", prompt_tokens), ("tg", decode_steps)) if tokens]
    label = between.join(parts) or "nothing"
    return f"{label} @ d{depth}" if depth else label


def memory_by_kind(parts: tuple[MemoryPart, ...]) -> dict[str, int | None]:
    """Bytes of each kind under the names of `MEMORY_COLUMNS`; None where the engine named no such buffer."""
    present = {part.kind for part in parts}
    return {name: total_bytes(parts, kind) if kind in present else None for name, kind in MEMORY_COLUMNS.items()}


def peak(measurement: Measurement, read: Callable[[ProcessMemory], int | None]) -> int | None:
    """The largest value of one memory figure since the worker started; None where it was never read."""
    seen = [sample.memory for sample in measurement.memory_samples]
    seen += [memory for memory in (measurement.process_memory, measurement.peak_memory) if memory is not None]
    return _largest([read(memory) for memory in seen])


def joules_per_token(measurement: Measurement) -> tuple[float | None, float | None]:
    """Joules for one prompt token and for one decode step; None where no meter counted."""
    timing, energy = measurement.timing, measurement.timing.energy
    if energy is None:
        return None, None
    return _per_token(energy.prefill_j, timing.prompt_tokens), _per_token(energy.decode_j, timing.decode_steps)


def _halves(measurement: Measurement) -> list[Measurement]:
    timing, settings = measurement.timing, measurement.settings
    halves = []
    if timing.prompt_tokens:
        prefill = msgspec.structs.replace(
            timing, generated_tokens=0, decode_steps=0, decode_s=None, engine_decode_s=None, token_at_s=()
        )
        largest = msgspec.structs.replace(
            settings,
            batch=settings.batch and min(settings.batch, timing.prompt_tokens),
            micro_batch=settings.micro_batch and min(settings.micro_batch, timing.prompt_tokens),
        )
        halves.append(msgspec.structs.replace(measurement, timing=prefill, settings=largest))
    if timing.decode_steps:
        decode = msgspec.structs.replace(timing, prompt_tokens=0, prefill_s=None, engine_prefill_s=None, ttft_s=None)
        none = msgspec.structs.replace(settings, batch=None, micro_batch=None)
        halves.append(msgspec.structs.replace(measurement, timing=decode, settings=none))
    return halves


def _key(measurement: Measurement) -> Hashable:
    timing = measurement.timing
    shape = (timing.prompt_tokens, timing.decode_steps, timing.depth, _after_prompt(measurement))
    planned = measurement.plan and measurement.cell  # versions do not all record the same settings of a cell
    return (
        measurement.session,
        measurement.kind,
        measurement.model,
        measurement.cell,
        measurement.together,
        measurement.settings.gpu_layers if planned else measurement.settings,
        measurement.plan,
        measurement.source,
        measurement.averaged,
        shape if measurement.kind == "bench" else None,
    )


def _after_prompt(measurement: Measurement) -> bool:
    timing = measurement.timing
    return measurement.after_prompt and timing.prompt_tokens > 0 and timing.decode_steps > 0


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
        prefill_tps=_speed(group, [m.timing.prefill_tps for m in group]),
        decode_tps=_speed(group, [m.timing.decode_tps for m in group]),
        ttft_s=summarize([m.timing.ttft_s for m in group]),
        engine_memory=last.engine_memory,
        process_bytes=_largest(charged),
        peak_rss_bytes=_largest([m.peak_rss_bytes for m in group]),
        peak_pss_bytes=_largest([peak(m, lambda memory: memory.pss_bytes) for m in group]),
        peak_uss_bytes=_largest([peak(m, lambda memory: memory.uss_bytes) for m in group]),
        peak_footprint_bytes=_largest([peak(m, lambda memory: memory.footprint_bytes) for m in group]),
        peak_gpu_bytes=_largest([peak(m, lambda memory: memory.gpu_bytes) for m in group]),
        mbu=_median([mbu(m) for m in group]),
        matmul_share=_median([matmul_share(m) for m in group]),
        energy_meter=next((m.timing.energy.meter for m in group if m.timing.energy), None),
        prefill_j_per_token=_median([joules_per_token(m)[0] for m in group]),
        decode_j_per_token=_median([joules_per_token(m)[1] for m in group]),
        after_prompt=_after_prompt(first),
        plan=first.plan,
        source=first.source,
        averaged=first.averaged,
        measurements=tuple(group),
    )


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _speed(group: list[Measurement], values: Sequence[float | None]) -> Summary | None:
    """The speed of a cell; of another program's averages, its mean (as the centre) and standard deviation."""
    summary, averages = summarize(values), group[0].averages
    if not group[0].averaged or summary is None or averages is None or averages.mean_tps is None:
        return summary
    mean, sd = averages.mean_tps, averages.sd_tps or 0.0
    return Summary(averages.repetitions or summary.n, mean, mean, mean, mean, sd, mean, mean)


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return quantile(present, 0.5) if present else None


def _per_token(joules: float | None, tokens: int) -> float | None:
    return joules / tokens if joules is not None and tokens else None
