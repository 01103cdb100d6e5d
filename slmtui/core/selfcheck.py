"""The instrument's own error: our clocks beside the engine's counters."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from slmtui.core.measurement import Measurement
from slmtui.core.results import CellResult


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How far our times of one cell are from the engine's: (ours - theirs) / theirs, the median of its repetitions."""

    result: CellResult
    prefill_frac: float | None
    """None where the engine has no counter, or nothing was measured."""
    decode_frac: float | None


def differences(results: Sequence[CellResult]) -> tuple[Difference, ...]:
    """One for each cell."""
    return tuple(
        Difference(
            result=result,
            prefill_frac=_median(_prefill(each) for each in result.measurements),
            decode_frac=_median(_decode(each) for each in result.measurements),
        )
        for result in results
    )


def _prefill(measurement: Measurement) -> float | None:
    return _apart(measurement.timing.prefill_s, measurement.timing.engine_prefill_s)


def _decode(measurement: Measurement) -> float | None:
    return _apart(measurement.timing.decode_s, measurement.timing.engine_decode_s)


def _apart(ours_s: float | None, theirs_s: float | None) -> float | None:
    return None if ours_s is None or not theirs_s else (ours_s - theirs_s) / theirs_s


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
