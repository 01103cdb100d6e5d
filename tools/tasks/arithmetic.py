"""Items of `arithmetic`: five kinds of expressions, thirty of each."""

from __future__ import annotations

import random

Made = dict[str, str]
EACH = 30


def items(rng: random.Random) -> list[Made]:
    """Thirty expressions of each kind, no two the same, in mixed order."""
    made: dict[str, Made] = {}
    for category, draw in (
        ("sum", _sum),
        ("difference", _difference),
        ("product", _product),
        ("quotient", _quotient),
        ("two operations", _two_operations),
    ):
        before = len(made)
        while len(made) < before + EACH:
            text, value = draw(rng)
            made.setdefault(text, {"input": text, "target": str(value), "category": category})
    return rng.sample(list(made.values()), len(made))


def _sum(rng: random.Random) -> tuple[str, int]:
    first, second = rng.randint(3, 99), rng.randint(3, 99)
    return f"{first} + {second}", first + second


def _difference(rng: random.Random) -> tuple[str, int]:
    second, rest = rng.randint(3, 60), rng.randint(2, 60)
    return f"{second + rest} - {second}", rest


def _product(rng: random.Random) -> tuple[str, int]:
    first, second = rng.randint(2, 12), rng.randint(3, 15)
    return f"{first} * {second}", first * second


def _quotient(rng: random.Random) -> tuple[str, int]:
    second, value = rng.randint(2, 12), rng.randint(2, 15)
    return f"{second * value} / {second}", value


def _two_operations(rng: random.Random) -> tuple[str, int]:
    first, second, third = rng.randint(2, 20), rng.randint(2, 12), rng.randint(2, 9)
    match rng.randrange(4):
        case 0:
            return f"{first} + {second} * {third}", first + second * third
        case 1:
            return f"({first} + {second}) * {third}", (first + second) * third
        case 2:
            return f"{second} * {third} + {first}", second * third + first
        case _:
            return f"{first + second * third} - {second} * {third}", first
