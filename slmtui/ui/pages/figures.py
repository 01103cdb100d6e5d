"""Cells of tables that several pages share."""

from __future__ import annotations

from slmtui.core import text
from slmtui.core.stats import Summary
from slmtui.core.text import NOT_MEASURED, memory, rate, share
from slmtui.ui.pages.entry import Entry, Phase
from slmtui.ui.widgets.fit_table import Figure, TableColumn
from slmtui.ui.widgets.result_table import model_words

MODEL = TableColumn("model", "model", 16, room=32)
TEST = TableColumn("test", "test", 18, room=28)
SETUP = TableColumn("setup", "settings", 12, room=40)


def names(entry: Entry) -> dict[str, Figure]:
    """Order, model, test and settings of a cell."""
    result = entry.result
    words = model_words(entry.model, demo=result.demo)
    test = f"{result.shape}, together" if result.together else result.shape
    return {
        "order": Figure("", entry.number),
        "model": Figure(words, entry.model, "strong", short=entry.model),
        "test": Figure(test, test),
        "setup": Figure(entry.setup, entry.setup or None, "muted"),
    }


def summary_of(entry: Entry, phase: Phase) -> Summary | None:
    """The speed of a phase."""
    return entry.result.prefill_tps if phase == "prefill" else entry.result.decode_tps


def speed(value: float | None) -> Figure:
    """Tokens per second."""
    return Figure(rate(value), value, "" if value is not None else "muted")


def median(summary: Summary | None) -> Figure:
    """A median in tokens per second."""
    return speed(summary.median if summary else None)


def quartiles(entry: Entry, phase: Phase) -> Figure:
    """From the lower to the upper quartile; it sorts by spread, and a noisy one stands out. Of means, ± sd."""
    summary = summary_of(entry, phase)
    if summary is None or summary.n < 2:
        return Figure(NOT_MEASURED, tone="muted")
    if entry.result.averaged:
        return Figure(f"± {rate(summary.sd)}", summary.sd / summary.mean if summary.mean else None, "muted")
    words = f"{rate(summary.q1)}–{rate(summary.q3)}"
    return Figure(words, summary.spread_frac, "warn" if summary.noisy else "muted")


def milliseconds(value: float | None) -> Figure:
    """Seconds in a column of milliseconds: with one unit, figures can be compared by eye."""
    return Figure(text.milliseconds(value), value)


def size(value: int | None) -> Figure:
    """Memory in words."""
    return Figure(memory(value), value)


def percent(value: float | None) -> Figure:
    """A share in per cent."""
    return Figure(share(value), value)


def number(value: int | None) -> Figure:
    """A count."""
    return Figure(NOT_MEASURED if value is None else f"{value:,}", value)


def celsius(value: float | None) -> Figure:
    """A temperature."""
    return Figure(NOT_MEASURED if value is None else f"{value:.0f} °C", value)
