from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from scipy import stats

from slmtui.core.intervals import normal_quantile, power_law, ratio, student_quantile

SHARES = (1e-6, 0.001, 0.025, 0.3, 0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9999, 1 - 1e-9)
DRAWS = 2000
Noise = Callable[[random.Random], float]


@pytest.mark.parametrize("degrees", [1, 1.37, 2, 2.5, 3, 4, 5.7, 8, 18, 30.5, 120, 999, 1000, 1e4, 1e7])
def test_student_s_quantiles_are_scipy_s(degrees: float) -> None:
    for share in SHARES:
        expected = float(stats.t.ppf(share, degrees))
        assert student_quantile(share, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_student_s_quantiles_are_those_of_the_printed_table() -> None:
    # Abramowitz & Stegun, table 26.10, Q(t | v) with A = 0.95 and 0.99.
    table = {1: (12.706, 63.657), 2: (4.303, 9.925), 5: (2.571, 4.032), 10: (2.228, 3.169), 30: (2.042, 2.750)}
    for degrees, (at_95, at_99) in table.items():
        assert student_quantile(0.975, degrees) == pytest.approx(at_95, abs=5e-4)
        assert student_quantile(0.995, degrees) == pytest.approx(at_99, abs=5e-4)


@pytest.mark.parametrize("share", SHARES)
def test_normal_quantiles_are_scipy_s(share: float) -> None:
    assert normal_quantile(share) == pytest.approx(float(stats.norm.ppf(share)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_a_quantile_needs_a_share_between_the_ends(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        normal_quantile(share)
    with pytest.raises(ValueError, match="between 0 and 1"):
        student_quantile(share, 3)


@pytest.mark.parametrize("degrees", [0, -1, math.nan])
def test_student_s_quantile_needs_degrees_of_freedom(degrees: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        student_quantile(0.975, degrees)


def drawn(seed: int, count: int, spread: float = 0.05) -> list[float]:
    generator = random.Random(seed)
    return [100 * generator.lognormvariate(0, spread) for _ in range(count)]


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 4), (5, 5), (5, 12), (10, 3), (20, 20)])
def test_the_interval_is_scipy_s_trimmed_welch_interval_of_the_logarithms(n: int, m: int) -> None:
    # scipy trims both sides by one share; ours takes no run away below five.
    a, b = drawn(n, n), drawn(100 + m, m, 0.15)
    ours = ratio(b, a)
    assert ours is not None
    assert ours.low is not None
    assert ours.high is not None
    logs = [[math.log(value) for value in side] for side in (b, a)]
    theirs = stats.ttest_ind(*logs, equal_var=False, trim=0.2).confidence_interval(0.95)
    assert (math.log(ours.low), math.log(ours.high)) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert ours.value == pytest.approx(math.exp((theirs.low + theirs.high) / 2), rel=1e-9)


def test_the_other_way_round_the_ratio_is_its_inverse() -> None:
    a, b = drawn(1, 5), drawn(2, 6)
    there, back = ratio(b, a), ratio(a, b)
    assert there is not None
    assert back is not None
    assert there.low is not None
    assert back.high is not None
    assert there.value == pytest.approx(1 / back.value)
    assert there.low == pytest.approx(1 / back.high)


def test_one_disturbed_run_of_five_moves_nothing() -> None:
    calm, disturbed = ratio([100, 101, 102, 103, 104], [50] * 5), ratio([10, 101, 102, 103, 104], [50] * 5)
    assert calm is not None
    assert disturbed is not None
    assert calm.value == pytest.approx(disturbed.value)


def test_one_value_has_a_ratio_and_no_interval() -> None:
    for of, to in (([90.0], [100.0]), ([90.0], [99.0, 100.0, 101.01]), ([89.1, 90.0, 90.909], [100.0])):
        found = ratio(of, to)
        assert found is not None
        assert found.value == pytest.approx(0.9, rel=1e-3)
        assert (found.low, found.high) == (None, None)


def test_values_without_spread_have_an_interval_of_one_point() -> None:
    found = ratio([3.0] * 3, [2.0] * 3)
    assert found is not None
    assert found.value == pytest.approx(1.5)
    assert found.low == found.high == found.value


@pytest.mark.parametrize(("of", "to"), [([], [1.0]), ([1.0], []), ([0.0, 1.0], [1.0]), ([1.0], [-1.0])])
def test_there_is_no_ratio_of_nothing_or_of_what_is_not_positive(of: list[float], to: list[float]) -> None:
    assert ratio(of, to) is None


def lognormal(generator: random.Random) -> float:
    return generator.gauss(0, 0.03)


def wide(generator: random.Random) -> float:
    return generator.gauss(0, 0.09)


SKEWED_MEDIAN = 1.678347 * 0.02
"""The median of a gamma distribution of shape 2, scaled."""


def skewed(generator: random.Random) -> float:
    return SKEWED_MEDIAN - generator.gammavariate(2, 0.02)


def disturbed(generator: random.Random) -> float:
    """Every tenth run is slower by 3 to 10 standard deviations."""
    return generator.gauss(0, 0.03) - (0.03 * generator.uniform(3, 10) if generator.random() < 0.1 else 0)


CASES: list[tuple[Noise, Noise, int, int]] = [
    *((lognormal, lognormal, n, n) for n in (3, 4, 5, 7, 10)),
    *((lognormal, wide, n, n) for n in (3, 5, 7, 10)),
    *((skewed, skewed, n, n) for n in (5, 10)),
    *((disturbed, disturbed, n, n) for n in (5, 10)),
    (lognormal, disturbed, 5, 5),
    (lognormal, lognormal, 3, 5),
    (wide, lognormal, 10, 5),
]


@pytest.mark.parametrize(("noise_a", "noise_b", "n", "m"), CASES)
def test_the_interval_covers_the_ratio_of_medians_as_often_as_it_says(
    noise_a: Noise, noise_b: Noise, n: int, m: int
) -> None:
    assert 0.93 <= coverage(noise_a, noise_b, n, m) <= 0.97


@pytest.mark.parametrize(("noise", "n"), [(skewed, 3), (disturbed, 4)])
def test_with_few_skewed_or_disturbed_runs_it_errs_on_the_side_of_caution(noise: Noise, n: int) -> None:
    assert 0.95 <= coverage(noise, noise, n, n) <= 0.985


def coverage(noise_a: Noise, noise_b: Noise, n: int, m: int) -> float:
    generator = random.Random(20261121)
    covered = 0
    for _ in range(DRAWS):
        a = [400 * math.exp(noise_a(generator)) for _ in range(n)]
        b = [300 * math.exp(noise_b(generator)) for _ in range(m)]
        found = ratio(b, a)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.75 <= found.high
    return covered / DRAWS


def test_a_power_law_is_scipy_s_line_through_the_logarithms() -> None:
    generator = random.Random(5)
    x = [5e6, 2e6, 135e6, 360e6, 0.6e9, 1.2e9, 3.8e9]
    y = [3e9 * value**-0.9 * generator.lognormvariate(0, 0.2) for value in x]
    ours = power_law(x, y)
    theirs = stats.linregress([math.log(value) for value in x], [math.log(value) for value in y])
    assert ours is not None
    assert ours.slope_low is not None
    assert ours.slope_high is not None
    half = float(stats.t.ppf(0.975, len(x) - 2)) * theirs.stderr
    assert ours.n == 7
    assert ours.slope == pytest.approx(theirs.slope, rel=1e-9)
    assert ours.intercept == pytest.approx(theirs.intercept, rel=1e-9)
    assert ours.r_squared == pytest.approx(theirs.rvalue**2, rel=1e-9)
    assert (ours.slope_low, ours.slope_high) == pytest.approx((theirs.slope - half, theirs.slope + half), rel=1e-9)
    assert ours.at(1e8) == pytest.approx(math.exp(theirs.intercept) * 1e8**theirs.slope, rel=1e-9)


def test_the_slope_s_interval_covers_the_slope() -> None:
    generator = random.Random(6)
    x = [5e6, 5e7, 1.35e8, 3.6e8, 1.2e9]
    covered = 0
    for _ in range(DRAWS):
        found = power_law(x, [1e9 / value * generator.lognormvariate(0, 0.3) for value in x])
        assert found is not None
        assert found.slope_low is not None
        assert found.slope_high is not None
        covered += found.slope_low <= -1 <= found.slope_high
    assert 0.93 <= covered / DRAWS <= 0.97


def test_two_points_have_a_line_and_no_interval() -> None:
    found = power_law([1.0, 100.0], [10.0, 1.0])
    assert found is not None
    assert found.slope == pytest.approx(-0.5)
    assert found.r_squared == pytest.approx(1.0)
    assert (found.slope_low, found.slope_high) == (None, None)
    assert found.at(1e4) == pytest.approx(0.1)


def test_a_level_line_explains_nothing() -> None:
    found = power_law([1.0, 2.0, 3.0], [7.0, 7.0, 7.0])
    assert found is not None
    assert found.slope == pytest.approx(0, abs=1e-12)
    assert found.r_squared is None or 0 <= found.r_squared <= 1


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1.0], [1.0]), ([2.0, 2.0], [1.0, 3.0]), ([0.0, 1.0], [1.0, 1.0]), ([1.0, 2.0], [1.0, 0.0])]
)
def test_there_is_no_line_through_less_than_two_places(x: list[float], y: list[float]) -> None:
    assert power_law(x, y) is None
