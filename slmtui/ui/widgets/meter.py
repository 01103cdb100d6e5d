"""The live figures of one model: what it does now, prefill, first token, decode, memory."""

from __future__ import annotations

from typing import Literal

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive, var
from textual.widget import Widget

from slmtui.core import text
from slmtui.core.events import MemoryPart, total_bytes
from slmtui.core.live import Live
from slmtui.core.places import by_device
from slmtui.ui.widgets.bars import bar
from slmtui.ui.widgets.laid_out import laid_out

Phase = Literal["queued", "loading", "ready", "waiting", "prefill", "decoding", "done", "stopped", "failed"]

ACTIVE: frozenset[Phase] = frozenset({"loading", "waiting", "prefill", "decoding"})
"""The phases that can be stopped."""

_STYLES: dict[Phase, str] = {
    "prefill": "bold $text-primary",
    "decoding": "bold $text-success",
    "stopped": "bold $text-warning",
    "failed": "bold $text-error",
}
_MUTED = "$text-muted"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter shows."""

    phase: Phase = "queued"
    live: Live = Live()
    fraction: float = 0.0
    """How much of the model is loaded."""
    note: str = ""
    """A few words beside the phase."""
    contended: bool = False
    """Whether other models run at the same time."""


class Meter(Vertical):
    """Three lines: activity with a curve of recent speeds, and two lines of figures."""

    DEFAULT_CSS = """
    Meter {
        height: auto;
        padding: 0 1;
        & > Horizontal { height: 1; }
    }
    """

    class StopClicked(Message):
        """The stop sign of this meter was clicked."""

    reading: var[Reading] = var(Reading())

    def compose(self) -> ComposeResult:
        """One line of activity with the stop sign at its end, then the figures."""
        with Horizontal():
            yield Activity()
            yield StopSign()
        yield Figures()

    def on_mount(self) -> None:
        """Show what was set before there were lines to show it."""
        self._show(self.reading)

    def watch_reading(self, reading: Reading) -> None:
        """Show what is new."""
        if self.is_mounted:
            self._show(reading)

    def _show(self, reading: Reading) -> None:
        self.query_one(Activity).reading = reading
        self.query_one(Figures).live = reading.live
        self.query_one(StopSign).display = reading.phase in ACTIVE

    @on(events.Click, "StopSign")
    def stop(self) -> None:
        """Tell whoever owns this meter."""
        self.post_message(self.StopClicked())


class Activity(Widget):
    """What the model does now, with a bar or the curve of recent speeds."""

    DEFAULT_CSS = "Activity { width: 1fr; height: 1; }"

    virtual_size = laid_out()
    reading: reactive[Reading] = reactive(Reading())

    def render(self) -> Content:
        """One line as wide as there is room."""
        return activity(self.reading, self.size.width)


class Figures(Widget):
    """Prefill, first token, decode and memory on two lines."""

    DEFAULT_CSS = "Figures { height: 2; }"

    live: reactive[Live] = reactive(Live())

    def render(self) -> Content:
        """Two lines in two columns."""
        return figures(self.live, self.size.width)


class StopSign(Widget):
    """Stops one model when clicked."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    StopSign {
        width: 8; height: 1; margin-left: 1; text-align: right;
        color: $text-error; pointer: pointer;
        &:hover { text-style: reverse; }
    }
    """

    virtual_size = laid_out()

    def on_mount(self) -> None:
        """Say what a click does."""
        self.tooltip = "Stop this model (x while its column has the focus)"

    def render(self) -> Content:
        """A square and a word."""
        return Content(" ■ stop ")


def activity(reading: Reading, width: int) -> Content:
    """The activity line: the phase in words, then a bar, the curve of speeds, or a remark."""
    live, phase = reading.live, reading.phase
    word = Content.styled(phase, _STYLES.get(phase, "bold"))
    match phase:
        case "loading":
            return _row(word, reading.fraction, text.share(reading.fraction).rjust(5), width)
        case "prefill":
            fraction = live.prefill_done / live.prefill_total if live.prefill_total else 0.0
            total = f" {live.prefill_done:,} of {live.prefill_total:,}"
            return _row(word, fraction, total, width)
        case "decoding" | "done" | "stopped":
            return _curve(word, reading, width)
        case _:
            return Content.assemble(word, (f"  {reading.note}" if reading.note else "", _MUTED))


def figures(live: Live, width: int) -> Content:
    """Two lines of two figures each, with the longest labels that fit into `width` cells; video memory if it fits."""
    waited = live.prefill_s if live.ttft_s is None and live.timing is None else None
    first = f"> {text.duration(waited)}" if waited else text.duration(live.ttft_s)
    charged = text.memory(live.memory.charged_bytes if live.memory else None)
    long = width >= 44
    left = (("prefill", text.rate(live.prefill_tps)), ("decode", text.rate(live.decode_tps)))
    right = (("first token" if long else "first", first), ("memory" if long else "mem", charged))
    label_width = max(len(label) for label, _ in right)
    indent = max(22, min(width // 2, 30))
    lines = []
    for (speed_label, speed), (label, value) in zip(left, right, strict=True):
        lines.append(
            Content.assemble(
                (f"{speed_label:<7}", _MUTED),
                _figure(f"{speed:>7}", speed),
                (" tok/s".ljust(indent - 14), _MUTED),
                (f"{label:<{label_width}}", _MUTED),
                _figure(f"{value:>9}", value),
            )
        )
    video = live.memory.gpu_bytes if live.memory else None
    if video is not None:
        on_gpu = f" + {text.memory(video)} GPU"
        if lines[-1].cell_length + len(on_gpu) <= width:
            lines[-1] = Content.assemble(lines[-1], (on_gpu, "bold"))
    return Content("\n").join(lines)


def memory_words(live: Live, engine: tuple[MemoryPart, ...]) -> str:
    """Process and engine memory, each under its name, one figure a line."""
    process = live.memory
    lines = ["Charged to the worker process"]
    if process is not None:
        named = (
            ("footprint", process.footprint_bytes),
            ("PSS", process.pss_bytes),
            ("USS", process.uss_bytes),
            ("RSS", process.rss_bytes),
            ("on GPUs", process.gpu_bytes),
            ("peak RSS", live.peak_rss_bytes),
        )
        lines += [f"  {name:<10}{text.memory(value):>9}" for name, value in named if value is not None]
    else:
        lines.append("  not sampled yet")
    if own := live.allocator:
        lines.append("By the engine's own account")
        account = (("in use", own.active_bytes), ("kept", own.cache_bytes), ("peak", own.peak_bytes))
        lines += [f"  {name:<10}{text.memory(value):>9}" for name, value in account]
    lines.append("Allocated by the engine")
    lines += [f"  {part.kind:<10}{text.memory(part.bytes):>9}  {text.one_line(part.device)}" for part in engine]
    devices = by_device(engine)
    if len(devices) > 1:
        lines += [f"  {'on ' + text.one_line(name):<10}{text.memory(size):>9}" for name, size in devices.items()]
    lines.append(f"  {'together':<10}{text.memory(total_bytes(engine)):>9}" if engine else "  not loaded yet")
    return "\n".join(lines)


def _figure(shown: str, value: str) -> tuple[str, str]:
    return shown, _MUTED if value == text.NOT_MEASURED or value.startswith(">") else "bold"


def _row(word: Content, fraction: float, tail: str, width: int) -> Content:
    room = width - word.cell_length - len(tail) - 2
    return Content.assemble(word, "  ", bar(fraction, max(0, room)), (tail, _MUTED))


def _curve(word: Content, reading: Reading, width: int) -> Content:
    live = reading.live
    tail = f" {live.tokens:,} tok"
    if reading.contended:
        tail += " · contended"
    room = min(48, width - word.cell_length - len(tail) - 2)
    curve = text.sparkline(live.speeds(room), room) if room > 0 else ""
    return Content.assemble(word, "  ", (curve, "$primary"), (tail, _MUTED))
