"""Memory of each model to one scale: what the engine allocated by kind, and what the system charges to its worker."""

from __future__ import annotations

from typing import Literal

import msgspec
from rich.segment import Segment
from textual.reactive import reactive

from slmtui.core.text import memory, one_line
from slmtui.ui.widgets.chart import Chart

EngineKind = Literal["weights", "KV cache", "state", "compute", "output"]
_SIGNS: dict[EngineKind, str] = {"weights": "█", "KV cache": "▓", "state": "▒", "compute": "░", "output": "▪"}


class Charge(msgspec.Struct, frozen=True):
    """One figure of the operating system in bytes, at the end of the measurement and at its highest."""

    name: str
    now: int | None
    peak: int | None


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one model as it was loaded; bytes, None where nobody says."""

    label: str
    engine: tuple[tuple[EngineKind, int | None], ...]
    process: tuple[Charge, ...]

    @property
    def engine_bytes(self) -> int | None:
        """What the engine allocated in all; None when it named no buffer."""
        known = [size for _, size in self.engine if size is not None]
        return sum(known) if known else None


class MemoryChart(Chart):
    """A heading for each model; under it the engine's buffers end to end, then a line for each figure of the system."""

    uses: reactive[tuple[MemoryUse, ...]] = reactive((), layout=True)

    def __init__(self, *, style: str = "") -> None:
        """`style` names a CSS class for the chart."""
        super().__init__("Memory", "", style=style)
        self._drawn: tuple[int, list[tuple[str, str]]] = (-1, [])

    def watch_uses(self, uses: tuple[MemoryUse, ...]) -> None:
        """Name the signs that occur."""
        kinds = {kind for use in uses for kind, size in use.engine if size}
        signs = [f"{sign} {kind}" for kind, sign in _SIGNS.items() if kind in kinds]
        self.remark = "  ".join([*signs, "━ now", "┄ peak"])
        self._drawn = (-1, [])

    @property
    def labels(self) -> list[str]:
        """One label a line, none for a heading."""
        return [label for use in self.uses for label in ("", "  engine", *(f"  {c.name}" for c in use.process))]

    def heading(self, line: int) -> str | None:
        """A model's name over its lines."""
        begins = 0
        for use in self.uses:
            if begins == line:
                return one_line(use.label)
            begins += 2 + len(use.process)
        return None

    def draw(self, line: int, cells: int) -> list[Segment]:
        """A bar and its figures."""
        if self._drawn[0] != cells:
            self._drawn = (cells, self._lines(cells))
        bar, words = self._drawn[1][line]
        return [Segment(bar, self.style("chart--bar")), Segment(words, self.rich_style)]

    def _lines(self, cells: int) -> list[tuple[str, str]]:
        """Bar and figures of each line, together at most `cells` wide."""
        words = [_words(use, full=True) for use in self.uses]
        if max((len(each) for use in words for each in use), default=0) > max(24, cells * 3 // 5):
            words = [_words(use, full=False) for use in self.uses]
        room = max(0, cells - 2 - max((len(each) for use in words for each in use), default=0))
        top = max((_largest(use) for use in self.uses), default=0)
        drawn: list[tuple[str, str]] = []
        for use, figures in zip(self.uses, words, strict=True):
            bars = [_engine(use, top, room), *(_charge(charge, top, room) for charge in use.process)]
            drawn.append(("", ""))
            drawn += [(bar, f"{'':{room - len(bar) + 2}}{figure}") for bar, figure in zip(bars, figures, strict=True)]
        return drawn


def _engine(use: MemoryUse, top: int, room: int) -> str:
    text, done = "", 0
    for kind, size in use.engine:
        done += size or 0
        text += _SIGNS[kind] * (_cells(done, top, room) - len(text))
    return text


def _charge(charge: Charge, top: int, room: int) -> str:
    now, peak = _cells(charge.now, top, room), _cells(charge.peak, top, room)
    return "━" * now + "┄" * (peak - now)


def _words(use: MemoryUse, *, full: bool) -> list[str]:
    """The figures of each line: a sum with its parts, and now with the peak; the parts only if `full`."""
    parts = [f"{one_line(kind)} {memory(size)}" for kind, size in use.engine if size]
    lines = [f"{memory(use.engine_bytes):>8}" + (f"  {' + '.join(parts)}" if full and parts else "")]
    peaks = ["" if charge.peak is None else f"  peak {memory(charge.peak)}" for charge in use.process]
    return [*lines, *(f"{memory(charge.now):>8}{peak}" for charge, peak in zip(use.process, peaks, strict=True))]


def _largest(use: MemoryUse) -> int:
    return max([use.engine_bytes or 0, *(max(charge.now or 0, charge.peak or 0) for charge in use.process)])


def _cells(size: int | None, top: int, room: int) -> int:
    return round((size or 0) / top * room) if top else 0
