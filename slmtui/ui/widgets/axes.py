"""Axes of a chart: where a value stands between the ends, and which round values get a tick."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_SUFFIXES = ((1e9, "B"), (1e6, "M"), (1e4, "k"))


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """What an axis stands for."""

    label: str
    unit: str = ""
    log: bool = False
    from_zero: bool = False
    """Whether a linear axis begins at 0 whatever the smallest value is."""
    tight: bool = False
    """Whether a linear axis ends at the outermost values; otherwise it goes on to the next ticks."""
    marks: tuple[float, ...] = ()
    """Where ticks shall stand instead of at round values: the settings of a sweep."""

    @property
    def words(self) -> str:
        """Label and unit: `decode, tok/s`."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """The ends of an axis, and its ticks in rising order."""

    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] = ()

    def at(self, value: float | None) -> float | None:
        """Where a value stands, 0 at the low end and 1 at the high one; None for what has no place on it."""
        if not drawable(value, log=self.log) or value is None or not self.low <= value <= self.high:
            return None
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def words(self, tick: float) -> str:
        """A tick's value in words; on a linear axis all ticks have the same decimals."""
        return tick_words(tick, () if self.log else self.ticks)


def drawable(value: float | None, *, log: bool = False) -> bool:
    """Whether a value has a place on an axis at all: it is there, finite, and above 0 where the axis is logarithmic."""
    return value is not None and math.isfinite(value) and (value > 0 or not log)


def scale_for(values: Iterable[float | None], axis: Axis, ticks: int) -> Scale | None:
    """An axis that holds all these values, with about `ticks` ticks; None when no value can be drawn."""
    known = [value for value in values if value is not None and drawable(value, log=axis.log)]
    if not known:
        return None
    found = _log(min(known), max(known), ticks) if axis.log else _linear(known, axis, ticks)
    if not axis.marks:
        return found
    marks = tuple(sorted({mark for mark in axis.marks if found.at(mark) is not None}))
    return msgspec.structs.replace(found, ticks=marks or found.ticks)


def tick_words(value: float, ticks: Sequence[float] = ()) -> str:
    """A tick's value in few characters: 0.5, 25, 4,000, 20k, 5M; among `ticks`, with as many decimals as they need."""
    for limit, suffix in _SUFFIXES:
        if abs(value) >= limit:
            return f"{value / (1e3 if suffix == 'k' else limit):.4g}{suffix}"
    steps = [later - earlier for earlier, later in pairwise(ticks)]
    step = min((abs(each) for each in steps if each), default=abs(value) or 1.0)
    decimals = next((number for number in range(7) if _whole(step * 10**number)), 6)
    return f"{value:,.{decimals}f}"


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that divides `span` into at most `most` parts."""
    least = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(least))
    return next(each * power for each in _ROUND if each * power >= least * (1 - 1e-9))


def _linear(known: Sequence[float], axis: Axis, most: int) -> Scale:
    low, high = min(known), max(known)
    if axis.from_zero:
        low, high = min(0.0, low), max(0.0, high)
    if low == high:
        pad = abs(low) / 2 or 0.5
        low, high = low - pad, high + pad
    step = round_step(high - low, max(1, most - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(number * step for number in range(first, last + 1))
    if axis.tight:
        return Scale(low=low, high=high, ticks=tuple(tick for tick in ticks if low <= tick <= high))
    return Scale(low=ticks[0], high=ticks[-1], ticks=ticks)


def _log(low: float, high: float, ticks: int) -> Scale:
    margin = max(0.03 * math.log(high / low), math.log(1.15))
    low, high = low / math.exp(margin), high * math.exp(margin)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= 3:
            break
    if len(found) < 2:
        found = [tick for tick in _linear((low, high), Axis(label=""), ticks).ticks if low <= tick <= high]
    stride = max(1, math.ceil(len(found) / max(1, ticks)))
    return Scale(low=low, high=high, log=True, ticks=tuple(found[::stride]))


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6 * max(1.0, abs(value))
