"""The results of a plan, one row a cell: its state, its speeds with their spread, bandwidth use and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from textual.content import Content

from slmtui.core.events import ProcessMemory, total_bytes
from slmtui.core.places import engine_words, on_gpus
from slmtui.core.plan import Cell, setup_words
from slmtui.core.results import CellResult
from slmtui.core.text import duration, memory, one_line
from slmtui.ui.pages.bench import CellState
from slmtui.ui.pages.entry import Entry, counted
from slmtui.ui.pages.figures import MODEL, SETUP, TEST, median, milliseconds, names, number, percent, quartiles, size
from slmtui.ui.widgets.fit_table import Figure, TableColumn, Tone
from slmtui.ui.widgets.page_table import PageTable
from slmtui.ui.widgets.result_table import model_words

_COLUMNS = (
    TableColumn("state", "state", 9),
    MODEL,
    TEST,
    SETUP,
    TableColumn("prefill", "prefill", 7, right=True, unit="tok/s"),
    TableColumn("prefill spread", "q1–q3", 13, rank=3, right=True),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("decode spread", "q1–q3", 13, rank=3, right=True),
    TableColumn("ttft", "TTFT", 7, rank=2, right=True, unit="ms"),
    TableColumn("mbu", "of band-", 8, rank=1, right=True, unit="width"),
    TableColumn("matmul", "of mul-", 8, rank=5, right=True, unit="tiply"),
    TableColumn("process", "memory", 8, rank=1, right=True, unit="process"),
    TableColumn("engine", "memory", 8, rank=4, right=True, unit="engine"),
    TableColumn("gpu", "memory", 8, rank=4, right=True, unit="GPUs"),
    TableColumn("energy", "decode", 7, rank=5, right=True, unit="J/token"),
    TableColumn("n", "n", 3, rank=2, right=True),
)
_TONES: dict[str, Tone] = {"failed": "bad", "running": "accent", "loading": "accent", "done": "good"}


class CompareTable(PageTable):
    """Every cell of the plan whether measured or not, then the rows of other programs."""

    def __init__(self) -> None:
        super().__init__(_COLUMNS, sort="order")

    def show(self, states: Sequence[CellState], entries: Sequence[Entry], varying: frozenset[str]) -> None:
        """Show the cells in the plan's order; `varying` names the settings in which they differ."""
        measured = {entry.result.cell: entry for entry in entries if not entry.result.source}
        planned = {state.cell.key: state for state in states}
        rows = {
            key: row_figures(place, state, measured.get(key), setup_words(state.cell.setup, varying))
            for place, (key, state) in enumerate(planned.items())
        }
        rest = [each for each in entries if each.result.source or each.result.cell not in planned]
        for place, entry in enumerate(rest, len(rows)):
            rows[row_key(entry)] = foreign_figures(place, entry)
        self.show_rows(rows)


def row_key(entry: Entry) -> str:
    """Key of the row of a measured cell."""
    return f"import {entry.number}" if entry.result.source else entry.result.cell


def row_figures(place: int, state: CellState, entry: Entry | None, setup: Iterable[str]) -> dict[str, Figure]:
    """The cells of the row of a planned cell."""
    noisy = entry is not None and entry.result.noisy and state.word in ("done", "stopped")
    words = "! noisy" if noisy else state.words
    tone: Tone = "warn" if noisy else _TONES.get(state.word, "muted")
    figures = _named(state.cell) | {
        "order": Figure("", place),
        "state": Figure(words, words, tone),
        "setup": Figure(said := " · ".join(setup), said or None, "muted"),
    }
    return figures | (_measured(entry) if entry else {})


def foreign_figures(place: int, entry: Entry) -> dict[str, Figure]:
    """The cells of a row that another program measured."""
    state = Figure("imported", "imported", "muted")
    return names(entry) | {"order": Figure("", place), "state": state} | _measured(entry)


def describe(state: CellState | None, entry: Entry | None) -> Content:
    """What the table has no column for: how a cell was measured, or why it was not."""
    if state is not None and state.failure is not None:
        return Content.assemble(
            (one_line(state.cell.model.name), "bold"), ("  ✗ ", "$text-error"), one_line(state.failure.message)
        )
    if entry is None:
        return Content("")
    words = " · ".join(filter(None, circumstances(entry.result)))
    return Content.assemble((one_line(entry.result.name), "bold"), (f"  {words}", "$text-muted"))


def circumstances(result: CellResult) -> list[str]:
    """How a cell was measured, in words; empty ones for what is not known."""
    first = result.measurements[0]
    settings = first.settings
    return [
        "demo model" if result.demo else "",
        f"measured by {one_line(result.source)}" if result.source else "",
        "means, no repetitions" if result.averaged else "",
        f"{first.warmup_runs} warm-ups" if first.warmup_runs is not None else "",
        counted(settings.threads, "thread"),
        f"context {settings.context:,}" if settings.context else "",
        f"KV {settings.type_k}/{settings.type_v}" if settings.type_k else "",
        f"loaded in {duration(first.load_s)}" if first.load_s is not None else "",
        f"engine memory {engine_words(result.engine_memory)}" if result.engine_memory else "",
        f"peak RSS {memory(result.peak_rss_bytes)}" if result.peak_rss_bytes is not None else "",
        f"energy by {one_line(result.energy_meter)}" if result.energy_meter else "",
        "over 100 % of bandwidth: it lives in the processor's cache" if (result.mbu or 0) > 1 else "",
    ]


def _named(cell: Cell) -> dict[str, Figure]:
    name, label = one_line(cell.model.name), cell.shape.label
    return {
        "model": Figure(model_words(cell.model.name, demo=cell.model.demo), name, "strong", short=name),
        "test": Figure(label, label),
    }


def _measured(entry: Entry) -> dict[str, Figure]:
    result = entry.result
    joules = result.decode_j_per_token
    figures = {
        "prefill": median(result.prefill_tps),
        "prefill spread": quartiles(entry, "prefill"),
        "decode": median(result.decode_tps),
        "decode spread": quartiles(entry, "decode"),
        "ttft": milliseconds(result.ttft_s.median if result.ttft_s else None),
        "mbu": percent(result.mbu),
        "matmul": percent(result.matmul_share),
        "process": size(result.process_bytes),
        "engine": size(total_bytes(result.engine_memory) or None),
        "gpu": size(on_gpus(_last_memory(result), result.engine_memory)),
        "energy": Figure("" if joules is None else f"{joules:.3g}", joules),
        "n": number(_runs(result)),
    }
    if result.together:
        test = f"{result.shape}, together"
        return figures | {"test": Figure(test, test, "warn")}
    return figures


def _last_memory(result: CellResult) -> ProcessMemory | None:
    return result.measurements[-1].process_memory


def _runs(result: CellResult) -> int:
    speeds = [summary.n for summary in (result.prefill_tps, result.decode_tps) if summary]
    return max(speeds, default=len(result.measurements))


def by_cell(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    """Entries by the key of their row."""
    return {row_key(entry): entry for entry in entries}
