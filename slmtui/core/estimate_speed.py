"""How fast a model would run, before it is here: from what the machine's memory and matrix multiplication can do.

A decode step reads every weight once, so it takes as long as multiplying one token with as many weights of the same
types, which `core.ceiling` has measured; where it has not, as long as reading them takes at a usual share of the read
bandwidth. Prefill takes its operations over the rate of each type.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from slmtui.core import text
from slmtui.core.ceiling import Ceiling, StepRate
from slmtui.core.estimate import Anatomy, Range
from slmtui.core.estimate_memory import MICRO_BATCH, Host, Setup
from slmtui.core.gguf import TYPES_BY_NAME
from slmtui.core.work import Tensor, share

LAYER_S = 30e-6
"""Of a decode step for each layer beside its weights: about thirty operations on vectors, after each of which the
threads wait for each other. Pocket models, whose weights take next to nothing, need 21 to 38 us on a two-core Xeon."""
ATTENTION_SHARE, QUANTIZED_ATTENTION_SHARE = 0.30, 0.075
"""Of the matrix rate for 32-bit weights that attention reaches in prefill, with a cache of numbers and one of quantized
blocks; measured at depths up to 4,096 with heads of 64 and 128."""
STEP_ATTENTION_SHARE = 0.05
"""The same for the one token of a decode step."""
MATRIX_SHARE = 0.70
"""Of the matrix rate that prefill reaches with the smaller matrices of real layers: 0.58 to 0.78 for 576 to 1,536."""
PLAIN_SHARE = 0.6
"""Speed of kernels that take weights as they lie in the file over those that take repacked ones, for a matrix whose
shape cannot be repacked: 0.37 to 1.27 for one token and the usual types on a Xeon with AMX, 0.6 in the middle."""
STATE_TIMES, PREFILL_STATE_TIMES = 10, 1.5
"""A byte of recurrent state takes as long as reading so many, in a decode step and in prefill, where it stays in the
cache: element by element it is read, changed and written. From one model with Mamba-2 layers."""
BANDWIDTH_SHARE = Range(0.40, 0.60, 0.85)
"""Of the read bandwidth that decode reaches where nothing else is known."""
STEP_SPREAD, PREFILL_SPREAD = Range(0.75, 1.0, 1.3), Range(0.6, 1.0, 1.35)
"""Real speed over the estimate's, before anything was measured here."""


_Known = TypeVar("_Known")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What a processor can do."""

    read_bytes_per_s: float | None = None
    steps: Mapping[str, tuple[StepRate, ...]] = {}
    """By weight type: how fast one token is multiplied."""
    matmul: Mapping[str, float] = {}
    """By weight type: operations per second with many tokens."""
    threads: int | None = None
    """With how many threads."""
    layer_s: float = LAYER_S
    """Of a step for each layer beside its weights."""
    basis: str = ""
    """Where these figures come from, in words: "measured on this machine"."""

    @classmethod
    def of(cls, ceiling: Ceiling) -> Rates:
        """What was measured; the figures of a disturbed measurement are too low, but better than none."""
        return cls(
            read_bytes_per_s=ceiling.read_bytes_per_s,
            steps={rate.type: rate.steps for rate in ceiling.matmul if rate.steps},
            matmul={rate.type: rate.flops for rate in ceiling.matmul},
            threads=ceiling.threads,
            basis="measured on this machine" + (", while other programs ran" if ceiling.disturbed else ""),
        )


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Estimated speeds in tokens per second; None where the rates do not tell."""

    decode_tps: Range | None
    prefill_tps: Range | None
    weight_type: str | None
    """The type of most weights, by which corrections are learnt."""
    basis: tuple[str, ...]


def speed(anatomy: Anatomy, setup: Setup, host: Host, rates: Rates, depth: int = 0) -> Speed:
    """Decode after `depth` tokens, and prefill of a micro-batch from there."""
    step, why_step = _step_s(anatomy, host, rates, depth)
    token, why_token = _token_s(anatomy, setup, rates, depth)
    return Speed(
        decode_tps=_per_second(step),
        prefill_tps=_per_second(token),
        weight_type=main_type(anatomy),
        basis=(why_step, why_token),
    )


def read_bytes(anatomy: Anatomy) -> float:
    """Bytes of weights that a decode step reads."""
    return sum(share(one, anatomy.routed, tied=anatomy.tied).read_bytes * n for one, n in anatomy.groups)


def token_flops(anatomy: Anatomy) -> float:
    """Operations of prefill for a token, without attention's own and without the output matrix."""
    return sum(share(one, anatomy.routed, tied=anatomy.tied).flops * n for one, n in anatomy.groups)


def main_type(anatomy: Anatomy) -> str | None:
    """Type of most weights that prefill multiplies with."""
    found: Counter[str] = Counter()
    for tensor, times in anatomy.groups:
        found[tensor.type] += round(share(tensor, anatomy.routed, tied=True).flops * times)
    return found.most_common(1)[0][0] if found else None


