"""The first screen: every model variant on this machine, what it needs, whether it fits and how fast it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Input, Static

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, Inspected
from slmtui.lab.services import RESERVE_BYTES
from slmtui.sources.store import StoreError
from slmtui.ui.base import LabScreen
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.model_detail import ModelDetail
from slmtui.ui.widgets.model_table import ModelRow, ModelTable
from slmtui.ui.widgets.strip import Strip

MOST_MARKED = 4
"""As many models as fit side by side."""


class ModelInspected(Message):
    """A model's header and its memory plan are known, or why they can't be."""

    def __init__(self, model: LocalModel, result: Inspected | Failed) -> None:
        super().__init__()
        self.model = model
        self.result = result


class SpeedsRead(Message):
    """What the store knows about speeds on this machine."""

    def __init__(self, speeds: Mapping[str, tuple[float | None, float | None]]) -> None:
        super().__init__()
        self.speeds = speeds


class ModelsScreen(LabScreen):
    """Find, mark, look closer, go on to Chat or Compare."""

    PLACE: ClassVar[Place] = "models"
    CSS_PATH = "models.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("models")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, ModelRow] = {}

    def compose(self) -> ComposeResult:
        """Heading, table, detail."""
        yield Strip()
        with Vertical(id="models"):
            with Horizontal(classes="heading"):
                yield Static("Models on this machine", classes="title")
                yield Static(markup=False, id="count")
            find = Input(placeholder="name, variant, licence …", id="find", compact=True)
            find.display = False
            yield find
            yield ModelTable()
            yield Static(markup=False, id="nothing")
        yield ModelDetail(markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show what the catalog knows; the files are read after the first frame."""
        self._list()
        self.query_one(ModelTable).focus()
        self.watch(self.lab_app, "marked", self._show_marks)
        self.watch(self.lab_app, "live", self._show_fits)
        self.call_after_refresh(self.inspect_models)

    def on_screen_resume(self) -> None:
        """Something may have been measured, or added, in the meantime."""
        self._list()
        self.read_speeds()

    # -- what workers find out

    @work(exclusive=True, group="inspect")
    async def inspect_models(self) -> None:
        """Read the header and plan the memory of each model that was not read yet, one after another."""
        for row in tuple(self.rows.values()):
            if row.pending:
                self.post_message(ModelInspected(row.model, await self.services.inspect(row.model)))

    @work(exclusive=True, group="speeds")
    async def read_speeds(self) -> None:
        """Ask the store for the latest medians."""
        try:
            self.post_message(SpeedsRead(await self.services.speeds()))
        except StoreError as error:
            self.post_message(Problem(str(error)))

    @on(ModelInspected)
    def _take_facts(self, message: ModelInspected) -> None:
        row = self.rows[message.model.id]
        match message.result:
            case Inspected() as inspected:
                self._show(replace(row, inspected=inspected, failed=None))
            case Failed() as failed:
                self._show(replace(row, failed=failed))

    @on(SpeedsRead)
    def _take_speeds(self, message: SpeedsRead) -> None:
        for row in tuple(self.rows.values()):
            prefill, decode = message.speeds.get(row.model.id, (None, None))
            self._show(replace(row, prefill_tps=prefill, decode_tps=decode))

    # -- what is shown

    def _list(self) -> None:
        for model in self.services.models():
            if model.id not in self.rows:
                self.rows[model.id] = ModelRow(model=model, marked=model in self.marked)
        self._show_all()

    def _show(self, row: ModelRow) -> None:
        """Keep a row, and show it where it matches what is looked for."""
        self.rows[row.model.id] = row
        table = self.query_one(ModelTable)
        if row.matches(self.query_one("#find", Input).value):
            table.show(row)
        elif row.model.id in table:
            table.drop(row.model.id)
        if table.highlighted == row.model.id:
            self.query_one(ModelDetail).row = row

    def _show_all(self) -> None:
        for row in tuple(self.rows.values()):
            self._show(row)
        table, find = self.query_one(ModelTable), self.query_one("#find", Input)
        nothing = self.query_one("#nothing", Static)
        nothing.display = not len(table)
        nothing.update(
            f"No model matches “{find.value.strip()}”. esc shows all {len(self.rows)} again."
            if self.rows
            else "No model on this machine yet. a adds a .gguf file."
        )
        if not len(table):
            self.query_one(ModelDetail).row = None
        self._count()
        self.refresh_bindings()

    def _show_marks(self) -> None:
        marked = {model.id for model in self.marked}
        for row in tuple(self.rows.values()):
            self._show(replace(row, marked=row.model.id in marked))
        self._count()
        self.refresh_bindings()

    def _show_fits(self) -> None:
        available = self.lab_app.live.memory.available_bytes
        if available is None:
            return
        for row in tuple(self.rows.values()):
            fresh = replace(row, available_bytes=max(0, available - RESERVE_BYTES))
            self._show(fresh)

    def _count(self) -> None:
        shown, marked = len(self.query_one(ModelTable)), len(self.marked)
        number = f"{shown} of {len(self.rows)}" if shown < len(self.rows) else str(shown)
        words = Content.assemble(
            f"{number} {'variant' if number == '1' else 'variants'}",
            (" · ", "$text-muted"),
            (f"● {marked} marked" if marked else "none marked", "$accent" if marked else ""),
        )
        self.query_one("#count", Static).update(words)

    @on(FitTable.Highlighted)
    def _show_detail(self, event: FitTable.Highlighted) -> None:
        self.query_one(ModelDetail).row = self.rows.get(event.row or "")
        self.refresh_bindings()

    # -- what can be asked for

    @property
    def highlighted(self) -> LocalModel | None:
        """The model in the highlighted row."""
        key = self.query_one(ModelTable).highlighted if self.is_mounted else None
        return self.rows[key].model if key else None

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        if action in ("mark", "card") and self.highlighted is None:
            return "No model is highlighted."
        if action in ("chat", "compare") and not self.marked and self.highlighted is None:
            return "Mark a model first."
        if action == "unmark_all" and not self.marked:
            return "No model is marked."
        if action in ("sort", "reverse") and len(self.rows) < 2:
            return "There is nothing to sort."
        return None

    def action_mark(self) -> None:
        """Mark or unmark the highlighted model."""
        if self.highlighted is not None:
            self._toggle(self.highlighted)

    def action_unmark_all(self) -> None:
        """Take all marks away."""
        self.lab_app.marked = ()

    def action_chat(self) -> None:
        """Chat with the marked models, or with the highlighted one."""
        self._go_with_models("chat")

    def action_compare(self) -> None:
        """Compare the marked models, or measure the highlighted one."""
        self._go_with_models("compare")

    def action_card(self) -> None:
        """Open the card of the highlighted model."""
        from slmtui.ui.screens.card import CardScreen

        if (model := self.highlighted) is not None:
            self.app.push_screen(CardScreen(self.rows[model.id], self._family(model)))

    def action_find(self) -> None:
        """Open the field that filters the rows."""
        find = self.query_one("#find", Input)
        find.display = True
        find.focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        table = self.query_one(ModelTable)
        table.sort_by(table.next_sort())

    def action_reverse(self) -> None:
        """Turn the order round."""
        table = self.query_one(ModelTable)
        table.sort_by(table.sorted_by)

    def action_add(self) -> None:
        """Ask for a file and list it."""
        from slmtui.ui.widgets.pick import AddFileSheet

        self.app.push_screen(AddFileSheet(self.services), self._added)

    def key_escape(self) -> None:
        """Show all rows again."""
        find = self.query_one("#find", Input)
        find.value = ""
        find.display = False
        self.query_one(ModelTable).focus()

    @on(Input.Changed, "#find")
    def _filter(self) -> None:
        self._show_all()

    @on(Input.Submitted, "#find")
    def _found(self, event: Input.Submitted) -> None:
        event.input.display = bool(event.value.strip())
        self.query_one(ModelTable).focus()

    @on(FitTable.Pressed)
    def _pressed(self, event: FitTable.Pressed) -> None:
        if event.column == "mark":
            self._toggle(self.rows[event.row].model)
        elif event.twice:
            self.action_card()

    def _toggle(self, model: LocalModel) -> None:
        marked = tuple(each for each in self.marked if each.id != model.id)
        if len(marked) == len(self.marked):
            if len(marked) >= MOST_MARKED:
                self.say(f"{MOST_MARKED} models at most: take the mark from one of them first.", "warning")
                return
            marked = (*marked, model)
        self.lab_app.marked = marked

    def _go_with_models(self, mode: str) -> None:
        if not self.marked and self.highlighted is not None:
            self.lab_app.marked = (self.highlighted,)
        self.lab_app.action_go(mode)

    def _family(self, model: LocalModel) -> tuple[ModelRow, ...]:
        """All variants of one card, or the file alone."""
        rows: Iterable[ModelRow] = self.rows.values()
        if model.card is None:
            return (self.rows[model.id],)
        return tuple(row for row in rows if row.model.card is not None and row.model.card.id == model.card.id)

    def _added(self, model: LocalModel | None) -> None:
        if model is None:
            return
        self._list()
        table = self.query_one(ModelTable)
        if model.id in table:
            table.highlight(model.id)
        self.inspect_models()
