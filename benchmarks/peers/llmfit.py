"""llmfit's published formulas (AlexsJones/llmfit, llmfit-core/src/models.rs and fit.rs, August 2026), for one model.

Memory is what llmfit says the model requires; it knows nothing of repacked weights or of how a process is charged.
"""

from __future__ import annotations

import platform

from slmtui.core.events import ModelFacts

BYTES_PER_PARAMETER = {
    "F32": 4.0, "F16": 2.0, "BF16": 2.0, "Q8_0": 1.05, "Q6_K": 0.80, "Q5_K_M": 0.68, "Q4_K_M": 0.58, "Q4_0": 0.58,
    "Q3_K_M": 0.48, "Q2_K": 0.37,
}  # fmt: skip
SPEED = {"F16": 0.6, "BF16": 0.6, "Q8_0": 0.8, "Q6_K": 0.95, "Q5_K_M": 1.0, "Q4_K_M": 1.15, "Q4_0": 1.15}
OVERHEAD_BYTES = 0.5e9
CACHE_BYTES = {"f16": 2.0, "q8_0": 1.0}


def required_bytes(facts: ModelFacts, context: int, kv_type: str) -> float:
    """Parameters by a table of bytes, keys and values of every layer for the context, and half a gigabyte."""
    weights = (facts.parameters or 0) * BYTES_PER_PARAMETER.get(facts.quantization or "", 0.58)
    head = facts.head_size or 0
    cache = 2 * (facts.layers or 0) * (facts.kv_heads or 0) * head * context * CACHE_BYTES[kv_type]
    return weights + cache + OVERHEAD_BYTES


def decode_tps(facts: ModelFacts, cores: int) -> float:
    """Tokens per second on a processor: a constant over billions of parameters (at least 0.1), by quantization."""
    constant = 90.0 if platform.machine().lower() in ("aarch64", "arm64") else 70.0
    billions = max(0.1, (facts.parameters or 0) / 1e9)
    speed = constant / billions * SPEED.get(facts.quantization or "", 1.0)
    return speed * (1.1 if cores >= 8 else 1.0)
