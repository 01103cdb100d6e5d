"""What sequences (texts, lists of token ids) have in common at their beginnings."""

from __future__ import annotations

from collections.abc import Sequence
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
    """The longest beginning that more than half of the texts have.

    Raises:
        ValueError: there is no text.
    """
    ordered = sorted(texts)
    pairs = zip(ordered, ordered[len(ordered) // 2 :], strict=False)  # what the ends of a run share, all in it share
    return max((one[: shared(one, other)] for one, other in pairs), key=len)
