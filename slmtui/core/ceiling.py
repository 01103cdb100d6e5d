"""The machine's ceiling: how fast it can read memory and multiply matrices, and how much of that a model uses.

Bandwidth use is that of Databricks, "LLM Inference Performance Engineering: Best Practices" (2023): bytes that a decode
step must read, times steps per second, over the bandwidth. There the peak is the data sheet's, here it is measured. The
share of the matrix-multiply rate is the model FLOPs utilization of PaLM (Chowdhery et al. 2022, appendix B) with the
engine's own measured rate as the peak; of attention only what a causal mask leaves counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from slmtui.core import text
from slmtui.core.events import MAIN_MEMORY, ModelFacts, total_bytes

if TYPE_CHECKING:
    from slmtui.core.measurement import Measurement


UNDISTURBED_SHARE = 0.85
"""Idle machines give 0.93 to 1, one busy neighbour on two cores 0.5."""


class StepRate(msgspec.Struct, frozen=True):
    """How fast one token is multiplied with weights, as decode does it."""

    weights_bytes: int
    """How many were read for the token; a few of them stay in the processor's cache, many do not."""
    bytes_per_s: float
    """Of weights as stored in a file."""


class MatmulRate(msgspec.Struct, frozen=True, kw_only=True):
    """Speed of the engine's matrix multiplication with weights of one type."""

    type: str
    """The weights' type in llama.cpp's words: "f16", "q8_0", "q4_K"."""
    flops: float
    """Floating-point operations per second, a multiplication and an addition counting as two."""
    buffer: str | None = None
    """The engine's buffer type that held the weights: "CPU", "CPU_REPACK", "AMX"."""
    steps: tuple[StepRate, ...] = ()
    """Of one token instead of many, from few weights to many; empty where it was not measured."""


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine itself can do, measured on all cores."""

    read_bytes_per_s: float | None = None
    """Read bandwidth of main memory."""
    reader: str | None = None
    """The function that read fastest: "memcmp"."""
    buffer_bytes: int | None = None
    """How much memory was read in one pass."""
    matmul: tuple[MatmulRate, ...] = ()
    threads: int | None = None
    engine: str | None = None
    """Engine and version whose matrix multiplication was measured."""
    measured_at: str | None = None
    """ISO 8601 in UTC."""
    cpu_share: float | None = None
    """Processor time that the threads got, over what their cores have: the smaller one of both parts."""
    notes: tuple[str, ...] = ()
    """Sentences about what is missing or doubtful, and why."""

    @property
    def disturbed(self) -> bool:
        """Whether other programs took so much of the cores that the figures are too low."""
        return self.cpu_share is not None and self.cpu_share < UNDISTURBED_SHARE

    def rate(self, weight_type: str | None) -> float | None:
        """Floating-point operations per second with weights of this type; None when it was not measured."""
        return next((rate.flops for rate in self.matmul if rate.type == weight_type), None)


def decode_bytes(facts: ModelFacts, kv_bytes_per_token: float | None, depth: float) -> float | None:
    """Bytes that one decode step must read while it looks at `depth` tokens; None when a part is unknown."""
    if facts.decode_read_bytes is None or (kv_bytes_per_token is None and depth > 0):
        return None
    return facts.decode_read_bytes + (kv_bytes_per_token or 0.0) * depth


def mbu(measurement: Measurement) -> float | None:
    """Bandwidth use of decode: 1 is all that the machine can read, more comes from the processor's cache.

    A token's share of the KV cache is the engine's whole cache over the context, which for layers with a sliding
    window is their mean; a recurrent state is read whole at each step. None without decode, facts or a measured
    bandwidth, and with layers on a GPU, whose memory is another.
    """
    timing, ceiling = measurement.timing, _ceiling(measurement)
    if ceiling is None or not ceiling.read_bytes_per_s or timing.decode_tps is None:
        return None
    start = timing.depth + (timing.prompt_tokens if measurement.after_prompt or measurement.kind == "chat" else 0)
    seen = start + (timing.decode_steps + 1) / 2  # a step looks at its own token too: start + 1 up to start + steps
    needed = decode_bytes(measurement.facts, _kv_bytes_per_token(measurement), seen)
    if needed is None:
        return None
    needed += total_bytes(measurement.engine_memory, "recurrent state")
    return needed * timing.decode_tps / ceiling.read_bytes_per_s


def matmul_share(measurement: Measurement) -> float | None:
    """Share of the measured matrix-multiply rate, with weights of the model's main type, that prefill reaches.

    Attention counts with what each token looks at, where the model's layers look at everything before them. None
    without prefill, facts or a rate for the type, and with layers on a GPU.
    """
    timing, facts, ceiling = measurement.timing, measurement.facts, _ceiling(measurement)
    rate = ceiling.rate(facts.weight_type) if ceiling is not None else None
    if not rate or facts.prefill_flops is None or timing.prefill_tps is None:
        return None
    seen = timing.depth + (timing.prompt_tokens + 1) / 2
    return (facts.prefill_flops + (facts.attention_flops or 0) * seen) * timing.prefill_tps / rate


def use_words(share: float | None) -> str:
    """Bandwidth use as a percentage; over 100 % with the reason."""
    words = text.share(share)
    return f"{words}, from the processor's cache" if share is not None and share > 1 else words


def describe(ceiling: Ceiling | None) -> list[tuple[str, str]]:
    """Label and value of everything known about it, for the machine's information; empty when it is not known."""
    if ceiling is None:
        return []
    bandwidth = text.NOT_MEASURED
    if ceiling.read_bytes_per_s is not None:
        bandwidth = f"{ceiling.read_bytes_per_s / 1e9:.3g} GB/s read by {_threads(ceiling)}"
    rates = " · ".join(f"{rate.type} {rate.flops / 1e9:,.0f}" for rate in ceiling.matmul)
    rows = [
        ("Memory bandwidth", bandwidth),
        ("Matrix multiply", f"{rates} GFLOP/s by weight type" if rates else text.NOT_MEASURED),
    ]
    notes = list(ceiling.notes)
    if ceiling.disturbed:
        notes.append(
            f"Other programs ran meanwhile: the measurement got {text.share(ceiling.cpu_share)} of its cores, so these "
            "figures are too low and are not kept. End the programs and ask again."
        )
    return rows + [("Note", note) for note in notes]


def _threads(ceiling: Ceiling) -> str:
    return "1 thread" if ceiling.threads == 1 else f"{ceiling.threads or text.NOT_MEASURED} threads"


def _ceiling(measurement: Measurement) -> Ceiling | None:
    """The ceiling that holds for this measurement; None when it is doubtful or a GPU had a part in the work."""
    on_gpu = measurement.facts.gpu_layers or any(part.device != MAIN_MEMORY for part in measurement.engine_memory)
    ceiling = measurement.ceiling
    return None if on_gpu or ceiling is None or ceiling.disturbed else ceiling


def _kv_bytes_per_token(measurement: Measurement) -> float | None:
    """Bytes of KV cache for one token; 0 for a model that has none, None when the engine's memory is not known."""
    context = measurement.facts.context
    if not measurement.engine_memory or not context:
        return None
    return total_bytes(measurement.engine_memory, "KV cache") / context
