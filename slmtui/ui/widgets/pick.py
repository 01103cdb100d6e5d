"""Small sheets that ask for one thing: a file to import, a name, yes or no, where to export to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Button, Input, Label, Static

from slmtui.core.measurement import Session
from slmtui.core.text import one_line
from slmtui.lab.export import FORMATS, ExportError
from slmtui.lab.importing import ImportFailedError, ImportOutcome, import_file
from slmtui.lab.services import Services
from slmtui.sources.store import StoreError
from slmtui.ui.widgets.choice import Choice

_NAMES = {"csv": "CSV", "json": "JSON", "parquet": "Parquet", "md": "Markdown"}
_ROWS = (("repetitions", "a repetition"), ("questions", "a question of a probe"))
_SHEET_CSS = """
    {name} {
        align: center middle;
        & .row { height: 1; margin-bottom: 1; }
        & .row > Label { width: 8; color: $text-muted; }
        & Input { width: 1fr; background: $panel; padding: 0 1; }
        & .outcome { height: auto; min-height: 1; }
        & .hint { color: $text-muted; margin-bottom: 1; height: auto; }
        & Button { margin-right: 2; }
    }
"""


class Outcome(Message):
    """What came of it, for the sheet that asked."""

    def __init__(self, text: str, *, result: Path | ImportOutcome | None = None) -> None:
        super().__init__()
        self.text = text
        self.result = result


class PathSuggester(Suggester):
    """Completes a path: folders, and files with one of the suffixes."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.suffixes = suffixes

    async def get_suggestion(self, value: str) -> str | None:
        """The first entry of its folder that begins as typed."""
        import asyncio

        return await asyncio.to_thread(complete_path, value, self.suffixes)


