"""In which form to save a chat."""

from __future__ import annotations

from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from slmtui.lab.transcripts import Format

_FORMATS: tuple[tuple[Format, str, str], ...] = (
    ("md", "Markdown", "to read: every turn, and a table of figures"),
    ("json", "JSON", "to work with: turns, sampling, every measurement"),
)


class SaveChat(ModalScreen[Format | None]):
    """Asks for the format; the result is None when nothing shall be saved."""

    DEFAULT_CSS = """
    SaveChat {
        align: center middle;
        & .sheet { width: 66; }
        & OptionList { height: auto; padding: 0; border: none; background: transparent; }
        & Static { margin-top: 1; color: $text-muted; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, folder: str) -> None:
        """`folder` is where the file will be."""
        super().__init__()
        self._folder = folder

    def compose(self) -> ComposeResult:
        """The formats, and where the file goes."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "Save this chat"
            sheet.border_subtitle = "enter saves · esc cancels"
            yield OptionList(
                *(Option(Content.assemble((f"{name:<10}", "bold"), hint), id=form) for form, name, hint in _FORMATS),
                compact=True,
            )
            yield Static(f"New file in {self._folder}", markup=False)

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Return the format."""
        self.dismiss(cast("Format", event.option_id))
