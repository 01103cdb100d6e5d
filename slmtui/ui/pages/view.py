"""One page: its charts, or the sentence that says what is missing, or its table."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from slmtui.ui.pages.entry import Bars, Chart, Exhibit, Memories
from slmtui.ui.widgets.chart import BarChart
from slmtui.ui.widgets.fit_table import TableColumn
from slmtui.ui.widgets.memory_chart import MemoryChart
from slmtui.ui.widgets.page_table import PageTable
from slmtui.ui.widgets.plot_chart import Legend, Plot, PlotChart


class PageView(Vertical):
    """Chart and table of a page; which of them is seen is for the screen to say."""

    DEFAULT_CSS = """
    PageView {
        height: 1fr;
        & > .page--missing { height: 1fr; content-align: center middle; text-align: center; padding: 0 4; }
        & > .page--missing { color: $text-muted; display: none; }
        & > .page--charts { height: 1fr; scrollbar-size-vertical: 1; }
        & > .page--charts > Horizontal { height: auto; }
        & > .page--charts.-plots > Horizontal { height: 1fr; min-height: 7; }
        & > .page--charts > Horizontal > * { width: 1fr; }
        & > .page--charts > Horizontal > .-second { margin-left: 3; }
        & > .page--note { height: auto; color: $text-muted; padding: 0; }
        & > PageTable { display: none; }
        &.-missing > .page--missing { display: block; }
        &.-missing > .page--charts, &.-missing > .page--note, &.-silent > .page--note { display: none; }
        &.-table > .page--missing, &.-table > .page--charts, &.-table > .page--note { display: none; }
        &.-table > PageTable { display: block; height: 1fr; }
    }
    """

    def __init__(self, key: str, columns: Sequence[TableColumn], sort: str) -> None:
        """`columns` are those of the table behind the charts, sorted by `sort`."""
        super().__init__(id=f"page-{key}")
        self._columns = tuple(columns)
        self._sort = sort
        self._shape: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Everything that a page can show; one of them is seen."""
        yield Static(markup=False, classes="page--missing")
        with VerticalScroll(classes="page--charts", can_focus=False):
            yield Horizontal()
            yield Legend()
        yield Static(markup=False, classes="page--note")
        yield PageTable(self._columns, self._sort)

    @property
    def table(self) -> PageTable:
        """The table behind the charts."""
        return self.query_one(PageTable)

    async def show(self, exhibit: Exhibit) -> None:
        """Show this; charts of the same kinds are changed in place."""
        self.query_one(".page--missing", Static).update(exhibit.missing)
        self.query_one(".page--note", Static).update(exhibit.note)
        self.set_class(not exhibit.note, "-silent")
        self.set_class(bool(exhibit.missing), "-missing")
        self.table.show_rows(exhibit.rows)
        await self._show_charts(exhibit.charts)

    async def _show_charts(self, charts: tuple[Chart, ...]) -> None:
        row, frame = self.query_one(".page--charts > Horizontal", Horizontal), self.query_one(".page--charts")
        shape = tuple(_kind(chart) for chart in charts)
        if shape != self._shape:
            self._shape = shape
            await row.remove_children()
            widgets = [_widget(chart) for chart in charts]
            for widget in widgets[1:]:
                widget.add_class("-second")
            await row.mount_all(widgets)
            frame.set_class(any(isinstance(chart, Plot) for chart in charts), "-plots")
            frame.set_class(any(isinstance(chart, Bars) for chart in charts), "-bars")
        for widget, chart in zip(row.children, charts, strict=True):
            _fill(widget, chart)
        shared = [chart for chart in charts if isinstance(chart, Plot) and not chart.legend]
        self.query_one(Legend).series = shared[0].series if shared else ()


def _kind(chart: Chart) -> tuple[type, str]:
    return type(chart), chart.title if isinstance(chart, Bars) else ""


def _widget(chart: Chart) -> Widget:
    match chart:
        case Bars():
            return BarChart(chart.title)
        case Memories():
            return MemoryChart()
        case Plot():
            return PlotChart()


def _fill(widget: Widget, chart: Chart) -> None:
    match widget, chart:
        case BarChart(), Bars():
            widget.bars = chart.bars
        case MemoryChart(), Memories():
            widget.uses = chart.uses
        case PlotChart(), Plot():
            widget.plot = chart
        case _:
            raise TypeError(f"{type(widget).__name__} can't show {type(chart).__name__}")
