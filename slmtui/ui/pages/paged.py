"""A first page that is a table, and pages of charts beside it; one of them is seen."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from slmtui.ui.pages.view import PageView
from slmtui.ui.widgets.finder import Finder
from slmtui.ui.widgets.page_bar import PageBar
from slmtui.ui.widgets.page_table import PageTable

Title = tuple[str, str, str]
"""Key, title and a sentence for a page."""


class Paged(Vertical):
    """A bar with the pages' names over the page; a chart page is made when it is first asked for."""

    DEFAULT_CSS = """
    Paged {
        height: 1fr;
        & > PageBar { margin-bottom: 1; }
    }
    """

    def __init__(self, titles: Sequence[Title], hint: str, *, id: str | None = None) -> None:  # noqa: A002
        """The first of `titles` is the table's; `hint` stands in the empty field for words."""
        super().__init__(id=id)
        self.titles = tuple(titles)
        self.tables = False
        """Whether chart pages show their tables."""
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Bar and first page; the other pages come later."""
        yield PageBar([(key, title) for key, title, _ in self.titles])
        yield self.first_page()

    def first_page(self) -> Widget:
        """What the first page is; its id is the page's key."""
        raise NotImplementedError

    def make_page(self, key: str) -> PageView:
        """A page of charts."""
        raise NotImplementedError

    async def draw(self, key: str) -> None:
        """Show what is known now on this page."""
        raise NotImplementedError

    @property
    def first(self) -> PageTable:
        """The table of the first page."""
        raise NotImplementedError

    @property
    def page(self) -> str:
        """Key of the page that is shown."""
        return self.query_one(PageBar).page

    @property
    def at_first(self) -> bool:
        """Whether the page that is a table anyway is shown."""
        return self.page == self.titles[0][0]

    @property
    def table(self) -> PageTable:
        """The table of the shown page, whether it is seen or its chart."""
        return self.first if self.at_first else self.view_of(self.page).table

    @property
    def finding(self) -> bool:
        """Whether the field for words is open."""
        return bool(self.query(Finder))

    def view_of(self, key: str) -> PageView:
        """A page of charts that was shown before."""
        return self.query_one(f"#page-{key}", PageView)

    async def go(self, key: str) -> None:
        """Show another page."""
        self.query_one(PageBar).page = key
        first = self.titles[0][0]
        if key != first and not self.query(f"#page-{key}"):
            await self.mount(self.make_page(key))
        self.query_one(f"#{first}").display = key == first
        for child in self.query(PageView).results():
            child.display = child.id == f"page-{key}"
        await self.draw(key)
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
        if not self.at_first and not self.tables:
            self.toggle()
        if found := self.query(Finder):
            found.first().query("Input").first().focus()
        else:
            self.mount(Finder(f"{self._hint}  esc shows all again"), after=self.query_one(PageBar))

    def close_finder(self) -> None:
        """Show all rows again."""
        self.query(Finder).remove()
        for table in self.query(PageTable):
            table.find("")
        self.table.focus()

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

    def _show_tables(self) -> None:
        for view in self.query(PageView):
            view.set_class(self.tables, "-table")
        if self.at_first or not self.tables:
            return
        self.table.find(self.first.wanted)
        self.table.focus()
