"""Items of `number-rules`: five numbers that follow a rule, and the one that comes next; twenty-one of each rule."""

from __future__ import annotations

import random
from collections.abc import Sequence

from made import Made, draw_each


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    kinds = {
        "constant step": _constant_step,
        "constant ratio": _constant_ratio,
        "growing step": _growing_step,
        "alternating steps": _alternating_steps,
        "sum of the last two": _last_two,
        "double and add": _double_and_add,
    }
    return draw_each(rng, kinds, 21)


def _constant_step(rng: random.Random) -> tuple[str, str]:
    start, step = rng.randint(1, 60), rng.choice((-9, -7, -6, -4, -3, 3, 4, 6, 7, 8, 9, 11, 12, 15, 25))
    start += 60 if step < 0 else 0
    return _question([start + step * place for place in range(6)])


def _constant_ratio(rng: random.Random) -> tuple[str, str]:
    start, ratio = rng.randint(1, 9), rng.choice((2, 2, 3, 4, 5, 10))
    terms = [start * ratio**place for place in range(6)]
    return _question(terms[::-1] if rng.random() < 0.3 else terms)


def _growing_step(rng: random.Random) -> tuple[str, str]:
    start, step, growth = rng.randint(0, 20), rng.randint(1, 6), rng.choice((1, 1, 2, 3))
    return _question([start + place * step + growth * place * (place - 1) // 2 for place in range(6)])


def _alternating_steps(rng: random.Random) -> tuple[str, str]:
    start, first, second = rng.randint(10, 40), rng.randint(2, 9), rng.choice((-4, -3, -2, -1, 1, 10, 20))
    steps = [0, first, second, first, second, first]
    return _question([start + sum(steps[: place + 1]) for place in range(6)])


def _last_two(rng: random.Random) -> tuple[str, str]:
    terms = [rng.randint(1, 9), rng.randint(1, 12)]
    while len(terms) < 6:
        terms.append(terms[-2] + terms[-1])
    return _question(terms)


def _double_and_add(rng: random.Random) -> tuple[str, str]:
    terms, added = [rng.randint(1, 9)], rng.choice((-1, 1, 2, 3))
    terms[0] += 2 if added < 0 else 0  # so that it does not stand still at 1
    while len(terms) < 6:
        terms.append(2 * terms[-1] + added)
    return _question(terms)


def _question(terms: Sequence[int]) -> tuple[str, str]:
    return ", ".join(str(term) for term in terms[:-1]), str(terms[-1])