def complete_path(typed: str, suffixes: tuple[str, ...]) -> str | None:
    """The typed path with its last part completed; None when nothing fits or the folder can't be read."""
    head, begun = os.path.split(typed)
    if not begun:
        return None
    try:
        with os.scandir(Path(head or ".").expanduser()) as entries:
            fits = sorted(
                entry.name + (os.sep if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(begun) and (entry.is_dir() or entry.name.lower().endswith(suffixes))
            )
    except (OSError, ValueError, RuntimeError):
        return None
    # Not through Path, which would change `./` and the number of separators that the person typed.
    return typed.removesuffix(begun) + fits[0] if fits else None


class ImportSheet(ModalScreen[ImportOutcome | None]):
    """Asks for a file of measurements and imports it; the result is None when the person gave up."""

    DEFAULT_CSS = _SHEET_CSS.replace("{name}", "ImportSheet")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services

    def compose(self) -> ComposeResult:
        """One field, and what is wrong with what is in it."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "Import measurements"
            sheet.border_subtitle = "→ completes · enter imports · esc cancels"
            yield Static(
                "What llama-bench printed with -o json, -o jsonl or -o csv, or a JSON export of slmtui.", classes="hint"
            )
            with Horizontal(classes="row"):
                yield Label("file")
                yield Input(placeholder="~/results.json", suggester=PathSuggester(""), compact=True)
            yield Static(markup=False, classes="outcome")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            _tell(self, Content.styled("Reading it …", "$text-muted"))
            self.take(event.value.strip())

    @work(exclusive=True, group="import")
    async def take(self, typed: str) -> None:
        """Import in a thread."""
        try:
            self.post_message(Outcome("", result=await import_file(self.services, typed)))
        except (ImportFailedError, StoreError) as error:
            self.post_message(Outcome(str(error)))

    @on(Outcome)
    def _ended(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, ImportOutcome):
            self.dismiss(outcome.result)
        else:
            _tell(self, _bad(outcome.text))


class ExportSheet(ModalScreen[Path | None]):
    """Asks for format, rows and path and writes a session; stays open, says where the file is or why there is none.

    The result is the last file that was written, None when there is none.
    """

    DEFAULT_CSS = _SHEET_CSS.replace("{name}", "ExportSheet")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "done", "Close"),
        Binding("enter", "write", "Write", show=False),
    ]

    def __init__(self, services: Services, session: Session, *, answers: bool = False) -> None:
        """With `answers` a row for each question of its probes is what is offered first, if it has any."""
        super().__init__()
        self.services = services
        self.session = session
        self.written: Path | None = None
        held = [row for row, count in zip(_ROWS, (session.measurements, session.answers), strict=True) if count]
        self._rows = (held or _ROWS[:1])[:: -1 if answers else 1]
        self._proposed = ""

    def compose(self) -> ComposeResult:
        """Format, rows where there is a choice, path, outcome."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "Export a session"
            sheet.border_subtitle = "enter writes · tab to the format · esc closes"
            with Horizontal(classes="row"):
                yield Label("format")
                yield Choice([(form, _NAMES[form]) for form in FORMATS])
            with Horizontal(classes="row") as rows:
                rows.display = len(self._rows) > 1
                yield Label("a row")
                yield Choice(self._rows, id="rows")
            with Horizontal(classes="row"):
                yield Label("file")
                yield Input(suggester=PathSuggester(), select_on_focus=False, compact=True)
            yield Static(markup=False, classes="outcome")

    def on_mount(self) -> None:
        """Begin in the path: enter is all that most people need."""
        self._propose()
        self.query_one(Input).focus()

    @property
    def form(self) -> str:
        """The chosen format."""
        return self.query_one(Choice).value

    @property
    def answers(self) -> bool:
        """Whether a row shall be a question."""
        return self.query_one("#rows", Choice).value == "questions"

    @on(Choice.Changed)
    def _propose(self) -> None:
        """Name the file after what is chosen; of another name that somebody typed only the suffix follows."""
        field, before = self.query_one(Input), self._proposed
        name = f"slmtui-{self.session.id}{'-answers' if self.answers else ''}.{self.form}"
        self._proposed = str(self.services.paths.exports / name)
        typed = Path(field.value)
        if field.value == before:
            field.value = self._proposed
        elif typed.suffix.removeprefix(".") in FORMATS:
            field.value = str(typed.with_suffix(f".{self.form}"))

    @on(Input.Submitted)
    def action_write(self) -> None:
        """Write the file."""
        typed = self.query_one(Input).value.strip()
        _tell(self, Content.styled("Writing …", "$text-muted"))
        self.write(self.form, typed or None, answers=self.answers)

    @work(exclusive=True, group="export")
    async def write(self, form: str, path: str | None, *, answers: bool) -> None:
        """Export in a thread."""
        try:
            written = await self.services.export(self.session.id, form, path, answers=answers)
        except (ExportError, StoreError) as error:
            self.post_message(Outcome(str(error)))
        else:
            self.post_message(Outcome("", result=written))

    @on(Outcome)
    def _ended(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Path):
            self.written = outcome.result
            _tell(self, Content.assemble(("✓ Written: ", "$success"), one_line(str(outcome.result))))
        else:
            _tell(self, _bad(outcome.text))

    def action_done(self) -> None:
        """Close."""
        self.dismiss(self.written)


class NameSheet(ModalScreen[str | None]):
    """Asks for a name; the result is None when nothing shall change."""

    DEFAULT_CSS = _SHEET_CSS.replace("{name}", "NameSheet")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, name: str) -> None:
        super().__init__()
        self._title = title
        self._name_now = name

    def compose(self) -> ComposeResult:
        """One field."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = self._title
            sheet.border_subtitle = "enter keeps · esc cancels"
            with Horizontal(classes="row"):
                yield Label("name")
                yield Input(self._name_now, placeholder="your own words", max_length=120, compact=True)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(one_line(event.value))


class ConfirmSheet(ModalScreen[bool]):
    """Asks before something can't be undone."""

    DEFAULT_CSS = _SHEET_CSS.replace("{name}", "ConfirmSheet")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "dismiss(False)", "No"),
        Binding("y", "dismiss(True)", "Yes"),
    ]

    def __init__(self, title: str, question: str, yes: str) -> None:
        super().__init__()
        self._title = title
        self._question = question
        self._yes = yes

    def compose(self) -> ComposeResult:
        """The question and two answers; the harmless one has the focus."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = self._title
            sheet.border_subtitle = "y yes · n no"
            yield Static(self._question, markup=False, classes="hint")
            with Horizontal(classes="row"):
                yield Button("Keep it", compact=True, id="no")
                yield Button(self._yes, compact=True, variant="error", id="yes")

    def on_mount(self) -> None:
        """A careless enter must do no harm."""
        self.query_one("#no", Button).focus()

    @on(Button.Pressed)
    def _answered(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


def _tell(sheet: ImportSheet | ExportSheet, words: Content) -> None:
    sheet.query_one(".outcome", Static).update(words)


def _bad(text: str) -> Content:
    return Content.styled(f"✗ {one_line(text)}", "$text-error")
