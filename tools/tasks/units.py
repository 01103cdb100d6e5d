"""Items of `units`: conversions with an exact result, twenty-one of each kind."""

from __future__ import annotations

import random
from fractions import Fraction

from made import Draw, Made, draw_each

# How many of the second unit the first one is.
_RATIOS: dict[str, tuple[tuple[str, str, int], ...]] = {
    "length": (
        ("kilometres", "metres", 1000),
        ("metres", "centimetres", 100),
        ("centimetres", "millimetres", 10),
        ("feet", "inches", 12),
        ("yards", "feet", 3),
    ),
    "mass": (("kilograms", "grams", 1000), ("tonnes", "kilograms", 1000), ("pounds", "ounces", 16)),
    "volume": (
        ("litres", "millilitres", 1000),
        ("litres", "decilitres", 10),
        ("gallons", "quarts", 4),
        ("cubic metres", "litres", 1000),
    ),
    "time": (
        ("hours", "minutes", 60),
        ("minutes", "seconds", 60),
        ("days", "hours", 24),
        ("weeks", "days", 7),
        ("years", "months", 12),
    ),
    "count": (("dozen", "pieces", 12), ("bytes", "bits", 8), ("euros", "cents", 100), ("decades", "years", 10)),
}
_PARTS = (Fraction(1), Fraction(1), Fraction(1), Fraction(1, 2), Fraction(1, 4))


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    kinds = {kind: _converter(ratios) for kind, ratios in _RATIOS.items()}
    return draw_each(rng, {**kinds, "temperature": _temperature}, 21)


def _converter(ratios: tuple[tuple[str, str, int], ...]) -> Draw:
    def draw(rng: random.Random) -> tuple[str, str]:
        large, small, ratio = rng.choice(ratios)
        amount = rng.randint(2, 24) * rng.choice(_PARTS)
        if rng.random() < 0.5 and (amount * ratio).denominator == 1:
            return _question(amount, large, small), _number(amount * ratio)
        whole = rng.randint(2, 12) * ratio
        return _question(Fraction(whole), small, large), _number(Fraction(whole, ratio))

    return draw


def _temperature(rng: random.Random) -> tuple[str, str]:
    celsius = 5 * rng.randint(-8, 40)
    fahrenheit = celsius * 9 // 5 + 32
    match rng.randrange(3):
        case 0:
            return f"{celsius} degrees Celsius in degrees Fahrenheit", str(fahrenheit)
        case 1:
            return f"{fahrenheit} degrees Fahrenheit in degrees Celsius", str(celsius)
        case _:
            return f"{celsius} degrees Celsius in kelvin, taking 0 degrees Celsius as 273 kelvin", str(celsius + 273)


def _question(amount: Fraction, given: str, wanted: str) -> str:
    return f"{_number(amount)} {given} in {wanted}"


def _number(amount: Fraction) -> str:
    return f"{float(amount):g}" if amount.denominator > 1 else str(amount.numerator)
