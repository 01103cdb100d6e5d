"""A screen that shows what a plan has measured, in a table and in charts, and paints no more often than it must."""

from __future__ import annotations

from slmtui.core.measurement import Measurement
from slmtui.core.results import CellResult, cell_results
from slmtui.ui.pages.bench import Bench
from slmtui.ui.pages.entry import Entry, entries_of
from slmtui.ui.pages.pages import Pages
from slmtui.ui.screens.compare_pick import Choice, PickSheet, choices, picked
from slmtui.ui.screens.compare_words import progress_of
from slmtui.ui.screens.planned import PlanScreen
from slmtui.ui.widgets.gauges import Gauges
from slmtui.ui.widgets.progress import PlanProgress


class ComparePagedScreen(PlanScreen):
    """Knows the plan, its cells and the imported rows."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.imported: tuple[Measurement, ...] = ()
        self.hidden: frozenset[Choice] = frozenset()
        """What charts and tables leave out."""
        self.stale = False
        """Whether gauges and progress are older than what is known."""
        self._entries: tuple[tuple[CellResult, ...], tuple[Measurement, ...], tuple[Entry, ...]] | None = None

    @property
    def known(self) -> Bench:
        """The plan that is shown, and what came of it."""
        return self.bench

    @property
    def pages(self) -> Pages:
        """Table and charts."""
        return self.query_one(Pages)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything measured by the shown plan, then what was imported."""
        known, results = self._entries, self.bench.results
        if known is None or known[0] is not results or known[1] is not self.imported:
            cells = {state.cell.key: state.cell for state in self.bench.states.values()}
            every = (*results, *cell_results(self.imported))
            known = (results, self.imported, entries_of(every, cells, self.varying))
            self._entries = known
        return known[2]

    @property
    def varying(self) -> frozenset[str]:
        """The settings in which the cells of the plan differ."""
        return self.bench.plan.varying if self.bench.plan else frozenset()

    def renew(self) -> None:
        """Show everything anew as soon as there is time."""
        self.stale = True
        super().renew()

    async def paint(self) -> None:
        """Paint what is new: gauges each time, table and charts once a second while something is measured."""
        if not self.is_mounted:
            return
        if self.stale and self.bench.running:
            self.query_one(Gauges).rows = self.bench.rows
            self.query_one(PlanProgress).progress = progress_of(self.bench)
        self.stale = False
        if self.drawing():
            await self.pages.show(tuple(self.bench.states.values()), picked(self.entries, self.hidden), self.varying)

    def action_pick(self) -> None:
        """Choose what charts and tables show."""
        self.app.push_screen(PickSheet(choices(self.entries), self.hidden), self._take_hidden)

    def _take_hidden(self, hidden: frozenset[Choice] | None) -> None:
        if hidden is not None:
            self.hidden = hidden
            self.renew()
