"""A remark that says less where there is less room."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class Brief(Widget):
    """Shows the first of its variants that fits, aligned to the right; nothing when none does."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Brief { width: 1fr; height: 1; color: $text-muted; text-align: right; }"

    variants: reactive[tuple[str, ...]] = reactive(())

    def render(self) -> Content:
        """The longest text that is not cut."""
        return Content(next((each for each in self.variants if len(each) <= self.content_size.width), ""))


class SettingsSummary(Brief):
    """The settings in a few words; a click opens the sheet."""
