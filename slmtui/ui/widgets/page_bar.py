"""The names of the pages on one line; the shown one stands out."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class PageBar(Widget):
    """Pages side by side; a click chooses one."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "PageBar { height: 1; pointer: pointer; }"

    class Chosen(Message):
        """A page was clicked."""

        def __init__(self, page: str) -> None:
            super().__init__()
            self.page = page

    page: reactive[str] = reactive("", init=False)

    def __init__(self, pages: Sequence[tuple[str, str]]) -> None:
        """`pages` are pairs of key and title; the first is shown."""
        super().__init__()
        self.pages = tuple(pages)
        self.set_reactive(PageBar.page, self.pages[0][0])

    def render(self) -> Content:
        """The titles, as many as fit, always with the shown one."""
        return Content.assemble(
            *(
                (f" {title} ", "bold $block-cursor-foreground on $block-cursor-background")
                if key == self.page
                else (f" {title} ", "$text-muted")
                for key, title in self._fitting()
            )
        )

    def next(self, step: int) -> str:
        """The page that many places further, round and round."""
        keys = [key for key, _ in self.pages]
        return keys[(keys.index(self.page) + step) % len(keys)]

    def on_click(self, event: events.Click) -> None:
        """Ask for the page under the pointer."""
        left, at = 0, event.get_content_offset_capture(self).x
        for key, title in self._fitting():
            right = left + len(title) + 2
            if left <= at < right:
                self.post_message(self.Chosen(key))
                return
            left = right

    def _fitting(self) -> list[tuple[str, str]]:
        """The pages that fit; those before the shown one make room for it."""
        shown, width = list(self.pages), self.content_size.width
        while len(shown) > 1 and sum(len(title) + 2 for _, title in shown) > width:
            shown.pop(0 if shown[-1][0] == self.page else -1)
        return shown
