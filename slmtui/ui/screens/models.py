"""The first screen: what is on this machine and what can be had, what it needs, whether it fits and how fast it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Static

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, Inspected
from slmtui.core.offers import offers
from slmtui.core.text import counted
from slmtui.core.wanted import Wanted
from slmtui.lab.loading import RESERVE_BYTES
from slmtui.sources.store import StoreError
from slmtui.ui.base import LabScreen
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.model_detail import ModelDetail
from slmtui.ui.widgets.model_filter import ModelFilter, labels
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.model_table import ModelTable
from slmtui.ui.widgets.strip import Strip

if TYPE_CHECKING:
    from slmtui.ui.widgets.finder import Finder

MOST_MARKED = 4
"""As many models as fit side by side."""


class ModelsListed(Message):
    """The models that are on this machine now."""

    def __init__(self, models: tuple[LocalModel, ...]) -> None:
        super().__init__()
        self.models = models


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
        self.wanted = Wanted()
        """What a row must have to be shown."""
        self._inspecting = asyncio.Lock()

    def compose(self) -> ComposeResult:
        """Filters, table, detail."""
        yield Strip()
        with Vertical(id="models"):
            with Horizontal(classes="heading"):
                yield ModelFilter()
                yield Static(markup=False, id="count")
            yield ModelTable()
            yield Static(markup=False, id="nothing")
        yield ModelDetail(markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show the catalog and the bundled models; folders and files are read after the first frame."""
        self._list(self.services.bundled())
        self.query_one(ModelTable).focus()
        self.watch(self.lab_app, "marked", self._show_marks)
        self.watch(self.lab_app, "live", self._show_fits)

    def on_screen_resume(self) -> None:
        """Something may have been measured, added or deleted in the meantime."""
        self.call_after_refresh(self.list_models)
        self.call_after_refresh(self.read_speeds)

    # -- what workers find out

    @work(exclusive=True, group="list")
    async def list_models(self) -> None:
        """Look for model files, in a thread: a folder may be large or on a slow disk."""
        self.post_message(ModelsListed(await asyncio.to_thread(self.services.models)))

    @work(group="inspect")
    async def inspect_models(self) -> None:
        """Read the header and plan the memory of each model that was not read yet, one after another."""
        async with self._inspecting:
            for row in tuple(self.rows.values()):
                if row.pending and row.model is not None:
                    self.post_message(ModelInspected(row.model, await self.services.inspect(row.model)))

    @work(exclusive=True, group="speeds")
    async def read_speeds(self) -> None:
        """Ask the store for the latest medians."""
        try:
            self.post_message(SpeedsRead(await self.services.speeds()))
        except StoreError as error:
            self.post_message(Problem(str(error)))

    @on(ModelsListed)
    def _take_models(self, message: ModelsListed) -> None:
        self._list(message.models)
        self.inspect_models()

    @on(ModelInspected)
    def _take_facts(self, message: ModelInspected) -> None:
        row = self.rows.get(message.model.id)
        if row is None:
            return  # The file was deleted meanwhile.
        match message.result:
            case Inspected() as inspected:
                self.rows[row.key] = replace(row, inspected=inspected, failed=None)
            case Failed() as failed:
                self.rows[row.key] = replace(row, failed=failed)
        self._show()

    @on(SpeedsRead)
    def _take_speeds(self, message: SpeedsRead) -> None:
        def measured(row: ModelRow) -> ModelRow:
            prefill, decode = message.speeds.get(row.key, (None, None))
            return replace(row, prefill_tps=prefill, decode_tps=decode)

        self._change(measured)

    # -- what is shown

    def _list(self, models: tuple[LocalModel, ...]) -> None:
        """Have a row for each of these models, one for each other model of the catalog, and no more."""
        before, self.rows = self.rows, {}
        for order, offer in enumerate(offers(self.services.catalog, models)):
            known = before.get(offer.id)
            row = replace(known, offer=offer, order=order) if known else ModelRow(offer=offer, order=order)
            self.rows[offer.id] = replace(row, marked=offer.local in self.marked)
        here = {model.id for model in models}
        self.lab_app.marked = tuple(model for model in self.marked if model.id in here)
        self._show_fits()

    def _change(self, change: Callable[[ModelRow], ModelRow]) -> None:
        """Change every row."""
        self.rows = {key: change(row) for key, row in self.rows.items()}
        self._show()

    def _show(self) -> None:
        """Show the rows that have what is wanted."""
        table, anything = self.query_one(ModelTable), self.wanted.anything
        table.show_only(
            {key: row.figures for key, row in self.rows.items() if anything or self.wanted.admits(row.traits)}
        )
        self.query_one(ModelDetail).row = self.rows.get(table.highlighted or "")
        self.set_class(not len(table), "-nothing")
        if not len(table):
            words = (f"“{self.wanted.words}”",) if self.wanted.words else ()
            sought = " · ".join((*words, *labels(self.wanted)))
            everything = f"esc shows all {len(self.rows)} again."
            self.query_one("#nothing", Static).update(f"No model has all of this: {sought}. {everything}")
        self._count()
        self.refresh_keys()

    def _show_marks(self) -> None:
        marked = {model.id for model in self.marked}
        self.query_one(ModelDetail).marked = len(marked)
        self._change(lambda row: replace(row, marked=row.key in marked))

    def _show_fits(self) -> None:
        available = self.lab_app.live.memory.available_bytes
        free = None if available is None else max(0, available - RESERVE_BYTES)
        self._change(lambda row: replace(row, available_bytes=free if free is not None else row.available_bytes))

    def _count(self) -> None:
        shown, marked = len(self.query_one(ModelTable)), len(self.marked)
        words = counted(shown, "model") if shown == len(self.rows) else f"{shown} of {len(self.rows)}"
        mark = (f"  ● {marked} marked", "$accent") if marked else ("", "")
        self.query_one("#count", Static).update(Content.assemble((words, "$text-muted"), mark), layout=False)

    @on(FitTable.Highlighted)
    def _show_detail(self, event: FitTable.Highlighted) -> None:
        self.query_one(ModelDetail).row = self.rows.get(event.row or "")
        self.refresh_keys()

    # -- what can be asked for

    @property
    def row(self) -> ModelRow | None:
        """The highlighted row."""
        key = self.query_one(ModelTable).highlighted if self.is_mounted else None
        return self.rows[key] if key else None

    @property
    def highlighted(self) -> LocalModel | None:
        """The model in the highlighted row, where it is on this machine."""
        return self.row.model if self.row else None

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        if action == "card" and self.row is None:
            return "No model is highlighted."
        if (
            action == "mark" or (action in ("chat", "probe", "compare") and not self.marked)
        ) and self.highlighted is None:
            return "This model is not on this machine." if self.row else "No model is highlighted."
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

    async def action_chat(self) -> None:
        """Chat with the marked models, or with the highlighted one."""
        await self._go_with_models("chat")

    async def action_probe(self) -> None:
        """Probe the marked models, or the highlighted one."""
        await self._go_with_models("probe")

    async def action_compare(self) -> None:
        """Compare the marked models, or measure the highlighted one."""
        await self._go_with_models("compare")

    def action_card(self) -> None:
        """Open the card of the highlighted model."""
        from slmtui.ui.screens.card import CardScreen

        if (row := self.row) is not None:
            self.app.push_screen(CardScreen(row, self._family(row)))

    def action_find(self) -> None:
        """Open the field that filters the rows."""
        # Imported here: most people have a few models, and the field's style sheet costs a part of the first frame.
        from slmtui.ui.widgets.finder import Finder

        if found := self.query(Finder):
            found.first().query("Input").first().focus()
        else:
            finder = Finder("name, maker, variant, licence …  esc shows all again")
            self.query_one("#models").mount(finder, before=self.query_one(ModelTable))

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

    def action_filter(self) -> None:
        """Go to the line of filters."""
        self.query_one(ModelFilter).focus()

    def key_escape(self) -> None:
        """Show all rows again."""
        self.query("Finder").remove()
        self.query_one(ModelFilter).wanted = Wanted()
        self.look_for(Wanted())
        self.query_one(ModelTable).focus()

    def look_for(self, wanted: Wanted) -> None:
        """Show the rows that have what is wanted."""
        self.wanted = wanted
        self.set_class(not msgspec.structs.replace(wanted, words="").anything, "-filtered")
        self._show()

    def on_finder_changed(self, message: Finder.Changed) -> None:
        """Filter while the person types."""
        self.look_for(msgspec.structs.replace(self.wanted, words=message.words))

    def on_finder_left(self, message: Finder.Left) -> None:
        """Back to the table; an empty field goes away."""
        if not self.wanted.words:
            self.query("Finder").remove()
        self.query_one(ModelTable).focus()

    @on(ModelFilter.Changed)
    def _filtered(self, message: ModelFilter.Changed) -> None:
        self.look_for(msgspec.structs.replace(message.wanted, words=self.wanted.words))

    @on(ModelFilter.Left)
    def _filter_left(self) -> None:
        self.query_one(ModelTable).focus()

    @on(FitTable.Pressed)
    def _pressed(self, event: FitTable.Pressed) -> None:
        if event.column == "mark" and (model := self.rows[event.row].model) is not None:
            self._toggle(model)
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

    async def _go_with_models(self, mode: str) -> None:
        if not self.marked and self.highlighted is not None:
            self.lab_app.marked = (self.highlighted,)
        await self.lab_app.action_go(mode)

    def _family(self, row: ModelRow) -> tuple[ModelRow, ...]:
        """All variants of one card that are here, or the row alone."""
        card = row.offer.card
        rows: Iterable[ModelRow] = self.rows.values()
        return tuple(each for each in rows if card is not None and each.offer.card == card) or (row,)

    def _added(self, model: LocalModel | None) -> None:
        if model is None:
            return
        self._list((*(row.model for row in self.rows.values() if row.model and row.key != model.id), model))
        table = self.query_one(ModelTable)
        if model.id in table:
            table.highlight(model.id)
        self.inspect_models()
