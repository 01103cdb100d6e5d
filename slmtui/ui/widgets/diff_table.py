"""The table of a comparison: one row a figure, with its ratio, the interval drawn and in words, and the verdict."""

from __future__ import annotations

import math

from slmtui.core import diff_words
from slmtui.core.diff import CellDiff, Comparison, Finding, Verdict
from slmtui.core.intervals import Ratio
from slmtui.core.text import ratio
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn, Tone

BAR_CELLS = 15
"""Odd, so that a ratio of 1 has a cell of its own in the middle."""
_LEAST_SPAN = math.log(1.1)
_SIGNS: dict[Verdict, tuple[str, Tone]] = {
    Verdict.FASTER: ("▲", "good"),
    Verdict.SLOWER: ("▼", "warn"),
    Verdict.LESS: ("▽", "good"),
    Verdict.MORE: ("△", "warn"),
    Verdict.OPEN: ("~", "muted"),
    Verdict.FEW: ("?", "muted"),
}
_SHORT: dict[Verdict, str] = {
    Verdict.LESS: "less",
    Verdict.MORE: "more",
    Verdict.OPEN: "none shown",
    Verdict.FEW: "too few",
}


class DiffTable(FitTable):
    """Figures of both sides; rows are numbered as in `Comparison.findings`."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._span = span(comparison)
        found = comparison.findings
        models = max((len(diff_words.models(cell)) for cell, _ in found), default=0)
        settings = max((len(_settings(comparison, cell)) for cell, _ in found), default=0)
        scale = f"{ratio(math.exp(-self._span))[:4]} ─ 1 ─ {ratio(math.exp(self._span))[:4]}"
        varying = (TableColumn("settings", "settings", min(24, settings), rank=2),) if settings else ()
        super().__init__(
            TableColumn("model", "model", 14, rank=1, room=min(40, models)),
            TableColumn("figure", "figure", 13, room=20),
            *varying,
            TableColumn("a", "A", 11, rank=4, right=True),
            TableColumn("b", "B", 11, rank=4, right=True),
            TableColumn("ratio", "B/A", 6, right=True),
            TableColumn("bar", scale, BAR_CELLS, rank=3, sortable=False),
            TableColumn("interval", "95 %", 11, right=True),
            TableColumn("verdict", "verdict", 12, room=35),
            sort="order",
        )

    def on_mount(self) -> None:
        """Fill it; what is compared does not change any more."""
        rows = enumerate(self._comparison.findings)
        self.show_only({str(number): self._row(number, cell, finding) for number, (cell, finding) in rows})

    @property
    def chosen(self) -> tuple[CellDiff, Finding] | None:
        """The figure in the highlighted row."""
        return self._comparison.findings[int(self.highlighted)] if self.highlighted is not None else None

    def _row(self, number: int, cell: CellDiff, finding: Finding) -> dict[str, Figure]:
        comparison, value = self._comparison, finding.ratio.value
        subject, settings = diff_words.what(cell, finding.phase), _settings(comparison, cell)
        return {
            "order": Figure("", number),
            "model": Figure(diff_words.models(cell), diff_words.models(cell), "strong"),
            "figure": Figure(subject, subject),
            "settings": Figure(settings, settings, "muted"),
            "a": Figure(diff_words.figure(finding.phase, finding.a.median), finding.a.median, "muted"),
            "b": Figure(diff_words.figure(finding.phase, finding.b.median), finding.b.median, "muted"),
            "ratio": Figure(ratio(value), value),
            "bar": Figure(interval_bar(finding.ratio, self._span), tone=_tone(cell, finding)),
            "interval": Figure(diff_words.interval(finding), finding.ratio.low, "muted"),
            "verdict": _verdict(cell, finding, comparison.tolerance),
        }


def span(comparison: Comparison) -> float:
    """Logarithm of the ratio at either end of the bars: room for the tolerance and for most intervals, up to 2."""
    ends = [end for _, each in comparison.findings for end in (each.ratio.low, each.ratio.high) if end is not None]
    ends += [each.ratio.value for _, each in comparison.findings]
    widest = max((abs(math.log(end)) for end in ends), default=0.0)
    return min(math.log(2), max(_LEAST_SPAN, -math.log1p(-min(0.5, 2 * comparison.tolerance)), widest))


def interval_bar(factor: Ratio, widest: float, width: int = BAR_CELLS) -> str:
    """The interval as a line of `width` cells about a ratio of 1, on a logarithmic scale up to `widest` on either side.

    `●` is the ratio itself, `│` stands where it is 1, `◂` and `▸` say that something lies outside.
    """
    middle = width // 2
    cells = ["·"] * width

    def place(value: float) -> int:
        return middle + round(math.log(value) / widest * middle)

    if factor.low is not None and factor.high is not None:
        for cell in range(max(0, place(factor.low)), min(width - 1, place(factor.high)) + 1):
            cells[cell] = "─"
    cells[middle] = "┼" if cells[middle] == "─" else "│"
    at = place(factor.value)
    cells[min(width - 1, max(0, at))] = "●" if 0 <= at < width else "◂" if at < 0 else "▸"
    if factor.low is not None and place(factor.low) < 0:
        cells[0] = "◂"
    if factor.high is not None and place(factor.high) >= width:
        cells[-1] = "▸"
    return "".join(cells)


def _settings(comparison: Comparison, cell: CellDiff) -> str:
    return ", ".join(diff_words.settings_words(cell.a.settings, comparison.varying))


def _verdict(cell: CellDiff, finding: Finding, tolerance: float) -> Figure:
    sign, _ = _SIGNS[finding.verdict]
    short = _SHORT.get(finding.verdict, finding.verdict.value)
    limit = diff_words.percent(tolerance).replace(" ", "")
    if finding.verdict is Verdict.OPEN and finding.within:
        sign, short = "=", f"within {limit}"
    elif finding.beyond or finding.within:
        short = f"{short} {'>' if finding.beyond else '<'}{limit}"
    words = diff_words.verdict(finding, tolerance)
    return Figure(f"{sign} {words}", finding.verdict.value, _tone(cell, finding), short=f"{sign} {short}")


def _tone(cell: CellDiff, finding: Finding) -> Tone:
    return "bad" if finding in cell.regressions else _SIGNS[finding.verdict][1]
