"""Items of `arithmetic`: five kinds of expressions, thirty of each."""

from __future__ import annotations

import random

from made import Made, draw_each


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    kinds = {
        "sum": _sum,
        "difference": _difference,
        "product": _product,
        "quotient": _quotient,
        "two operations": _two_operations,
    }
    return draw_each(rng, kinds, 30)


def _sum(rng: random.Random) -> tuple[str, str]:
    first, second = rng.randint(3, 99), rng.randint(3, 99)
    return f"{first} + {second}", str(first + second)


def _difference(rng: random.Random) -> tuple[str, str]:
    second, rest = rng.randint(3, 60), rng.randint(2, 60)
    return f"{second + rest} - {second}", str(rest)


def _product(rng: random.Random) -> tuple[str, str]:
    first, second = rng.randint(2, 12), rng.randint(3, 15)
    return f"{first} * {second}", str(first * second)


def _quotient(rng: random.Random) -> tuple[str, str]:
    second, value = rng.randint(2, 12), rng.randint(2, 15)
    return f"{second * value} / {second}", str(value)


def _two_operations(rng: random.Random) -> tuple[str, str]:
    first, second, third = rng.randint(2, 20), rng.randint(2, 12), rng.randint(2, 9)
    match rng.randrange(4):
        case 0:
            return f"{first} + {second} * {third}", str(first + second * third)
        case 1:
            return f"({first} + {second}) * {third}", str((first + second) * third)
        case 2:
            less = rng.randint(1, second * third - 1)
            return f"{second} * {third} - {less}", str(second * third - less)
        case _:
            return f"{second * third} / {third} + {first}", str(second + first)