def step_bytes_per_s(steps: Sequence[StepRate], weights_bytes: float) -> float:
    """The rate for so many weights: time per byte lies between the measured sizes as the size's logarithm does."""
    ordered = sorted(steps, key=lambda step: step.weights_bytes)
    if weights_bytes <= ordered[0].weights_bytes:
        return ordered[0].bytes_per_s
    for few, many in itertools.pairwise(ordered):
        if weights_bytes <= many.weights_bytes:
            part = math.log(weights_bytes / few.weights_bytes) / math.log(many.weights_bytes / few.weights_bytes)
            return 1 / ((1 - part) / few.bytes_per_s + part / many.bytes_per_s)
    return ordered[-1].bytes_per_s


def _step_s(anatomy: Anatomy, host: Host, rates: Rates, depth: int) -> tuple[Range | None, str]:
    """Seconds of a decode step, and what they rest on."""
    read = [(tensor, share(tensor, anatomy.routed, tied=anatomy.tied).read_bytes * n) for tensor, n in anatomy.groups]
    total = sum(size for _, size in read)
    if rates.steps:
        weights_s = sum(size / _step_rate(tensor, total, host, rates) for tensor, size in read)
        spread = Range(1 / STEP_SPREAD.high, 1.0, 1 / STEP_SPREAD.low)
        why = f"Decode: each token reads the weights in use, as fast as one token's multiplication {rates.basis}."
    elif rates.read_bytes_per_s:
        used = BANDWIDTH_SHARE
        weights_s = total / rates.read_bytes_per_s / used.likely
        spread = Range(used.likely / used.high, 1.0, used.likely / used.low)
        shares = f"{text.share(used.low)} to {text.share(used.high)}"
        why = f"Decode: each token reads the weights in use, at {shares} of the bandwidth {rates.basis}."
    else:
        return None, "Decode is not known without a bandwidth."
    f32 = _like("f32", rates.matmul) if rates.matmul else None
    attention_s = _looked_at(anatomy, depth) / (STEP_ATTENTION_SHARE * f32) if f32 else 0.0
    state_s = STATE_TIMES * anatomy.state_bytes / rates.read_bytes_per_s if rates.read_bytes_per_s else 0.0
    return spread.times(weights_s + attention_s + state_s + rates.layer_s * anatomy.layers), why


def _step_rate(tensor: Tensor, total: float, host: Host, rates: Rates) -> float:
    """Bytes per second at which a decode step passes the tensor, among `total` bytes that it reads."""
    rate = step_bytes_per_s(_like(tensor.type, rates.steps), total)
    packs = host.packing.packed_bytes(tensor._replace(shape=(256, 256, 1, 1))) is not None
    return rate * PLAIN_SHARE if packs and host.packing.packed_bytes(tensor) is None else rate


def _token_s(anatomy: Anatomy, setup: Setup, rates: Rates, depth: int) -> tuple[Range | None, str]:
    """Seconds of prefill for a token, and what they rest on."""
    work = [(tensor.type, share(tensor, anatomy.routed, tied=True).flops * n) for tensor, n in anatomy.groups]
    if not rates.matmul or not any(each for _, each in work):
        return None, "Prefill is not known without a matrix rate."
    matrices_s = sum(each / _like(kind, rates.matmul) for kind, each in work) / MATRIX_SHARE
    part = ATTENTION_SHARE if TYPES_BY_NAME[setup.type_k].block == 1 else QUANTIZED_ATTENTION_SHARE
    seen = depth + min(MICRO_BATCH, setup.context) / 2
    attention_s = _looked_at(anatomy, seen) / (part * _like("f32", rates.matmul))
    bandwidth = rates.read_bytes_per_s
    state_s = PREFILL_STATE_TIMES * anatomy.state_bytes / bandwidth if bandwidth else 0.0
    likely = matrices_s + attention_s + state_s + rates.layer_s / 10 * anatomy.layers
    why = f"Prefill: operations of all matrices, at the matrix rates {rates.basis}."
    return Range(1 / PREFILL_SPREAD.high, 1.0, 1 / PREFILL_SPREAD.low).times(likely), why


def _looked_at(anatomy: Anatomy, depth: float) -> float:
    """Operations of attention for one token after so many others."""
    attending = sum(cache.layers for cache in anatomy.caches)
    if not attending or not depth:
        return 0.0
    each = sum(share(tensor, tied=True).attention_flops * times for tensor, times in anatomy.groups)
    return sum(each / attending * cache.layers * min(depth, cache.window or depth) for cache in anatomy.caches)


def _like(kind: str, known: Mapping[str, _Known]) -> _Known:
    """What is known of the type, or of the one whose weights are nearest in size."""
    return known[kind] if kind in known else known[min(known, key=lambda other: abs(_bits(other) - _bits(kind)))]


def _bits(kind: str) -> float:
    known = TYPES_BY_NAME.get(kind)
    return 8 * known.bytes / known.block if known else math.inf


def _per_second(seconds: Range | None) -> Range | None:
    return None if seconds is None else Range(1 / seconds.high, 1 / seconds.likely, 1 / seconds.low)
