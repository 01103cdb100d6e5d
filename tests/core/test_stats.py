from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest

from slmtui.core.stats import Summary, agree, quantile, summarize


def drawn(count: int) -> list[float]:
    generator = random.Random(count)
    return [generator.lognormvariate(6, 1) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 101])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0])
def test_quantile_is_numpys_default(count: int, share: float) -> None:
    values = drawn(count)
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-12)


def test_quantile_of_a_table_in_a_book() -> None:
    # Hyndman & Fan (1996), type 7, for 1 … 10: h = (n - 1) p.
    values = [float(value) for value in range(10, 0, -1)]
    assert [quantile(values, share) for share in (0.1, 0.25, 0.5, 0.9)] == [1.9, 3.25, 5.5, 9.1]


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_quantile_refuses_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        quantile([1.0], share)


def test_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_summary_agrees_with_numpy() -> None:
    values = drawn(7)
    summary = summarize(values)
    assert summary is not None
    assert summary.n == 7
    assert summary.median == pytest.approx(float(np.median(values)))
    assert summary.mean == pytest.approx(float(np.mean(values)))
    assert summary.sd == pytest.approx(float(np.std(values, ddof=1)))
    assert (summary.minimum, summary.maximum) == (min(values), max(values))
    assert summary.q1 <= summary.median <= summary.q3


def test_summary_leaves_out_what_is_missing() -> None:
    assert summarize([None, 3.0, None, 5.0]) == Summary(2, 4.0, 3.5, 4.5, 4.0, statistics.stdev([3, 5]), 3.0, 5.0)
    assert summarize([None]) is None
    assert summarize([]) is None


def test_a_single_value_has_no_spread() -> None:
    summary = summarize([42.0])
    assert summary == Summary(1, 42.0, 42.0, 42.0, 42.0, 0.0, 42.0, 42.0)
    assert not summary.noisy


def test_noisy_begins_above_a_fifth_of_the_median() -> None:
    calm, noisy = summarize([90.0, 100.0, 110.0]), summarize([90.0, 100.0, 110.5])
    assert calm is not None
    assert noisy is not None
    assert calm.spread_frac == pytest.approx(0.2)
    assert not calm.noisy
    assert noisy.noisy


def test_zeros_have_no_relative_spread() -> None:
    summary = summarize([0.0, 0.0])
    assert summary is not None
    assert summary.spread_frac == 0.0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (100.0, 95.0, True),
        (95.0, 100.0, True),
        (100.0, 94.9, False),
        (0.0, 0.0, True),
        (None, None, True),
        (None, 0.0, False),
        (1.0, None, False),
    ],
)
def test_agree(first: float | None, second: float | None, *, expected: bool) -> None:
    assert agree(first, second) is expected
