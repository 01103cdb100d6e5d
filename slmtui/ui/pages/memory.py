"""Memory by kind beside what the system charges, and memory in the course of the measurements."""

from __future__ import annotations

from collections.abc import Sequence

from slmtui.core.events import ProcessMemory
from slmtui.core.results import CellResult, memory_by_kind
from slmtui.ui.pages.clock import began_s
from slmtui.ui.pages.entry import Entry, Exhibit, Memories, Page, View
from slmtui.ui.pages.figures import MODEL, SETUP, TEST, names, size
from slmtui.ui.pages.speed import NOTHING
from slmtui.ui.widgets.axes import Axis
from slmtui.ui.widgets.fit_table import Figure, TableColumn
from slmtui.ui.widgets.memory_chart import Charge, EngineKind, MemoryUse
from slmtui.ui.widgets.plot_chart import Plot, Point, Series

_ENGINE: tuple[tuple[EngineKind, str], ...] = (
    ("weights", "weights_bytes"),
    ("KV cache", "kv_cache_bytes"),
    ("state", "recurrent_state_bytes"),
    ("compute", "compute_bytes"),
    ("output", "output_bytes"),
)
_MIB, _GIB = 1024.0**2, 1024.0**3


def split(view: View) -> Exhibit:
    """Engine and process of each model, once for each way in which it was loaded."""
    loads = _loads(view.entries)
    if not view.entries:
        return Exhibit(missing=NOTHING)
    if not loads:
        return Exhibit(missing="These rows come from a program that does not say how much memory it took.")
    uses = tuple(memory_use(entry) for entry in loads)
    rows: dict[str, dict[str, Figure]] = {}
    for place, (entry, use) in enumerate(zip(loads, uses, strict=True)):
        lines: list[tuple[str, str, int | None, int | None]] = [
            ("engine", kind, amount, None) for kind, amount in use.engine if amount is not None
        ]
        lines += [("process", charge.name, charge.now, charge.peak) for charge in use.process]
        for number, (charged_by, kind, now, peak) in enumerate(lines):
            rows[f"{entry.number} {number}"] = names(entry) | {
                "order": Figure("", place * 100 + number),
                "by": Figure(charged_by, charged_by),
                "kind": Figure(kind, kind),
                "now": size(now),
                "peak": size(peak),
            }
    return Exhibit(charts=(Memories(uses=uses),), rows=rows)


def memory_use(entry: Entry) -> MemoryUse:
    """The memory of a cell for the chart."""
    result = entry.result
    kinds = memory_by_kind(result.engine_memory)
    words = [entry.model, entry.setup, "together" if result.together else ""]
    if entry.settings.context:
        words.append(f"context {entry.settings.context:,}")
    return MemoryUse(
        label=" · ".join(filter(None, words)),
        engine=tuple((kind, kinds[name]) for kind, name in _ENGINE),
        process=charges(result),
    )


def charges(result: CellResult) -> tuple[Charge, ...]:
    """What the system charges to the worker, figure by figure; those that it does not know are left out."""
    last = result.measurements[-1].process_memory or ProcessMemory()
    found = (
        Charge("footprint", last.footprint_bytes, result.peak_footprint_bytes),
        Charge("PSS", last.pss_bytes, result.peak_pss_bytes),
        Charge("USS", last.uss_bytes, result.peak_uss_bytes),
        Charge("RSS", last.rss_bytes, result.peak_rss_bytes),
        Charge("GPU", last.gpu_bytes, result.peak_gpu_bytes),
    )
    return tuple(charge for charge in found if charge.now is not None or charge.peak is not None)


def _loads(entries: Sequence[Entry]) -> list[Entry]:
    """The last cell of each model and setup that says anything about memory."""
    found: dict[object, Entry] = {}
    for entry in entries:
        result = entry.result
        if result.engine_memory or charges(result):
            key = (result.model, result.source, result.together, entry.settings)
            found[key] = entry
    return list(found.values())


SPLIT = Page(
    key="memory",
    title="Memory",
    help="What the engine allocated by kind, beside what the system charges: now and at the peak.",
    build=split,
    columns=(
        MODEL,
        TEST,
        SETUP,
        TableColumn("by", "says", 8),
        TableColumn("kind", "kind", 9),
        TableColumn("now", "now", 8, right=True),
        TableColumn("peak", "peak", 8, right=True),
    ),
)


def in_time(view: View) -> Exhibit:
    """What the system charged to each worker along the clock."""
    sampled = [entry for entry in view.entries if any(each.memory_samples for each in entry.result.measurements)]
    if not view.entries:
        return Exhibit(missing=NOTHING)
    if not sampled:
        return Exhibit(missing="No memory was sampled while these cells ran.")
    begin = min(began_s(each) for entry in sampled for each in entry.result.measurements)
    rows: dict[str, dict[str, Figure]] = {}
    curves: list[tuple[Entry, list[tuple[float, int | None]]]] = []
    for entry in sampled:
        curve: list[tuple[float, int | None]] = []
        for each in entry.result.measurements:
            for sample in each.memory_samples:
                at = began_s(each) - begin + sample.at_s
                curve.append((at, sample.memory.charged_bytes))
                rows[f"{entry.number} {len(curve)}"] = names(entry) | _sampled(len(rows), at, sample.memory)
        curves.append((entry, sorted(curve, key=lambda pair: pair[0])))
    largest = max((amount or 0 for _, curve in curves for _, amount in curve), default=0)
    unit, scale = ("GiB", _GIB) if largest >= 2 * _GIB else ("MiB", _MIB)
    series = tuple(
        Series(
            label=entry.label,
            points=tuple(Point(at, None if amount is None else amount / scale) for at, amount in curve),
            number=entry.number,
        )
        for entry, curve in curves
    )
    words = charged_words(
        [sample.memory for entry in sampled for m in entry.result.measurements for sample in m.memory_samples]
    )
    plot = Plot(
        x=Axis(label="since the first repetition", unit="s", tight=True),
        y=Axis(label=words, unit=unit, from_zero=True),
        series=series,
    )
    return Exhibit(charts=(plot,), rows=rows)


def charged_words(samples: Sequence[ProcessMemory]) -> str:
    """Which of the system's figures `ProcessMemory.charged_bytes` takes here."""
    if any(each.footprint_bytes is not None for each in samples):
        return "worker's footprint"
    return "worker's PSS" if any(each.pss_bytes is not None for each in samples) else "worker's memory"


def _sampled(place: int, at_s: float, memory: ProcessMemory) -> dict[str, Figure]:
    return {
        "order": Figure("", place),
        "at": Figure(f"{at_s:,.2f} s", at_s),
        "footprint": size(memory.footprint_bytes),
        "pss": size(memory.pss_bytes),
        "uss": size(memory.uss_bytes),
        "rss": size(memory.rss_bytes),
        "gpu": size(memory.gpu_bytes),
    }


IN_TIME = Page(
    key="growth",
    title="In time",
    help="Memory of each worker while it was measured, about four samples a second.",
    build=in_time,
    columns=(
        MODEL,
        TEST,
        SETUP,
        TableColumn("at", "at", 9, right=True),
        TableColumn("pss", "PSS", 8, right=True),
        TableColumn("uss", "USS", 8, rank=1, right=True),
        TableColumn("rss", "RSS", 8, rank=1, right=True),
        TableColumn("footprint", "footprint", 9, rank=3, right=True),
        TableColumn("gpu", "GPU", 8, rank=3, right=True),
    ),
)
