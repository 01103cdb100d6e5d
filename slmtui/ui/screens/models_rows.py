"""The rows of Models: what they are, what workers find out about them, and which of them are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from textual import on, work
from textual.content import Content
from textual.widgets import Static

from slmtui.core.catalog import Format, LocalModel, ModelCard, Variant
from slmtui.core.events import Failed, Inspected
from slmtui.core.offers import Offer, offers
from slmtui.core.text import counted
from slmtui.core.wanted import Wanted
from slmtui.sources.store import StoreError
from slmtui.ui.base import LabScreen
from slmtui.ui.messages import Problem
from slmtui.ui.screens.models_messages import MachineMeasured, ModelInspected, ModelsExpected, ModelsListed, SpeedsRead
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.model_detail import ModelDetail
from slmtui.ui.widgets.model_filter import labels
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.model_table import ModelTable

if TYPE_CHECKING:
    from slmtui.core.outlook import Place


class ModelsRows(LabScreen):
    """A screen with a `ModelTable`, a `ModelDetail`, a count and a place for words where nothing is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, ModelRow] = {}
        self.wanted = Wanted()
        """What a row must have to be shown."""
        self.place: Place | None = None
        """This machine as far as estimates depend on it, once it was looked at."""
        self.measuring = False
        """Whether the machine is being measured, so that speeds can be estimated."""
        self._inspecting = asyncio.Lock()

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

    @work(exclusive=True, group="expect")
    async def expect(self, *, measure: bool = False) -> None:
        """Look at the machine, or measure it first, and say what to expect of every row on it."""
        from slmtui.lab import fit

        try:
            place = await fit.here(self.services, measure=measure)
        except StoreError as error:
            self.post_message(Problem(str(error)))
            return
        finally:
            if measure:
                self.post_message(MachineMeasured())
        from slmtui.lab.offers import outlook_of

        offers = {key: row.offer for key, row in self.rows.items()}
        outlooks = await asyncio.to_thread(lambda: {key: outlook_of(offer, place) for key, offer in offers.items()})
        self.post_message(ModelsExpected(place, outlooks))

    @on(ModelsListed)
    def _take_models(self, message: ModelsListed) -> None:
        self.list_rows(message.models)
        self.read_speeds()
        self.inspect_models()
        if not self.measuring:
            self.expect()

    @on(MachineMeasured)
    def _take_end(self) -> None:
        self.show_measuring(measuring=False)

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
        self.show_rows()

    @on(SpeedsRead)
    def _take_speeds(self, message: SpeedsRead) -> None:
        def measured(row: ModelRow) -> ModelRow:
            prefill, decode = message.speeds.get(row.key, (None, None))
            return replace(row, prefill_tps=prefill, decode_tps=decode)

        self.change_rows(measured)

    @on(ModelsExpected)
    def _take_outlooks(self, message: ModelsExpected) -> None:
        def known(row: ModelRow) -> ModelRow:
            return replace(row, outlook=message.outlooks.get(row.key, row.outlook), opens=self.opens(row.offer))

        self.place = message.place
        self.change_rows(known)

    # -- what is shown

    def list_rows(self, models: Iterable[LocalModel], cards: tuple[ModelCard, ...] | None = None) -> None:
        """Have a row for each of these models, one for each other card, of the catalog unless said, and no more."""
        models = tuple(models)
        before, self.rows = self.rows, {}
        for order, offer in enumerate(offers(self.services.catalog if cards is None else cards, models, self.formats)):
            known = before.get(offer.id)
            row = replace(known, offer=offer, order=order) if known else ModelRow(offer=offer, order=order)
            self.rows[offer.id] = replace(row, marked=offer.local in self.marked, opens=self.opens(offer))
        # A variant that is being downloaded of a model of which another one is here has a row of its own meanwhile.
        for key, row in before.items():
            if key not in self.rows and row.download is not None:
                self.rows[key] = replace(row, order=len(self.rows))
        here = {model.id for model in models}
        self.lab_app.marked = tuple(model for model in self.marked if model.id in here)
        self.query_one(ModelDetail).marked = len(self.marked)
        self.show_fits()

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats that an engine on this machine opens."""
        return self.services.formats

    def opens(self, offer: Offer) -> bool:
        """Whether an engine on this machine opens it; yes for what has no file."""
        return offer.variant is None or offer.variant.format in self.formats

    def change_rows(self, change: Callable[[ModelRow], ModelRow]) -> None:
        """Change every row."""
        self.rows = {key: change(row) for key, row in self.rows.items()}
        self.show_rows()

    def show_rows(self) -> None:
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

    def show_measuring(self, *, measuring: bool) -> None:
        """Show whether the machine is being measured."""
        self.measuring = self.query_one(ModelDetail).measuring = measuring
        self.refresh_keys()

    def show_marks(self) -> None:
        """Show which models are marked."""
        marked = {model.id for model in self.marked}
        self.query_one(ModelDetail).marked = len(marked)
        self.change_rows(lambda row: replace(row, marked=row.key in marked))

    def show_fits(self) -> None:
        """Show what fits into the memory that is free now."""
        free = self.lab_app.live.memory.available_bytes
        self.change_rows(lambda row: replace(row, free_bytes=free if free is not None else row.free_bytes))

    def look_for(self, wanted: Wanted) -> None:
        """Show the rows that have what is wanted."""
        self.wanted = wanted
        self.set_class(not msgspec.structs.replace(wanted, words="").anything, "-filtered")
        self.show_rows()

    def _count(self) -> None:
        shown, marked = len(self.query_one(ModelTable)), len(self.marked)
        words = counted(shown, "model") if shown == len(self.rows) else f"{shown} of {len(self.rows)}"
        mark = (f"  ● {marked} marked", "$accent") if marked else ("", "")
        self.query_one("#count", Static).update(Content.assemble((words, "$text-muted"), mark), layout=False)

    @on(FitTable.Highlighted)
    def _show_detail(self, event: FitTable.Highlighted) -> None:
        self.query_one(ModelDetail).row = self.rows.get(event.row or "")
        self.refresh_keys()

    # -- what there is

    @property
    def row(self) -> ModelRow | None:
        """The highlighted row."""
        key = self.query_one(ModelTable).highlighted if self.is_mounted else None
        return self.rows.get(key) if key else None

    @property
    def highlighted(self) -> LocalModel | None:
        """The model in the highlighted row, where it is on this machine."""
        return self.row.model if self.row else None

    def variants_of(self, row: ModelRow) -> tuple[ModelRow, ...]:
        """A row for each variant of the row's model, here or to be had; the row alone where there are none."""
        card = row.offer.card
        if card is None:
            return (row,)
        here = {each.variant: each for each in self.rows.values() if each.model is not None and each.offer.card == card}
        labels = [variant.quantization for variant in card.variants]
        found = [here.get(variant.quantization) or self._row_of(card, variant) for variant in card.variants]
        return (*found, *(each for label, each in here.items() if label not in labels)) or (row,)

    def _row_of(self, card: ModelCard, variant: Variant) -> ModelRow:
        """A row for a variant that is not here."""
        from slmtui.lab.offers import outlook_of

        offer = Offer(card=card, variant=variant)
        outlook = outlook_of(offer, self.place) if self.place is not None else None
        free = self.lab_app.live.memory.available_bytes
        return ModelRow(offer=offer, outlook=outlook, free_bytes=free, opens=self.opens(offer))
