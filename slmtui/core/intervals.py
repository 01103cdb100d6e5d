"""Intervals: how far a ratio of repeated speeds, or the slope of a line, can be trusted.

Quantiles come from the standard library (normal) and from the incomplete beta function (Student's t); `tests/core`
checks them against scipy and the intervals' coverage by simulation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

import msgspec

LEVEL = 0.95
"""Coverage that every interval aims at."""
TRIM_FRAC = 0.20
"""Share of the runs that is left out at each end; of fewer than five runs that is none."""
_MANY = 1000.0
"""Degrees of freedom from which the expansion for many of them is as exact as double precision."""
_TINY = 1e-300


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio of two typical values, with the interval that its repetitions allow."""

    value: float
    low: float | None = None
    """Both ends are None when a side has only one value, and when a value is a mean of runs that are not known."""
    high: float | None = None


class PowerLaw(msgspec.Struct, frozen=True, kw_only=True):
    """A straight line through the logarithms of points: y = exp(intercept) · x ** slope."""

    n: int
    slope: float
    intercept: float
    """Natural logarithm of y at x = 1."""
    r_squared: float | None
    """Share of the variance of log y that the line explains; None when all y are equal."""
    slope_low: float | None
    """Both ends are None for two points, through which a line always passes."""
    slope_high: float | None

    def at(self, x: float) -> float:
        """The line's y at a positive x."""
        return math.exp(self.intercept + self.slope * math.log(x))


def ratio(of: Sequence[float], to: Sequence[float], level: float = LEVEL) -> Ratio | None:
    """How many times as large `of` typically is as `to`; None when a side is empty or a value is not positive.

    The typical value is the geometric mean of the runs without the 20 % at each end (`TRIM_FRAC`): with three or
    four runs all of them, with five the three in the middle. The interval is Yuen's (1974): Welch's interval for
    unequal variances with winsorized variances, on logarithms. It assumes that the runs of a side are independent
    and that what disturbs them multiplies their speed; it does not assume that both sides spread alike. It knows only
    what varied between the runs: what differs between two starts of the same program (placement in memory, clock
    speed, heat) it cannot see. In pairs of 150 sessions of one build (two small models, five runs each, two cores that
    others use too) it shows a difference in 3 to 8 % for prefill, but in 21 to 32 % for decode; one of more than 5 % in
    0 to 0.2 % and in 1.3 to 3.5 %. So a gate needs a tolerance.

    Coverage of the ratio of medians by the 95 % interval, 20,000 draws a case, as many runs on either side:

    | noise                                            | n = 3  | 4      | 5      | 7      | 10     |
    | ------------------------------------------------ | ------ | ------ | ------ | ------ | ------ |
    | lognormal, 3 % on both sides                     | 96.5 % | 95.8 % | 95.7 % | 95.3 % | 94.9 % |
    | … 9 % on one side                                | 95.1 % | 94.8 % | 93.7 % | 94.5 % | 94.3 % |
    | skewed to the slow side (gamma, shape 2)         | 96.8 % | 96.9 % | 96.0 % | 95.9 % | 95.5 % |
    | … 9 % on one side                                | 94.7 % | 94.6 % | 93.8 % | 93.7 % | 94.2 % |
    | every tenth run 3 to 10 deviations slower        | 97.8 % | 97.9 % | 96.8 % | 96.8 % | 96.0 % |
    | … on one side only                               | 97.1 % | 96.9 % | 96.2 % | 96.1 % | 95.5 % |

    It is most off with few noisy runs against many quiet ones: 90 to 92 % for five at 9 % against ten at 3 %. Without
    trimming it would be a quarter narrower at n = 5 in lognormal noise, but 1.3 (n = 5) to 1.7 times (n = 10)
    as wide where runs are disturbed; in the sessions above, 84 % in place of 94 % of slow-downs by 20 % would be shown
    to exceed 5 %.
    """
    if not of or not to or min(*of, *to) <= 0:
        return None
    above, below = _typical([math.log(value) for value in of]), _typical([math.log(value) for value in to])
    difference = above.centre - below.centre
    value = math.exp(difference)
    if above.variance is None or below.variance is None:
        return Ratio(value=value)
    variance = above.variance + below.variance
    if variance == 0:
        return Ratio(value=value, low=value, high=value)
    # Welch–Satterthwaite
    share = above.variance / variance
    degrees = 1 / (share**2 / (above.kept - 1) + (1 - share) ** 2 / (below.kept - 1))
    half = student_quantile((1 + level) / 2, degrees) * math.sqrt(variance)
    return Ratio(value=value, low=math.exp(difference - half), high=math.exp(difference + half))


