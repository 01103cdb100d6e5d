from __future__ import annotations

import random
from itertools import pairwise

import pytest

from slmtui.core.rate import Rate
from slmtui.core.spans import Ramp, Spans


def test_spans_are_the_set_of_their_bytes() -> None:
    chance = random.Random(3)
    for _ in range(200):
        spans, bytes_in = Spans(), set[int]()
        for _ in range(chance.randrange(12)):
            start = chance.randrange(40)
            end = start + chance.randrange(-2, 8)
            spans.add(start, end)
            bytes_in |= set(range(start, end))
        listed = list(spans)
        assert {byte for start, end in listed for byte in range(start, end)} == bytes_in
        assert all(end < start for (_, end), (start, _) in pairwise(listed)), "apart, in order"
        assert spans.total == len(bytes_in)
        assert spans.frontier == next(byte for byte in range(60) if byte not in bytes_in)
        assert {b for start, end in spans.gaps(50) for b in range(start, end)} == set(range(50)) - bytes_in


@pytest.mark.parametrize(
    ("rates", "lines"),
    [
        ([10, 20, 40, 40, 50], 4),  # each connection brings as much as the first
        ([10, 20], 4),
        ([10, 10, 10, 10], 2),  # the second brings nothing
        ([10, 11, 20, 30], 2),  # as good as nothing
        ([0, 0, 0], 1),  # nothing comes
    ],
)
def test_connections_are_doubled_while_those_before_helped(rates: list[int], lines: int) -> None:
    ramp = Ramp(most=4, every_s=2.0)
    done = 0
    assert ramp.note(0.0, 0, 10**6) == 1
    for number, rate in enumerate(rates, start=1):
        done += 2 * rate
        ramp.note(2.0 * number, done, 10**6)
    assert ramp.lines == lines


def test_a_short_rest_is_not_worth_a_connection_and_a_busy_host_settles_it() -> None:
    ramp = Ramp(most=4, every_s=2.0)
    ramp.note(0.0, 0, 100)
    assert ramp.note(2.0, 50, 50) == 1
    ramp = Ramp(most=4, every_s=2.0)
    ramp.note(0.0, 0, 10**6)
    assert ramp.note(2.0, 50, 10**6) == 2
    ramp.settle(1)
    assert ramp.note(4.0, 500, 10**6) == 1


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(window_s=5.0)
    assert (rate.per_s, rate.left_s(10)) == (None, None)
    rate.note(0.0, 0)
    assert rate.per_s is None
    for second in range(1, 11):
        rate.note(float(second), 100 * min(second, 5))
    assert rate.per_s == 0
    assert rate.left_s(10) is None
    rate.note(11.0, 1000)
    assert rate.per_s == pytest.approx(100)
    assert rate.left_s(200) == pytest.approx(2)
    rate.note(12.0, 10)
    assert rate.per_s is None, "it was begun anew"
