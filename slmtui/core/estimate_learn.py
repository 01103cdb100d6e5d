"""What benchmarks on a machine teach about estimates for it: factors on speeds by weight type, and bytes of memory.

The factor of a type is the median over models of measured / estimated, in logarithms, drawn towards 1 by one
imaginary model that came out as estimated: exp(median(log ratio) * n / (n + 1)). A median forgives one odd model, and
the shrinkage keeps one measurement from overruling everything. Only ratios within a factor of eight count: others are
of a machine that did something else meanwhile.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping

import msgspec

from slmtui.core import text
from slmtui.core.estimate import Anatomy, Range
from slmtui.core.estimate_card import anatomy_of_facts
from slmtui.core.estimate_memory import Host, Setup, memory_parts, process_bytes
from slmtui.core.estimate_speed import BANDWIDTH_SHARE, MATRIX_SHARE, Rates, speed
from slmtui.core.gguf import CACHE_TYPES
from slmtui.core.machine import ENGINES
from slmtui.core.outlook import Corrections
from slmtui.core.results import CellResult

FARTHEST = 8.0
MOST_BYTES = 128 * 1024 * 1024
"""No memory correction is larger: what goes beyond it is not the worker's own."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One cell that was measured, beside its estimate without corrections."""

    model: str
    weight_type: str
    decode_ratio: float | None
    """Measured over estimated tokens per second; None where there is no such figure."""
    prefill_ratio: float | None
    more_bytes: int | None
    """Process memory as measured, less the estimate."""


def observe(result: CellResult, host: Host, rates: Rates, known: Mapping[str, Anatomy]) -> Observed | None:
    """Lay a measured cell beside its estimate; None where it cannot be estimated, or a GPU or MLX had a part in it.

    `known` are the anatomies of models whose files are here, by id; others are told from the measurement's facts.
    """
    last = result.measurements[-1]
    facts = last.facts
    anatomy = known.get(result.model) or anatomy_of_facts(facts)
    others = facts.engine is not None and not facts.engine.startswith(ENGINES["GGUF"])
    if anatomy is None or facts.gpu_layers or facts.context is None or others:
        return None
    settings = last.settings
    setup = Setup(context=facts.context, type_k=settings.type_k or "f16", type_v=settings.type_v or "f16")
    if setup.type_k not in CACHE_TYPES or setup.type_v not in CACHE_TYPES:
        return None
    said = speed(anatomy, setup, host, rates, result.depth)
    whole = settings.threads is None or rates.threads is None or settings.threads == rates.threads
    plain = msgspec.structs.replace(host, extra_bytes=0)
    estimated = process_bytes(memory_parts(anatomy, setup, plain))
    return Observed(
        model=result.model,
        weight_type=said.weight_type or "",
        decode_ratio=_ratio(result.decode_tps.median if result.decode_tps and whole else None, said.decode_tps),
        prefill_ratio=_ratio(result.prefill_tps.median if result.prefill_tps and whole else None, said.prefill_tps),
        more_bytes=result.process_bytes - estimated if result.process_bytes else None,
    )


def gpu_rates(results: Iterable[CellResult]) -> Rates:
    """What models that were wholly on the GPUs came to; nothing is known of a GPU before the first.

    Decode is taken to be a matter of bytes alone, so small models teach little about large ones.
    """
    read: list[tuple[str, float]] = []
    matrices: dict[str, list[tuple[str, float]]] = {}
    for result in results:
        facts = result.measurements[-1].facts
        if (facts.gpu_layers or 0) <= (facts.layers or math.inf) or facts.weight_type is None:
            continue
        if facts.decode_read_bytes and result.decode_tps:
            read.append((result.model, facts.decode_read_bytes * result.decode_tps.median / BANDWIDTH_SHARE.likely))
        if facts.prefill_flops and result.prefill_tps:
            rate = facts.prefill_flops * result.prefill_tps.median / MATRIX_SHARE
            matrices.setdefault(facts.weight_type, []).append((result.model, rate))
    models = _by_model(read)
    return Rates(
        read_bytes_per_s=statistics.median(models.values()) if models else None,
        matmul={kind: statistics.median(_by_model(rates).values()) for kind, rates in matrices.items()},
        layer_s=0.0,
        basis=f"that {text.counted(len(models), 'model')} came to on the GPU",
    )


def learn(observed: Iterable[Observed]) -> Corrections:
    """Corrections from everything observed on one machine."""
    seen = list(observed)
    more = _by_model((one.model, float(one.more_bytes)) for one in seen if one.more_bytes is not None)
    middle = statistics.median(more.values()) if more else 0.0
    drawn = middle * len(more) / (len(more) + 1)
    return Corrections(
        decode=_factors((one.weight_type, one.model, one.decode_ratio) for one in seen),
        prefill=_factors((one.weight_type, one.model, one.prefill_ratio) for one in seen),
        memory_bytes=round(max(-MOST_BYTES, min(MOST_BYTES, drawn))),
        memory_models=len(more),
    )


def _ratio(measured: float | None, estimated: Range | None) -> float | None:
    return measured / estimated.likely if measured and estimated else None


def _factors(ratios: Iterable[tuple[str, str, float | None]]) -> dict[str, tuple[float, int]]:
    """Type to factor and number of models, of (type, model, ratio)."""
    logs: dict[str, list[tuple[str, float]]] = {}
    for kind, model, ratio in ratios:
        if ratio is not None and 1 / FARTHEST < ratio < FARTHEST:
            logs.setdefault(kind, []).append((model, math.log(ratio)))
    found = {}
    for kind, pairs in logs.items():
        models = _by_model(pairs)
        count = len(models)
        found[kind] = (math.exp(statistics.median(models.values()) * count / (count + 1)), count)
    return found


def _by_model(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The median of each model's values, so that each counts once."""
    values: dict[str, list[float]] = {}
    for model, value in pairs:
        values.setdefault(model, []).append(value)
    return {model: statistics.median(each) for model, each in values.items()}
