"""What the generators share: an item as it will be written, and drawing different ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

Made = dict[str, Any]
Draw = Callable[[random.Random], tuple[str, str]]
"""Draws an input and its target."""


def draw_each(rng: random.Random, kinds: Mapping[str, Draw], each: int) -> list[Made]:
    """`each` items of every kind, which becomes their category; no input twice; in mixed order."""
    made: dict[str, Made] = {}
    for category, draw in kinds.items():
        wanted = len(made) + each
        while len(made) < wanted:
            text, target = draw(rng)
            made.setdefault(text, {"input": text, "target": target, "category": category})
    return rng.sample(list(made.values()), len(made))


def words(text: str) -> list[str]:
    """Words of `text`."""
    return text.split()
