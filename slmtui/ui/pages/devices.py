"""The same file on several devices: what the GPU gains in each phase."""

from __future__ import annotations

from slmtui.core import diff_words
from slmtui.core.devices import Beside, beside, place, sentence
from slmtui.core.diff import CellDiff, Finding
from slmtui.core.text import NOT_MEASURED, one_line, ratio
from slmtui.ui.pages.entry import Bars, Entry, Exhibit, Page, Phase, View
from slmtui.ui.pages.figures import MODEL, median, names, speed, summary_of
from slmtui.ui.pages.speed import NOTHING
from slmtui.ui.widgets.chart import Bar
from slmtui.ui.widgets.fit_table import Figure, TableColumn


def side_by_side(view: View) -> Exhibit:
    """Speeds of the cells that were measured on several devices, and the ratios."""
    if not view.entries:
        return Exhibit(missing=NOTHING)
    found = beside([entry.result for entry in view.entries])
    if not found:
        return Exhibit(
            missing="All cells ran on one device. A plan (f8) with the devices cpu, gpu fills this chart where an "
            "engine can use a GPU.",
            rows={
                f"{entry.number} {phase}": _alone(entry, phase)
                for entry in view.entries
                for phase in view.phases
                if summary_of(entry, phase) is not None
            },
        )
    rows = {
        f"{group} {number}": _row(group * 1000 + number, each, cell, finding)
        for group, each in enumerate(found)
        for number, (cell, finding) in enumerate(each.findings)
        if finding.phase in view.phases
    }
    charts = tuple(
        Bars(
            title=f"{phase.capitalize()}, tok/s",
            bars=tuple(Bar(entry.label, summary_of(entry, phase)) for entry in _compared(view, found)),
        )
        for phase in view.phases
    )
    return Exhibit(charts=charts, note="\n".join(f"{sentence(each)}." for each in found), rows=rows)


def _compared(view: View, found: tuple[Beside, ...]) -> list[Entry]:
    """The entries that stand beside another."""
    cells = {
        result.cell for each in found for cell in each.cells for part in (cell.a, cell.b) for result in part.results
    }
    return [entry for entry in view.entries if entry.result.cell in cells]


def _alone(entry: Entry, phase: Phase) -> dict[str, Figure]:
    """The row of a cell that has none beside it."""
    where, test, named = place(entry.result), f"{phase} {entry.result.shape}", names(entry)
    return {
        "order": named["order"],
        "model": named["model"],
        "test": Figure(test, test),
        "a": Figure(where or NOT_MEASURED, where),
        "a speed": median(summary_of(entry, phase)),
    }


def _row(order: int, each: Beside, cell: CellDiff, finding: Finding) -> dict[str, Figure]:
    name = one_line(cell.a.first.name)
    test = diff_words.what(cell, finding.phase)
    return {
        "order": Figure("", order),
        "model": Figure(name, name, "strong", short=name),
        "test": Figure(test, test),
        "a": Figure(each.a, each.a),
        "a speed": speed(finding.a.median),
        "b": Figure(each.b, each.b),
        "b speed": speed(finding.b.median),
        "ratio": Figure(ratio(finding.ratio.value), finding.ratio.value, "strong"),
        "interval": Figure(interval := diff_words.interval(finding), interval, "muted"),
    }


DEVICES = Page(
    key="devices",
    title="GPU",
    help="The same file on the processor and on a GPU: the ratio in each phase.",
    build=side_by_side,
    columns=(
        MODEL,
        TableColumn("test", "test", 14, room=24),
        TableColumn("a", "on", 6, room=24),
        TableColumn("a speed", "speed", 7, rank=1, right=True, unit="tok/s"),
        TableColumn("b", "on", 6, room=24),
        TableColumn("b speed", "speed", 7, rank=1, right=True, unit="tok/s"),
        TableColumn("ratio", "ratio", 6, right=True),
        TableColumn("interval", "95 %", 13, rank=2, right=True),
    ),
)
