"""What sequences (texts, lists of token ids) have in common at their beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

_Text = TypeVar("_Text", str, list[int])


def shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Length of what two sequences begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def usual(texts: Sequence[_Text]) -> _Text:
    """The beginning that is worth the most to read only once: its length times the number of other texts that have it.

    A single text is its own beginning.

    Raises:
        IndexError: there is no text.
    """
    ordered = sorted(texts)
    alike = [shared(one, other) for one, other in pairwise(ordered)]
    best, worth = (0, len(ordered[0]) if len(ordered) == 1 else 0), 0
    for first in range(len(alike)):
        length = alike[first]
        for last in range(first, len(alike)):
            length = min(length, alike[last])
            if length * (last - first + 1) > worth:
                best, worth = (first, length), length * (last - first + 1)
    return ordered[best[0]][: best[1]]
