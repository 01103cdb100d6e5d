"""Tables of what was measured: cells with median and spread, and single measurements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from slmtui.core.events import StopReason, total_bytes
from slmtui.core.measurement import Measurement
from slmtui.core.places import on_gpus
from slmtui.core.results import CellResult, shape_label
from slmtui.core.stats import Summary
from slmtui.core.text import NOT_MEASURED, memory, milliseconds, one_line, rate, share
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn

_CELLS = (
    TableColumn("model", "model", 15, room=30),
    TableColumn("shape", "shape", 19, room=29),
    TableColumn("prefill", "prefill", 7, right=True, unit="tok/s"),
    TableColumn("prefill spread", "spread", 7, rank=3, right=True),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("decode spread", "spread", 7, rank=3, right=True),
    TableColumn("ttft", "TTFT", 7, rank=2, right=True, unit="ms"),
    TableColumn("memory", "memory", 8, rank=1, right=True),
    TableColumn("gpu", "on GPUs", 8, rank=5, right=True),
    TableColumn("n", "n", 3, rank=4, right=True),
)
_MEASUREMENTS = (
    TableColumn("number", "#", 4, rank=3, right=True),
    TableColumn("time", "time", 8),
    TableColumn("model", "model", 15, room=30),
    TableColumn("shape", "shape", 19, room=29),
    TableColumn("prefill", "prefill", 7, right=True, unit="tok/s"),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("ttft", "TTFT", 7, rank=1, right=True, unit="ms"),
    TableColumn("tokens", "tokens", 6, rank=2, right=True),
    TableColumn("memory", "memory", 8, rank=2, right=True),
    TableColumn("gpu", "on GPUs", 8, rank=5, right=True),
    TableColumn("ended", "ended", 10, rank=4, room=18),
)


class CellTable(FitTable):
    """One row a cell: the median of its repetitions, and how far they spread."""

    def __init__(self) -> None:
        super().__init__(*_CELLS, sort="order")
        self.show_cursor = False

    def on_focus(self) -> None:
        """A highlight means something only where keys go."""
        self.show_cursor = True

    def on_blur(self) -> None:
        """No keys, no highlight."""
        self.show_cursor = False

    def show(self, results: Sequence[CellResult]) -> None:
        """Show these cells and no others."""
        rows = {str(number): cell_figures(number, result) for number, result in enumerate(results)}
        self.show_only(rows)


class MeasurementTable(FitTable):
    """One row a repetition or answer."""

    def __init__(self) -> None:
        super().__init__(*_MEASUREMENTS, sort="time")

    def show(self, measurements: Sequence[Measurement]) -> None:
        """Show these measurements and no others."""
        self.show_only({each.id: measurement_figures(number, each) for number, each in enumerate(measurements, 1)})


def cell_figures(number: int, result: CellResult) -> dict[str, Figure]:
    """The cells of one row, in `CellTable`'s columns."""
    bytes_used = result.process_bytes if result.process_bytes is not None else total_bytes(result.engine_memory)
    return {
        "order": Figure("", number),
        "model": _model(result.name, demo=result.demo),
        "shape": Figure(f"{result.shape}, together" if result.together else result.shape, result.shape),
        "prefill": _speed(result.prefill_tps),
        "prefill spread": _spread(result.prefill_tps),
        "decode": _speed(result.decode_tps),
        "decode spread": _spread(result.decode_tps),
        "ttft": _milliseconds(result.ttft_s.median if result.ttft_s else None),
        "memory": Figure(memory(bytes_used or None), bytes_used or None),
        "gpu": _size(on_gpus(result.measurements[-1].process_memory, result.engine_memory)),
        "n": Figure(str(len(result.measurements)), len(result.measurements), "muted"),
    }


def measurement_figures(number: int, each: Measurement) -> dict[str, Figure]:
    """The cells of one row, in `MeasurementTable`'s columns."""
    timing = each.timing
    charged = each.process_memory.charged_bytes if each.process_memory else None
    label = shape_label(timing.prompt_tokens, timing.decode_steps, timing.depth, between=" ")
    words = "chat" if each.kind == "chat" else label
    return {
        "number": Figure(str(number), number, "muted"),
        "time": Figure(local_time(each.measured_at, "%H:%M:%S"), number),
        "model": _model(each.name, demo=each.demo),
        "shape": Figure(f"{words}, together" if each.together else words, label),
        "prefill": Figure(rate(timing.prefill_tps), timing.prefill_tps),
        "decode": Figure(rate(timing.decode_tps), timing.decode_tps),
        "ttft": _milliseconds(timing.ttft_s),
        "tokens": Figure(f"{timing.generated_tokens:,}", timing.generated_tokens),
        "memory": Figure(memory(charged), charged),
        "gpu": _size(on_gpus(each.process_memory, each.engine_memory)),
        "ended": Figure(each.reason.value, each.reason.value, "warn" if _cut(each.reason) else "muted"),
    }


def model_words(name: str, *, demo: bool) -> str:
    """A model's name for a row; a path is shown by its file name, a demo model is labelled."""
    shown = Path(name).name if "/" in name or "\\" in name else name
    return f"{one_line(shown)} · demo" if demo else one_line(shown)


def local_time(iso: str, form: str = "%Y-%m-%d %H:%M") -> str:
    """A stored moment in the person's own time zone; what can't be read is shown as it is."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime(form)
    except ValueError:
        return one_line(iso)


def _model(name: str, *, demo: bool) -> Figure:
    return Figure(model_words(name, demo=demo), name, "strong", short=model_words(name, demo=False))


def _speed(summary: Summary | None) -> Figure:
    return Figure(rate(summary.median if summary else None), summary.median if summary else None)


def _spread(summary: Summary | None) -> Figure:
    if summary is None or summary.n < 2:
        return Figure(NOT_MEASURED, tone="muted")
    words = share(summary.spread_frac)
    return Figure(f"! {words}" if summary.noisy else words, summary.spread_frac, "warn" if summary.noisy else "muted")


def _size(value: int | None) -> Figure:
    return Figure(memory(value), value, "" if value else "muted")


def _milliseconds(value: float | None) -> Figure:
    return Figure(milliseconds(value), value)


def _cut(reason: StopReason) -> bool:
    return reason in (StopReason.CANCELLED, StopReason.CONTEXT_FULL)
