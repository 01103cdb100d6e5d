"""A screen with pages: the keys that change how what it knows is shown."""

from __future__ import annotations

from functools import partial
from typing import cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from slmtui.ui.base import LabScreen
from slmtui.ui.pages.paged import Paged


class PagedScreen(LabScreen):
    """Turns pages, changes between chart and table, filters and sorts."""

    @property
    def pages(self) -> Paged:
        """Table and charts."""
        raise NotImplementedError

    async def action_page(self, step: int = 1) -> None:
        """Show the next page, or the one before."""
        await self.pages.move(step)
        self.refresh_bindings()

    async def go_to_page(self, page: str) -> None:
        """Show a page by its key."""
        await self.pages.go(page)
        self.refresh_bindings()

    def action_table(self) -> None:
        """Change between the chart and its table."""
        self.pages.toggle()

    def action_find(self) -> None:
        """Open the field that filters the rows of the table."""
        self.pages.open_finder()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.pages.table.sort_by(self.pages.table.next_sort())

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.pages.table.sort_by(self.pages.table.sorted_by)


class PageProvider(Provider):
    """The pages of the screen in the command palette."""

    async def discover(self) -> Hits:
        """All pages."""
        for key, title, text in self._screen.pages.titles:
            yield DiscoveryHit(f"Page: {title}", partial(self._go, key), help=text)

    async def search(self, query: str) -> Hits:
        """The pages whose title matches."""
        matcher = self.matcher(query)
        for key, title, text in self._screen.pages.titles:
            words = f"Page: {title}"
            if (score := matcher.match(words)) > 0:
                yield Hit(score, matcher.highlight(words), partial(self._go, key), help=text)

    async def _go(self, key: str) -> None:
        await self._screen.go_to_page(key)

    @property
    def _screen(self) -> PagedScreen:
        return cast("PagedScreen", self.screen)
