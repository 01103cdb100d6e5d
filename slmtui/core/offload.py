"""How many layers of a model go to the GPU, the output counting as one: all, none, a number, or as many as fit."""

from __future__ import annotations

import math
from collections.abc import Callable

from slmtui.core.text import counted

ALL, FIT = -1, -2
"""Wishes that are no number: all layers, and as many as the free video memory holds."""
SPLIT_MODES = ("layer", "row", "none")
"""How several GPUs can share a model: whole layers, rows of each matrix, or the first GPU alone."""
_NAMES = {"all": ALL, "fit": FIT}


def layers_of(text: str) -> int:
    """A number of layers, `all` or `fit`, as a wish.

    Raises:
        ValueError: it is none of these.
    """
    known = _NAMES.get(text.strip().casefold())
    return int(text) if known is None else known


def layers_word(layers: int) -> str:
    """What `layers_of` understands: "all", "fit", "12"."""
    return next((name for name, wish in _NAMES.items() if wish == layers), str(layers))


def layers_words(layers: int) -> str:
    """The wish in words: "all layers", "as many layers as fit", "12 layers"."""
    return {ALL: "all layers", FIT: "as many layers as fit"}.get(layers) or counted(layers, "layer")


def partly(offloaded: int | None, layers: int | None) -> str:
    """How much of a model with so many layers the GPU has, where it is a part: " 12/33 layers", else empty."""
    return f" {offloaded}/{layers + 1} layers" if offloaded and layers and offloaded <= layers else ""


def shares_of(text: str) -> tuple[float, ...]:
    """`3/1` as the shares of the first and the second GPU.

    Raises:
        ValueError: these are not two or more positive numbers.
    """
    shares = tuple(float(part) for part in text.split("/"))
    if len(shares) < 2 or not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise ValueError(f"{text!r} are no shares")
    return shares


def shares_words(shares: tuple[float, ...]) -> str:
    """What `shares_of` understands; empty for none."""
    return "/".join(f"{share:g}" for share in shares)


def most_layers(layers: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `layers` that fits, 0 when none does; more layers never need less memory.

    All of them is asked first, which is the usual case, then halves: about log2(layers) questions.
    """
    if fits(layers):
        return layers
    low, high = 0, layers
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
