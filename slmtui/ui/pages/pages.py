"""The lower part of Compare: the table of results and the charts, one page at a time."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from slmtui.ui.pages.bench import CellState, failures
from slmtui.ui.pages.clock import CLOCK, TOKENS
from slmtui.ui.pages.devices import DEVICES
from slmtui.ui.pages.entry import Page, View
from slmtui.ui.pages.memory import IN_TIME, SPLIT
from slmtui.ui.pages.paged import Paged, Title
from slmtui.ui.pages.speed import SIZE, SPEED
from slmtui.ui.pages.sweep import DEPTH, THREADS
from slmtui.ui.pages.view import PageView
from slmtui.ui.widgets.compare_table import CompareTable, by_cell, describe
from slmtui.ui.widgets.fit_table import FitTable

RESULTS = "results"
PAGES: tuple[Page, ...] = (SPEED, SIZE, SPLIT, IN_TIME, CLOCK, TOKENS, DEPTH, THREADS, DEVICES)
TITLES: tuple[Title, ...] = (
    (RESULTS, "Results", "Every cell of the plan with its state, speeds, bandwidth use and memory."),
    *((page.key, page.title, page.help) for page in PAGES),
)
_FAILURES = 3
_BELOW = 12
"""Lines to keep for the page bar and for what stands under the results."""


class Shown(Vertical):
    """The table of results, and under it what it has no columns for."""

    DEFAULT_CSS = """
    Shown {
        height: 1fr;
        & > CompareTable { height: 1fr; }
        & > Static { height: auto; padding: 0 1; }
        & > #notes { color: $text-muted; }
    }
    """

    def compose(self) -> ComposeResult:
        """Table, the highlighted row in words, what failed, and notes."""
        yield CompareTable()
        yield Static(id="details")
        yield Static(id="failures")
        yield Static(markup=False, id="notes")


class Pages(Paged):
    """The pages of Compare."""

    DEFAULT_CSS = "Pages > #results { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(TITLES, "model, test, settings …", id="pages")
        self.view = View()
        self.states: tuple[CellState, ...] = ()
        self.varying: frozenset[str] = frozenset()

    def first_page(self) -> Shown:
        """The results."""
        return Shown(id=RESULTS)

    def make_page(self, key: str) -> PageView:
        """A page of charts."""
        page = _page(key)
        return PageView(page.key, page.columns, page.sort)

    @property
    def first(self) -> CompareTable:
        """The table of results."""
        return self.query_one(CompareTable)

    async def show(self, states: Sequence[CellState], view: View, varying: frozenset[str]) -> None:
        """Show these cells on the page that is seen; the others follow when one goes to them."""
        self.states, self.view, self.varying = tuple(states), view, varying
        await self.draw(self.page)

    def on_resize(self) -> None:
        """Another height may hold all rows."""
        self._fit()

    def _fit(self) -> None:
        """A table that has room is as high as its rows, so that what is said of them stands right below."""
        table = self.first
        rows = table.row_count + table.header_height
        table.styles.height = rows + 1 if rows + _BELOW <= self.size.height else "1fr"

    def say(self, notes: Sequence[str]) -> None:
        """Show sentences under the results."""
        lines = self.query_one("#notes", Static)
        lines.update("\n".join(notes))
        lines.display = bool(notes)

    async def draw(self, key: str) -> None:
        """Show what is known on this page."""
        if key == RESULTS:
            self.first.show(self.states, self.view.entries, self.varying)
            self._describe()
            self._fit()
            return
        await self.view_of(key).show(_page(key).build(self.view))

    @on(FitTable.Highlighted)
    def _highlighted(self) -> None:
        self._describe()

    def _describe(self) -> None:
        """The highlighted row in words, and why cells failed."""
        row = self.first.highlighted
        state = next((state for state in self.states if state.cell.key == row), None)
        details, why = self.query_one("#details", Static), self.query_one("#failures", Static)
        said = describe(state, by_cell(self.view.entries).get(row or ""))
        details.update(said)
        details.display = bool(said.plain)
        rest = failures([each for each in self.states if each is not state])
        lines = [
            Content.assemble(
                ("✗ ", "$text-error"), (name, "bold"), f"  {f'{number} cells: ' if number > 1 else ''}{text}"
            )
            for name, text, number in rest[:_FAILURES]
        ]
        if len(rest) > _FAILURES:
            lines.append(Content.styled(f"and {len(rest) - _FAILURES} more", "$text-muted"))
        why.update(Content("\n").join(lines))
        why.display = bool(lines)


def _page(key: str) -> Page:
    return next(page for page in PAGES if page.key == key)
