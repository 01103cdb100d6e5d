"""The results of a benchmark, one row a model, with the engine's memory by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, total_bytes
from slmtui.core.results import CellResult, memory_by_kind
from slmtui.core.stats import Summary
from slmtui.core.text import NOT_MEASURED, duration, memory, one_line, rate
from slmtui.ui.widgets.chart import Stack
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn
from slmtui.ui.widgets.result_table import model_words

_COLUMNS = (
    TableColumn("model", "model", 16, room=32),
    TableColumn("prefill", "prefill", 7, right=True, unit="tok/s"),
    TableColumn("prefill spread", "q1–q3", 13, rank=2, right=True),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("decode spread", "q1–q3", 11, rank=2, right=True),
    TableColumn("ttft", "TTFT", 7, right=True),
    TableColumn("engine", "memory", 8, rank=3, right=True, unit="engine"),
    TableColumn("process", "memory", 8, right=True, unit="process"),
    TableColumn("n", "n", 2, rank=1, right=True),
    TableColumn("note", "", 6, sortable=False),
)


class CompareTable(FitTable):
    """Medians, quartiles and memory of each model; a failed one keeps its row."""

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, sort="order")

    def show(self, models: Sequence[LocalModel], results: Sequence[CellResult], failures: Mapping[str, Failed]) -> None:
        """Show the models that have a result or a failure, in this order."""
        by_model = {result.model: result for result in results}
        rows = {
            model.id: row_figures(number, model, by_model.get(model.id), failed=model.id in failures)
            for number, model in enumerate(models)
            if model.id in by_model or model.id in failures
        }
        self.show_only(rows)
        self.styles.height = len(rows) + self.header_height


def row_figures(number: int, model: LocalModel, result: CellResult | None, *, failed: bool) -> dict[str, Figure]:
    """The cells of one row."""
    figures = {
        "order": Figure("", number),
        "model": Figure(model_words(model.name, demo=model.demo), model.name, "strong", short=model.name),
        "note": Figure("failed", tone="bad") if failed else Figure(""),
    }
    if result is None:
        return figures
    ttft = result.ttft_s.median if result.ttft_s else None
    if result.noisy and not failed:
        figures["note"] = Figure("noisy", tone="warn")
    return figures | {
        "prefill": _speed(result.prefill_tps),
        "prefill spread": _spread(result.prefill_tps),
        "decode": _speed(result.decode_tps),
        "decode spread": _spread(result.decode_tps),
        "ttft": Figure(duration(ttft), ttft),
        "engine": _memory(total_bytes(result.engine_memory) or None),
        "process": _memory(result.process_bytes),
        "n": Figure(str(len(result.measurements)), len(result.measurements), "muted"),
    }


def describe(result: CellResult) -> Content:
    """What the table has no column for: how it was measured."""
    first = result.measurements[0]
    settings = first.settings
    words = [
        f"{first.warmup_runs} warm-ups" if first.warmup_runs is not None else "",
        f"{settings.threads} threads" if settings.threads else "",
        f"context {settings.context:,}" if settings.context else "",
        f"KV {settings.type_k}" if settings.type_k else "",
        f"loaded in {duration(first.load_s)}" if first.load_s is not None else "",
        f"peak RSS {memory(result.peak_rss_bytes)}" if result.peak_rss_bytes is not None else "",
    ]
    return Content.assemble((one_line(result.name), "bold"), (f"  {' · '.join(filter(None, words))}", "$text-muted"))


def stack(result: CellResult) -> Stack:
    """The engine's memory for the chart."""
    kinds = memory_by_kind(result.engine_memory)
    return Stack(result.name, (kinds["weights_bytes"], kinds["kv_cache_bytes"], kinds["compute_bytes"]))


def _speed(summary: Summary | None) -> Figure:
    return Figure(rate(summary.median if summary else None), summary.median if summary else None)


def _spread(summary: Summary | None) -> Figure:
    if summary is None or summary.n < 2:
        return Figure(NOT_MEASURED, tone="muted")
    return Figure(f"{rate(summary.q1)}–{rate(summary.q3)}", summary.spread_frac, "warn" if summary.noisy else "muted")


def _memory(value: int | None) -> Figure:
    return Figure(memory(value), value)
