"""The memory that a model takes, by kind, as a bar and in words: planned exactly, or expected before it is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from textual.content import Content

from slmtui.core.events import MemoryPart
from slmtui.core.text import memory

if TYPE_CHECKING:
    from slmtui.core.outlook import Outlook

_KINDS = (
    ("weights", "█", "$primary"),
    ("KV cache", "▓", "$accent"),
    ("recurrent state", "▓", "$accent"),
    ("compute", "▒", "$secondary"),
    ("output", "░", "$foreground"),
    ("worker", "▁", "$text-muted"),
)
_ALIKE = {"repacked weights": "weights", "vocabulary": "worker", "GPU context": "worker"}
"""Parts of an outlook that are shown with another kind."""


def planned(parts: Iterable[MemoryPart]) -> dict[str, int]:
    """Bytes of each kind that the engine would allocate."""
    return _summed((part.kind, part.bytes) for part in parts)


def expected(outlook: Outlook) -> dict[str, int]:
    """Bytes of each kind that are expected to be needed."""
    return _summed((_ALIKE.get(part.kind, part.kind), part.bytes) for part in outlook.parts if part.needed)


def memory_bar(kinds: Mapping[str, int], width: int) -> Content:
    """The kinds as a bar of `width` cells; one that is there gets at least one."""
    total = sum(kinds.values())
    shares = [(glyph, style, kinds[kind]) for kind, glyph, style in _KINDS if kinds.get(kind)]
    if not total or width < len(shares):
        return Content("")
    cells = [max(1, round(part / total * width)) for _, _, part in shares]
    cells[cells.index(max(cells))] += width - sum(cells)
    return Content.assemble(*((glyph * n, style) for (glyph, style, _), n in zip(shares, cells, strict=True)))


def memory_legend(kinds: Mapping[str, int]) -> list[str | Content]:
    """Sign, name and size of each kind."""
    return [
        Content.assemble((f"{glyph} ", style), (f"{kind} ", "$text-muted"), memory(kinds[kind]))
        for kind, glyph, style in _KINDS
        if kinds.get(kind)
    ]


def _summed(parts: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for kind, size in parts:
        found[kind] = found.get(kind, 0) + size
    return found
