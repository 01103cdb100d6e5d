"""Intervals of shares and gains: textbook values, scipy's, and coverage by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from slmtui.core.paired import gain, holm, needed, signs
from slmtui.core.proportions import share, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (81, 263), (1, 1), (50, 100)])
def test_wilson_is_scipy_s(right: int, n: int) -> None:
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("right", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_no_share(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(right, n)


def test_one_seed_is_wilson_s() -> None:
    found = share([[True]] * 30 + [[False]] * 12)
    assert found is not None
    assert (found.value, found.n) == (30 / 42, 42)
    assert (found.low, found.high) == pytest.approx(wilson(30, 42))
    assert share([]) is None


def test_the_same_answers_under_every_seed_are_no_more_than_under_one() -> None:
    once, thrice = share([[True]] * 30 + [[False]] * 12), share([[True] * 3] * 30 + [[False] * 3] * 12)
    assert once == thrice


def test_several_seeds_are_worth_more_but_not_more_than_their_answers() -> None:
    draw = np.random.default_rng(1)
    answers = draw.random((60, 5)) < 0.6
    many, once = share(answers.tolist()), share(answers[:, :1].tolist())
    assert many is not None
    assert once is not None
    assert many.high - many.low < once.high - once.low
    low, high = wilson(int(answers.sum()), answers.size)
    assert many.high - many.low >= high - low
    assert many.covers(many.value)
    assert not many.covers(None)
    assert not many.covers(many.high + 0.01)


@pytest.mark.parametrize("seed", range(6))
def test_signs_of_one_seed_are_mcnemar_s_exact_test(seed: int) -> None:
    draw = np.random.default_rng(seed)
    before, after = draw.random(40) < 0.5, draw.random(40) < 0.7
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    differences = (after.astype(int) - before.astype(int)).tolist()
    assert signs(differences) == pytest.approx(expected, abs=1e-12)


def test_signs_of_several_seeds_by_trying_all() -> None:
    differences = [1 / 3, 2 / 3, -1 / 3, 1.0, 0.0, 1 / 3]
    steps = [round(3 * one) for one in differences]
    sums = [sum(step if bits >> place & 1 else -step for place, step in enumerate(steps)) for bits in range(64)]
    expected = sum(abs(one) >= abs(sum(steps)) for one in sums) / 64
    assert signs(differences, 3) == pytest.approx(expected)
    assert signs([0.0, 0.0]) == 1.0


def test_a_gain() -> None:
    found = gain([0.0] * 50 + [1.0] * 50, [1.0] * 20 + [0.0] * 30 + [1.0] * 45 + [0.0] * 5)
    assert found is not None
    assert (found.n, found.won, found.lost) == (100, 20, 5)
    assert found.value == pytest.approx(0.15)
    assert 0.05 < found.low < 0.09
    assert 0.21 < found.high < 0.25
    assert found.p_value == pytest.approx(stats.binomtest(20, 25).pvalue)
    assert found == gain([0.0] * 50 + [1.0] * 50, [1.0] * 20 + [0.0] * 30 + [1.0] * 45 + [0.0] * 5), "no chance in it"
    assert gain([], []) is None
    with pytest.raises(ValueError, match="argument 2"):
        gain([1.0], [])


def test_no_difference_seen_is_not_certainty() -> None:
    found = gain([1.0] * 50, [1.0] * 50)
    assert found is not None
    assert (found.value, found.p_value, found.needed) == (0, 1, None)
    assert -0.08 < found.low < -0.02
    assert 0.02 < found.high < 0.08


def test_how_many_questions_would_be_needed() -> None:
    draw = np.random.default_rng(5)

    def differences(n: int) -> list[float]:
        return [float(one) for one in draw.choice([1, -1, 0], size=n, p=[0.2, 0.1, 0.7])]

    number = needed(differences(400), 0.1)
    assert number is not None
    shown = [(found := gain([0.0] * number, differences(number))) is not None and found.low > 0 for _ in range(150)]
    assert 0.7 < sum(shown) / 150 < 0.9, "four times in five, as it says"
    assert needed([0.5], 0.1) is None
    assert needed([0.5, 1.0], 0) is None


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.5]) == (1.0, 1.0)
    assert holm([]) == ()


# -- coverage


def asked(draw: np.random.Generator, easy: np.ndarray, p: float, seeds: int) -> np.ndarray:
    """Answers, questions x seeds, with a share p of right ones; the same questions are easy under every seed."""
    own = draw.normal(size=(len(easy), seeds))
    return math.sqrt(0.6) * easy[:, None] + math.sqrt(0.4) * own < stats.norm.ppf(p)


CASES: Sequence[tuple[int, float, float]] = [(1, 0.5, 0.1), (3, 0.5, 0.0), (1, 0.8, 0.1), (3, 0.25, 0.2)]
"""Seeds, share without examples, gain from them."""


def test_intervals_cover_what_they_should() -> None:
    """A small run of `benchmarks/probe_coverage.py`: all cases together, whose rate is known to about 0.9 points."""
    draw = np.random.default_rng(11)
    covered: list[tuple[bool, bool]] = []
    for seeds, before, more in CASES:
        for _ in range(150):
            easy = draw.normal(size=100)
            first, second = asked(draw, easy, before, 1), asked(draw, easy, before + more, seeds)
            found = share(second.tolist())
            paired = gain(first.mean(axis=1).tolist(), second.mean(axis=1).tolist(), seeds)
            assert found is not None
            assert paired is not None
            covered.append((found.covers(before + more), paired.low <= more <= paired.high))
    rates = np.mean(covered, axis=0)
    assert 0.93 < rates[0] < 0.97
    assert 0.93 < rates[1] < 0.97
