"""The first screen: what is on this machine and what can be had, what it needs, whether it fits and how fast it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from slmtui.core.catalog import LocalModel
from slmtui.core.wanted import Wanted
from slmtui.ui.commands import Place, bindings
from slmtui.ui.screens.models_fetch import ModelsFetch
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.key_bar import KeyBar
from slmtui.ui.widgets.model_detail import ModelDetail
from slmtui.ui.widgets.model_filter import ModelFilter
from slmtui.ui.widgets.model_table import ModelTable
from slmtui.ui.widgets.strip import Strip

if TYPE_CHECKING:
    from slmtui.ui.screens.card import Wish
    from slmtui.ui.widgets.finder import Finder

MOST_MARKED = 4
"""As many models as fit side by side."""
_FETCH = ("download", "stop_download", "delete")


class ModelsScreen(ModelsFetch):
    """Find, mark, look closer, download, go on to Chat or Compare."""

    PLACE: ClassVar[Place] = "models"
    CSS_PATH = "models.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("models")

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
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the bundled models; the catalog and files that have to be looked for come after the first frame."""
        self.list_rows(self.services.bundled(), ())
        self.query_one(ModelTable).focus()
        self.watch(self.lab_app, "marked", self.show_marks, init=False)
        self.watch(self.lab_app, "live", self._follow_memory, init=False)

    def _follow_memory(self) -> None:
        if self.is_current:  # unseen it would only take time from models that answer
            self.show_fits()

    def on_screen_resume(self) -> None:
        """Something may have been measured, added or deleted in the meantime."""
        self.call_after_refresh(self.list_models)

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        if action in _FETCH:
            return self.fetch_reason(action)
        if action == "estimate":
            return self._estimate_reason()
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

    def _estimate_reason(self) -> str | None:
        if self.measuring:
            return "This machine is being measured."
        if self.place is not None and self.place.gpus:
            return "Speeds on a GPU are measured, not estimated."
        if self.place is not None and self.place.rates.read_bytes_per_s is not None:
            return "This machine was measured: speeds are estimated."
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
            self.app.push_screen(CardScreen(row, self.variants_of(row)), self._wished)

    def action_find(self) -> None:
        """Open the field that filters the rows."""
        # Imported here: most people have a few models, and the field's style sheet costs a part of the first frame.
        from slmtui.ui.widgets.finder import Finder

        if found := self.query(Finder):
            found.first().query("Input").first().focus()
        else:
            finder = Finder("name, maker, variant, licence …  esc shows all again")
            self.query_one("#models").mount(finder, before=self.query_one(ModelTable))
            self.watch(finder, "words", self._find, init=False)

    def action_estimate(self) -> None:
        """Measure the machine, so that speeds can be estimated."""
        self.show_measuring(measuring=True)
        self.expect(measure=True)

    def action_sort(self) -> None:
        """Sort by the next column."""
        table = self.query_one(ModelTable)
        table.sort_by(table.next_sort())

    def action_reverse(self) -> None:
        """Turn the order round."""
        table = self.query_one(ModelTable)
        table.sort_by(table.sorted_by)

    def action_add(self) -> None:
        """Ask for a file, a folder or a repository of the hub, and list it."""
        from slmtui.ui.screens.add import AddSheet

        self.app.push_screen(AddSheet(self.services), self._added)

    def action_filter(self) -> None:
        """Go to the line of filters."""
        self.query_one(ModelFilter).focus()

    def key_escape(self) -> None:
        """Show all rows again."""
        self.query("Finder").remove()
        self.query_one(ModelFilter).wanted = Wanted()
        self.look_for(Wanted())
        self.query_one(ModelTable).focus()

    def _find(self, words: str) -> None:
        """Filter while the person types."""
        self.look_for(msgspec.structs.replace(self.wanted, words=words))

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

    def _wished(self, wish: Wish | None) -> None:
        """Do what was asked for on the card."""
        if wish is not None and wish.action == "download":
            self.ask_download(wish.row, wish.row.variant)
        elif wish is not None:
            self.ask_delete(wish.row)

    def _added(self, key: str | None) -> None:
        if key is not None:
            self.await_model(key)
