"""The lower part of Probe: the grid that fills in, curves, and trade-offs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from slmtui.ui.pages.paged import Paged, Title
from slmtui.ui.pages.probe_charts import COST_COLUMNS, CURVE_COLUMNS, Known, costs, curves
from slmtui.ui.pages.probe_figures import columns_for, describe, grid_figures
from slmtui.ui.pages.probing import Probing, Row
from slmtui.ui.pages.view import PageView
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.page_table import PageTable

GRID, CURVES, COSTS = "grid", "curves", "costs"
TITLES: tuple[Title, ...] = (
    (GRID, "Grid", "Accuracy of every model and task by number of examples, as it fills in."),
    (CURVES, "Curves", "Accuracy against the number of examples, with intervals and chance."),
    (COSTS, "Trade-off", "Accuracy against decode speed and memory, with the models that no other beats in both."),
)
_BELOW = 12
"""Lines to keep for the page bar and for what stands under the grid."""


class Grid(Vertical):
    """The table, and under it the highlighted row in sentences."""

    DEFAULT_CSS = """
    Grid {
        height: 1fr;
        & > PageTable { height: 1fr; min-height: 4; }
        & > Static { height: auto; padding: 0 1; }
        & > #said { margin-top: 1; }
        & > #notes { color: $text-muted; }
    }
    """

    def compose(self) -> ComposeResult:
        """Table, sentences, what failed, notes."""
        yield PageTable(columns_for(()), "order")
        yield Static(id="said")
        yield Static(markup=False, id="failures")
        yield Static(markup=False, id="notes")


class ProbePages(Paged):
    """The pages of Probe."""

    def __init__(self) -> None:
        super().__init__(TITLES, "model, task …", id="pages")
        self.probing = Probing()
        self.known = Known()
        self.rows: dict[str, Row] = {}
        """The grid's lines by key."""

    def first_page(self) -> Grid:
        """The grid."""
        return Grid(id=GRID)

    def make_page(self, key: str) -> PageView:
        """Curves or trade-offs."""
        return PageView(key, CURVE_COLUMNS if key == CURVES else COST_COLUMNS, "order")

    @property
    def first(self) -> PageTable:
        """The grid's table."""
        return self.query_one("#grid PageTable", PageTable)

    @property
    def chosen(self) -> Row | None:
        """The highlighted line of the grid."""
        return self.rows.get(self.first.highlighted or "")

    async def show(self, probing: Probing, decode_tps: Mapping[str, float | None]) -> None:
        """Show what is known on the page that is seen; the others follow when one goes to them."""
        self.probing, self.known = probing, Known(levels=probing.levels, decode_tps=decode_tps)
        await self.draw(self.page)

    async def draw(self, key: str) -> None:
        """Show what is known on this page."""
        if key != GRID:
            known = msgspec.structs.replace(self.known, task=self.chosen.task if self.chosen else "")
            await self.view_of(key).show((curves if key == CURVES else costs)(known))
            return
        self.rows = {row.key: row for row in self.probing.rows()}
        table = self.first
        table.every_column = columns_for(self.probing.shots, self.size.width)
        table.show_rows({row.key: grid_figures(row, place) for place, row in enumerate(self.rows.values())})
        self._describe()
        self._fit()

    async def on_resize(self) -> None:
        """Another size may hold all rows, and intervals."""
        if self.at_first:
            await self.draw(self.page)

    def _fit(self) -> None:
        """A table that has room is as high as its rows, so that what is said of them stands right below."""
        table = self.first
        rows = table.row_count + table.header_height
        table.styles.height = rows + 1 if rows + _BELOW <= self.size.height else "1fr"

    @on(FitTable.Highlighted)
    def _highlighted(self) -> None:
        self._describe()
        self.screen.refresh_bindings()

    def _describe(self) -> None:
        said = describe(self.chosen, self.known.levels, self.size.width - 4)
        for name, content in (
            ("#said", said),
            ("#failures", Content("\n".join(f"✗ {why}" for why in self.probing.failures[:3]))),
            ("#notes", Content("\n".join(self.probing.notes))),
        ):
            line = self.query_one(name, Static)
            line.update(content)
            line.display = bool(content.plain)
