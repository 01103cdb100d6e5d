"""One line a model while a benchmark runs: what it does, how fast, how much memory. No other text is painted."""

from __future__ import annotations

from typing import Literal

import msgspec
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from slmtui.core import text
from slmtui.core.events import Timing
from slmtui.core.live import Live
from slmtui.ui.widgets.bars import bar

State = Literal["idle", "waiting", "loading", "warming up", "measuring", "done", "stopped", "failed"]

_STATE_CELLS = 18
_VIDEO_CELLS, _VIDEO_FROM = 10, 76
"""Of the column of video memory, and of the whole line from which there is room for it."""
_STYLES: dict[State, str] = {
    "warming up": "$text-warning",
    "measuring": "bold $text-success",
    "done": "bold",
    "stopped": "$text-warning",
    "failed": "bold $text-error",
}
_MUTED = "$text-muted"


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """What one line shows."""

    name: str
    state: State = "idle"
    words: str = ""
    """The state in words."""
    live: Live = Live()
    last: Timing | None = None
    """Times of the run before: what is shown until the running one has a figure of its own."""
    running: bool = False
    """Whether this model is the one that runs now."""

    @property
    def gpu_bytes(self) -> int | None:
        """Video memory of the worker; None where it uses none, or the driver does not say."""
        return self.live.memory.gpu_bytes if self.live.memory else None

    @property
    def prefill_tps(self) -> float | None:
        """Prompt tokens per second, live or of the run before."""
        return _first(self.live.prefill_tps, self.last.prefill_tps if self.last else None)

    @property
    def decode_tps(self) -> float | None:
        """Decode steps per second, live or of the run before."""
        return _first(self.live.decode_tps, self.last.decode_tps if self.last else None)


class Gauges(Widget):
    """A line for each model under one line of heads."""

    DEFAULT_CSS = "Gauges { height: auto; }"

    rows: reactive[tuple[Gauge, ...]] = reactive((), layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The heads and the lines."""
        return len(self.rows) + 1

    def render(self) -> Content:
        """All lines; the decode bars are as long as the fastest model is fast."""
        fastest = max((row.decode_tps or 0.0 for row in self.rows), default=0.0)
        room = self.content_size.width >= _VIDEO_FROM
        video = room and any(row.gpu_bytes is not None for row in self.rows)
        name_cells, bar_cells = layout(self.rows, self.content_size.width - video * _VIDEO_CELLS)
        lines = [_heads(name_cells, bar_cells, video=video)]
        for row in self.rows:
            lines.append(_line(row, fastest, name_cells, bar_cells))
            if video:
                lines[-1] = Content.assemble(lines[-1], f"{text.memory(row.gpu_bytes):>{_VIDEO_CELLS}}")
        return Content("\n").join(lines)


def layout(rows: tuple[Gauge, ...], width: int) -> tuple[int, int]:
    """Cells for the name and for each of the two bars in a line of `width` cells."""
    figures = _STATE_CELLS + 2 * 7 + 9 + 7
    name = min(max((len(text.one_line(row.name)) for row in rows), default=8), max(8, width - figures - 12), 34)
    return name, max(0, min(40, (width - figures - name) // 2))


def _heads(name_cells: int, bar_cells: int, *, video: bool) -> Content:
    speed = bar_cells + 9
    unit = " tok/s" if speed > 13 else ""
    heads = f"{'model':<{name_cells}}  {'now':<{_STATE_CELLS}}{f'prefill{unit}':>{speed}}{f'decode{unit}':>{speed}}"
    video_head = f"{'on GPUs':>{_VIDEO_CELLS}}" if video else ""
    return Content.styled(f"{heads}{'memory':>10}{video_head}", _MUTED)


def _line(row: Gauge, fastest: float, name_cells: int, bar_cells: int) -> Content:
    live = row.live
    progress = live.prefill_done / live.prefill_total if live.prefill_total else 0.0
    speed = (row.decode_tps or 0.0) / fastest if fastest else 0.0
    charged = text.memory(live.memory.charged_bytes if live.memory else None)
    figure = "bold" if row.running else ""
    return Content.assemble(
        f"{text.shorten(text.one_line(row.name), name_cells):<{name_cells}}  ",
        (f"{text.shorten(row.words, _STATE_CELLS - 1):<{_STATE_CELLS}}", _STYLES.get(row.state, _MUTED)),
        " ",
        bar(progress, bar_cells, "$accent"),
        (f"{text.rate(row.prefill_tps):>8}", figure),
        " ",
        bar(speed, bar_cells),
        (f"{text.rate(row.decode_tps):>8}", figure),
        f"{charged:>10}",
    )


def _first(live: float | None, last: float | None) -> float | None:
    return last if live is None else live
