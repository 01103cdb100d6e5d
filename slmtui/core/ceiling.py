"""The machine's ceiling: how fast it can read memory and multiply matrices, and how much of that a model uses.

The bandwidth use is that of Databricks' "LLM Inference Performance Engineering: Best Practices" (2023): bytes that one
decode step must read, times steps per second, over the bandwidth. Their peak is the data sheet's; ours is measured. The
share of the matrix-multiply rate is the model FLOPs utilization of PaLM (Chowdhery et al. 2022, appendix B) with the
engine's own measured rate as the peak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from slmtui.core.events import ModelFacts
    from slmtui.core.measurement import Measurement


class MatmulRate(msgspec.Struct, frozen=True, kw_only=True):
    """Speed of the engine's matrix multiplication with weights of one type."""

    type: str
    """The weights' type in llama.cpp's words: "f16", "q8_0", "q4_K"."""
    flops: float
    """Floating-point operations per second, a multiplication and an addition counting as two."""
    buffer: str | None = None
    """The engine's buffer type that held the weights: "CPU", "CPU_REPACK", "AMX"."""


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine itself can do, measured on all cores."""

    read_bytes_per_s: float | None = None
    """Read bandwidth of main memory."""
    matmul: tuple[MatmulRate, ...] = ()
    threads: int | None = None
    engine: str | None = None
    """Engine and version whose matrix multiplication was measured."""
    measured_at: str | None = None
    """ISO 8601 in UTC."""
    buffer_bytes: int | None = None
    """Memory that the bandwidth was measured on."""
    notes: tuple[str, ...] = ()
    """Sentences about what could not be measured."""


def decode_bytes(facts: ModelFacts, kv_bytes_per_token: float | None, depth: float) -> float | None:
    """Bytes that one decode step must read when `depth` tokens are in the context; None when unknown."""
    if facts.decode_read_bytes is None or (kv_bytes_per_token is None and depth > 0):
        return None
    return facts.decode_read_bytes + (kv_bytes_per_token or 0.0) * depth


def mbu(measurement: Measurement) -> float | None:
    """Bandwidth use of decode, 0 to 1; over 1 where the model lives in the processor's cache.

    None without a measured bandwidth, or with layers on a GPU, whose memory is another.
    """
    return None


def matmul_share(measurement: Measurement) -> float | None:
    """Share of the measured matrix-multiply rate that prefill reaches, 0 to 1.

    None without a rate for the model's main weight type, or with layers on a GPU.
    """
    return None