def power_law(x: Sequence[float], y: Sequence[float], level: float = LEVEL) -> PowerLaw | None:
    """The least-squares line through (log x, log y).

    None for fewer than two different x, and where a value is not positive.

    The slope's interval is Student's with n - 2 degrees of freedom: exact when the points lie off a power law by
    independent lognormal factors of one spread. Points that are models chosen by hand are no random sample, so read it
    as how well these points fix the line.

    Raises:
        ValueError: `x` and `y` differ in length.
    """
    points = list(zip(x, y, strict=True))
    if len(set(x)) < 2 or any(min(point) <= 0 for point in points):
        return None
    across, up = [math.log(value) for value in x], [math.log(value) for value in y]
    slope, intercept = statistics.linear_regression(across, up)
    middle = statistics.fmean(across), statistics.fmean(up)
    spread_x = math.fsum((value - middle[0]) ** 2 for value in across)
    spread_y = math.fsum((value - middle[1]) ** 2 for value in up)
    rest = math.fsum((b - intercept - slope * a) ** 2 for a, b in zip(across, up, strict=True))
    half = None
    if len(points) > 2:
        half = student_quantile((1 + level) / 2, len(points) - 2) * math.sqrt(rest / (len(points) - 2) / spread_x)
    return PowerLaw(
        n=len(points),
        slope=slope,
        intercept=intercept,
        r_squared=max(0.0, 1 - rest / spread_y) if spread_y else None,
        slope_low=None if half is None else slope - half,
        slope_high=None if half is None else slope + half,
    )


def normal_quantile(share: float) -> float:
    """The value below which `share` (0 to 1, ends excluded) of a standard normal distribution lies.

    Raises:
        ValueError: `share` is not between 0 and 1.
    """
    _check_share(share)
    return statistics.NormalDist().inv_cdf(share)


@lru_cache(maxsize=1024)
def student_quantile(share: float, degrees: float) -> float:
    """The value below which `share` (0 to 1, ends excluded) of Student's t distribution lies.

    Newton's method on the tail area. The tail is convex and the normal quantile lies on its near side, so that
    each step comes closer and none goes too far. From 1,000 degrees of freedom on, the expansion in their inverse
    (Abramowitz & Stegun 26.7.5).

    Raises:
        ValueError: `share` is not between 0 and 1, or `degrees` of freedom is not positive.
    """
    _check_share(share)
    if not degrees > 0:
        raise ValueError(f"degrees is {degrees}; it must be positive")
    if share < 0.5:
        return -student_quantile(1 - share, degrees)
    if degrees >= _MANY:
        return _for_many(normal_quantile(share), degrees)
    value, area = normal_quantile(share), 1 - share
    for _ in range(200):
        tail = _tail(value, degrees)
        density = math.exp(_log_scale(degrees) - (degrees + 1) / 2 * math.log1p(value * value / degrees))
        step = (tail - area) / density
        value += step
        if abs(step) <= 1e-14 * max(1.0, value):
            break
    return value


class _Typical(msgspec.Struct, frozen=True):
    """A trimmed mean and the variance of that mean; `kept` values are in it."""

    centre: float
    variance: float | None
    kept: int


def _typical(values: Sequence[float]) -> _Typical:
    ordered = sorted(values)
    number, cut = len(ordered), int(TRIM_FRAC * len(ordered))
    inner = ordered[cut : number - cut]
    kept, centre = len(inner), statistics.fmean(inner)
    if kept < 2:
        return _Typical(centre, None, kept)
    winsorized = [inner[0]] * cut + inner + [inner[-1]] * cut
    return _Typical(centre, statistics.variance(winsorized) * (number - 1) / (kept * (kept - 1)), kept)


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it must lie between 0 and 1")


def _for_many(z: float, degrees: float) -> float:
    square = z * z
    terms = (
        (square + 1) / 4,
        ((5 * square + 16) * square + 3) / 96,
        (((3 * square + 19) * square + 17) * square - 15) / 384,
        ((((79 * square + 776) * square + 1482) * square - 1920) * square - 945) / 92160,
    )
    return z * (1 + sum(term / degrees**power for power, term in enumerate(terms, 1)))


def _log_scale(degrees: float) -> float:
    """Logarithm of the t density at 0."""
    return math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2


def _tail(value: float, degrees: float) -> float:
    """Area of Student's t distribution above a value that is not negative."""
    if value == 0:
        return 0.5
    near = degrees / (degrees + value * value)
    far = value * value / (degrees + value * value)
    if near * (degrees + 5) < degrees + 2:
        return _beta(degrees / 2, 0.5, near, far) / 2
    return (1 - _beta(0.5, degrees / 2, far, near)) / 2


def _beta(a: float, b: float, x: float, rest: float) -> float:
    """Regularized incomplete beta function I_x(a, b) with `rest` = 1 - x (DLMF 8.17.22, by Lentz's method)."""
    log_front = a * math.log(x) + b * math.log(rest) - math.log(a)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    c, d, fraction = 1.0, 0.0, 1.0
    for step in range(1000):
        half = step // 2
        if step == 0:
            term = 1.0
        elif step % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / _not_zero(1 + term * d)
        c = _not_zero(1 + term / c)
        fraction *= c * d
        if step and abs(1 - c * d) < 1e-16:
            break
    return math.exp(log_front) * (fraction - 1)


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
