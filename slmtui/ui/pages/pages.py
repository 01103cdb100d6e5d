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
from slmtui.ui.pages.speed import SIZE, SPEED
from slmtui.ui.pages.sweep import DEPTH, THREADS
from slmtui.ui.pages.view import PageView
from slmtui.ui.widgets.compare_table import CompareTable, by_cell, describe
from slmtui.ui.widgets.finder import Finder
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.page_bar import PageBar
from slmtui.ui.widgets.page_table import PageTable

RESULTS = "results"
PAGES: tuple[Page, ...] = (SPEED, SIZE, SPLIT, IN_TIME, CLOCK, TOKENS, DEPTH, THREADS, DEVICES)
TITLES: tuple[tuple[str, str, str], ...] = (
    (RESULTS, "Results", "Every cell of the plan with its state, speeds, bandwidth use and memory."),
    *((page.key, page.title, page.help) for page in PAGES),
)
"""Key, title and a sentence for each page."""
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


class Pages(Vertical):
    """A bar with the pages' names over the page; a chart page is made when it is first asked for."""

    DEFAULT_CSS = """
    Pages {
        height: 1fr;
        & > PageBar { margin-bottom: 1; }
        & > #results { height: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__(id="pages")
        self.view = View()
        self.states: tuple[CellState, ...] = ()
        self.varying: frozenset[str] = frozenset()
        self.tables = False
        """Whether chart pages show their tables."""

    def compose(self) -> ComposeResult:
        """Bar and results; the other pages come later."""
        yield PageBar([(key, title) for key, title, _ in TITLES])
        yield Shown(id=RESULTS)

    @property
    def page(self) -> str:
        """Key of the page that is shown."""
        return self.query_one(PageBar).page

    @property
    def results(self) -> CompareTable:
        """The table of results."""
        return self.query_one(CompareTable)

    @property
    def table(self) -> PageTable:
        """The table of the shown page, whether it is seen or its chart."""
        return self.results if self.page == RESULTS else self._view(self.page).table

    async def show(self, states: Sequence[CellState], view: View, varying: frozenset[str]) -> None:
        """Show these cells on the page that is seen; the others follow when one goes to them."""
        self.states, self.view, self.varying = tuple(states), view, varying
        await self._draw(self.page)

    def on_resize(self) -> None:
        """Another height may hold all rows."""
        self._fit()

    def _fit(self) -> None:
        """A table that has room is as high as its rows, so that what is said of them stands right below."""
        table = self.results
        rows = table.row_count + table.header_height
        table.styles.height = rows + 1 if rows + _BELOW <= self.size.height else "1fr"

    def say(self, notes: Sequence[str]) -> None:
        """Show sentences under the results."""
        lines = self.query_one("#notes", Static)
        lines.update("\n".join(notes))
        lines.display = bool(notes)

    async def go(self, key: str) -> None:
        """Show another page."""
        self.query_one(PageBar).page = key
        if key != RESULTS and not self.query(f"#page-{key}"):
            page = next(page for page in PAGES if page.key == key)
            await self.mount(PageView(page))
        for child in self.query("Shown, PageView").results():
            child.display = child.id in (key, f"page-{key}")
        await self._draw(key)
        self._show_tables()

    async def move(self, step: int) -> None:
        """Show the page so many places further."""
        await self.go(self.query_one(PageBar).next(step))

    def toggle(self) -> None:
        """Change between charts and their tables."""
        self.tables = not self.tables
        self._show_tables()

    def open_finder(self) -> None:
        """Ask for words that the rows of the table must have."""
        if self.page != RESULTS and not self.tables:
            self.toggle()
        if found := self.query(Finder):
            found.first().query("Input").first().focus()
        else:
            self.mount(Finder("model, test, settings …  esc shows all again"), after=self.query_one(PageBar))

    def close_finder(self) -> None:
        """Show all rows again."""
        self.query(Finder).remove()
        for table in self.query(PageTable):
            table.find("")
        self.table.focus()

    @property
    def finding(self) -> bool:
        """Whether the field for words is open."""
        return bool(self.query(Finder))

    @on(Finder.Changed)
    def _find(self, message: Finder.Changed) -> None:
        for table in self.query(PageTable):
            table.find(message.words)

    @on(Finder.Left)
    def _found(self) -> None:
        if not self.table.wanted:
            self.query(Finder).remove()
        self.table.focus()

    @on(PageBar.Chosen)
    async def _chosen(self, message: PageBar.Chosen) -> None:
        await self.go(message.page)
        self.screen.refresh_bindings()

    @on(FitTable.Highlighted)
    def _highlighted(self) -> None:
        self._describe()

    def _describe(self) -> None:
        """The highlighted row in words, and why cells failed."""
        row = self.results.highlighted
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

    def _show_tables(self) -> None:
        for view in self.query(PageView):
            view.set_class(self.tables, "-table")
        if self.page == RESULTS or not self.tables:
            return
        self.table.find(self.results.wanted)
        self.table.focus()

    def _view(self, key: str) -> PageView:
        return self.query_one(f"#page-{key}", PageView)

    async def _draw(self, key: str) -> None:
        if key == RESULTS:
            self.results.show(self.states, self.view.entries, self.varying)
            self._describe()
            self._fit()
            return
        view = self._view(key)
        await view.show(view.page.build(self.view))
