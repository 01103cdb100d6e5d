"""The sheet that adds a model: a file, a folder, or a repository of the hub, which can be searched by words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from slmtui.core.catalog import CatalogError
from slmtui.core.events import Failed
from slmtui.core.reference import parse_reference
from slmtui.core.text import count, one_line
from slmtui.lab.services import Services
from slmtui.sources.config import ConfigError
from slmtui.sources.hub_errors import HubError
from slmtui.sources.library import UnknownModelError, absolute
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn
from slmtui.ui.widgets.pick import PathSuggester

if TYPE_CHECKING:
    from slmtui.lab.shelf import Added
    from slmtui.sources.hub import Found

_COLUMNS = (
    TableColumn("repository", "repository", 30, room=60),
    TableColumn("downloads", "downloads", 11, right=True),
    TableColumn("likes", "likes", 6, rank=2, right=True),
    TableColumn("updated", "updated", 10, rank=1),
    TableColumn("gated", "", 5, rank=1),
)


class AddEnded(Message):
    """What came of it: what was added, what was found, or why there is nothing."""

    def __init__(
        self, *, added: Added | None = None, found: tuple[Found, ...] | None = None, problem: str = ""
    ) -> None:
        super().__init__()
        self.added = added
        self.found = found
        self.problem = problem


class AddSheet(ModalScreen[str | None]):
    """Asks what to add; the result is the id of the model or card that is listed now, None when there is none."""

    DEFAULT_CSS = """
    AddSheet {
        align: center middle;
        & > .sheet { width: 92; }
        & .row { height: 1; margin-bottom: 1; }
        & .row > Label { width: 8; color: $text-muted; }
        & Input { width: 1fr; background: $panel; padding: 0 1; }
        & .hint { color: $text-muted; margin-bottom: 1; height: auto; }
        & .outcome { height: auto; min-height: 1; }
        & FitTable { height: auto; max-height: 12; margin-bottom: 1; display: none; }
        &.-found FitTable { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services

    def compose(self) -> ComposeResult:
        """One field, what was found, and what came of it."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "Add a model"
            sheet.border_subtitle = "→ completes · enter adds or searches · esc cancels"
            yield Static(
                "A .gguf file or a folder of them, which stay where they are; a repository of the hub (owner/name); "
                "or words to search the hub for. What LM Studio, Ollama and llama.cpp keep is listed anyway.",
                classes="hint",
            )
            with Horizontal(classes="row"):
                yield Label("what")
                suggester = PathSuggester(".gguf")
                yield Input(placeholder="~/models/name.gguf, owner/name, qwen 0.6b", suggester=suggester, compact=True)
            yield FitTable(*_COLUMNS, sort="downloads", descending=True)
            yield Static(markup=False, classes="outcome")

    def on_mount(self) -> None:
        """Typing begins at once."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        typed = event.value.strip()
        if not typed:
            return
        if _is_path(typed):
            self._say(Content.styled("Reading it …", "$text-muted"))
            self.add(typed)
        elif parse_reference(typed) is not None:
            self._say(Content.styled("Asking the hub …", "$text-muted"))
            self.add(typed)
        else:
            self._say(Content.styled("Searching the hub …", "$text-muted"))
            self.search(typed)

    def key_enter(self) -> None:
        """Add the highlighted repository."""
        table = self.query_one(FitTable)
        if self.focused is table and table.highlighted is not None:
            self._say(Content.styled("Asking the hub …", "$text-muted"))
            self.add(table.highlighted)

    @on(FitTable.Pressed)
    def _pressed(self, event: FitTable.Pressed) -> None:
        if event.twice:
            self.key_enter()

    @work(exclusive=True, group="add")
    async def add(self, what: str) -> None:
        """List it from now on; a file's header is read first."""
        from slmtui.lab import shelf

        try:
            if await asyncio.to_thread(absolute(what).is_dir) or not _is_path(what):
                self.post_message(AddEnded(added=await shelf.add(self.services, what)))
                return
            model = self.services.find(what)
            if isinstance(result := await self.services.inspect(model), Failed):
                self.post_message(AddEnded(problem=result.message))
                return
            self.post_message(AddEnded(added=await shelf.add(self.services, str(model.path))))
        except (shelf.ShelfError, HubError, UnknownModelError, ConfigError, CatalogError) as error:
            self.post_message(AddEnded(problem=str(error)))

    @work(exclusive=True, group="add")
    async def search(self, words: str) -> None:
        """Ask the hub for repositories."""
        from slmtui.lab import shelf

        try:
            self.post_message(AddEnded(found=await shelf.search(words)))
        except HubError as error:
            self.post_message(AddEnded(problem=str(error)))

    @on(AddEnded)
    def _ended(self, message: AddEnded) -> None:
        if message.problem:
            self._say(Content.styled(f"✗ {one_line(message.problem)}", "$text-error"))
        elif message.found is not None:
            self._list(message.found)
        elif message.added is not None:
            added = message.added
            self.notify(added.sentence, markup=False)
            self.dismiss(added.card or next((model.id for model in added.models), ""))

    def _list(self, found: tuple[Found, ...]) -> None:
        table = self.query_one(FitTable)
        table.show_only({one.repository: _figures(one) for one in found})
        self.set_class(bool(found), "-found")
        if found:
            table.focus()
            self._say(Content.styled("enter adds the highlighted repository to your catalog", "$text-muted"))
        else:
            self._say(Content("No repository with GGUF models has these words in its name."))

    def _say(self, words: Content) -> None:
        self.query_one(".outcome", Static).update(words)


def _figures(one: Found) -> dict[str, Figure]:
    return {
        "repository": Figure(one.repository, one.repository, "strong"),
        "downloads": Figure(count(one.downloads), one.downloads),
        "likes": Figure(count(one.likes), one.likes, "muted"),
        "updated": Figure(one.updated or "", one.updated, "muted"),
        "gated": Figure("gated" if one.gated else "", tone="warn"),
    }


def _is_path(typed: str) -> bool:
    """Whether a person who types this means something on their disk."""
    return typed[:1] in "/~.\\" or typed.lower().endswith(".gguf") or absolute(typed).exists()
