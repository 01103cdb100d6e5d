"""What Models does to bring models here and to take them away: download, pause, give up, delete, add."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on, work

from slmtui.core.offers import Offer
from slmtui.core.text import one_line, size
from slmtui.sources.config import ConfigError
from slmtui.sources.library import UnknownModelError
from slmtui.ui.screens.models_messages import DownloadHeard, ModelRemoved
from slmtui.ui.screens.models_rows import ModelsRows
from slmtui.ui.widgets.model_download import Download, moved
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.model_table import ModelTable

if TYPE_CHECKING:
    from slmtui.core.catalog import LocalModel, ModelCard
    from slmtui.lab.download import Transfer
    from slmtui.lab.download_events import Planned


class ModelsFetch(ModelsRows):
    """Rows that can be downloaded and deleted; transfers go on while other screens are shown, and end with the app."""

    def __init__(self) -> None:
        super().__init__()
        self._transfers: dict[str, Transfer] = {}
        self._plans: dict[str, Planned] = {}
        """What was agreed to, by row, until it is here or given up."""
        self._awaited = ""
        """Id of a model that is to be highlighted when it is listed."""

    # -- reasons

    def fetch_reason(self, action: str) -> str | None:
        """Why one of the actions here can't act now."""
        row = self.row
        if row is None:
            return "No model is highlighted."
        match action:
            case "download":
                return _download_reason(row)
            case "stop_download":
                return None if row.download is not None else "Nothing is being downloaded in this row."
            case _:
                return None if row.model is not None else "This model is not on this machine."

    # -- download

    def action_download(self) -> None:
        """Ask before the download of the highlighted model, or go on with it."""
        if (row := self.row) is not None and _download_reason(row) is None:
            if row.download is not None and row.key in self._plans:
                self.begin(row.key, self._plans[row.key])
            else:
                self.ask_download(row, row.variant)

    def ask_download(self, row: ModelRow, label: str | None) -> None:
        """Show what a download of the row's model would bring, beginning with one variant."""
        from slmtui.ui.screens.download import DownloadSheet

        def answered(planned: Planned | None) -> None:
            if planned is not None:
                self._agreed(row, planned)

        rows = tuple(each for each in self.variants_of(row) if each.model is None)
        self.app.push_screen(DownloadSheet(self.services, rows, label, self.place), answered)

    def _agreed(self, row: ModelRow, planned: Planned) -> None:
        key = row.offer.card.id if row.offer.card else row.key
        known = self.rows.get(key)
        if known is not None and known.download is not None and known.download.phase == "running":
            self.say(f"{known.name} {known.variant} is being downloaded; x pauses it.", "warning")
            return
        if known is None:
            variants = row.offer.card.variants if row.offer.card else ()
            variant = next((each for each in variants if each.quantization == planned.label), None)
            known = ModelRow(offer=Offer(card=row.offer.card, variant=variant), order=len(self.rows))
        self.rows[key] = known
        self._plans[key] = planned
        self.begin(key, planned)

    def begin(self, key: str, planned: Planned, *, give_up: bool = False) -> None:
        """Begin a transfer, or go on with it; one that is given up at once deletes what is here of it."""
        from slmtui.lab.download import Transfer

        transfer = self._transfers[key] = Transfer(self.services, planned)
        if give_up:
            transfer.cancel()
        total, done = planned.size_bytes, planned.here_bytes
        known = self.rows[key].download
        if known is None or known.phase != "paused":
            known = Download(label=planned.label, done_bytes=done, total_bytes=total)
        self._show_download(key, replace(known, phase="running", remark=""))
        self.follow(key, transfer)

    @work(group="download")
    async def follow(self, key: str, transfer: Transfer) -> None:
        """Tell what happens to a transfer."""
        async with aclosing(transfer.events()) as events:
            async for event in events:
                self.post_message(DownloadHeard(key, event))

    def action_stop_download(self) -> None:
        """Pause what runs; give up what is paused, after asking."""
        row = self.row
        if row is None or row.download is None:
            return
        if row.download.phase == "running":
            self._transfers[row.key].pause()
            return
        from slmtui.ui.widgets.pick import ConfirmSheet

        def answered(yes: bool | None) -> None:
            if yes and row.key in self._plans:
                self.begin(row.key, self._plans[row.key], give_up=True)

        question = (
            f"{size(row.download.done_bytes)} of {one_line(row.name)} {row.variant} are here and would be deleted."
        )
        self.app.push_screen(ConfirmSheet("Give up the download?", question, "Give it up"), answered)

    @on(DownloadHeard)
    def _take_download(self, message: DownloadHeard) -> None:
        from slmtui.lab.download_events import Cancelled, DownloadFailed, Paused, Progress, Ready, Verified

        row = self.rows.get(message.key)
        if row is None or row.download is None:
            return
        match message.event:
            case Progress() as progress:
                self._show_download(row.key, moved(row.download, progress))
            case Verified():
                pass
            case Paused() as paused:
                stopped = Download(label=row.download.label, phase="paused", total_bytes=row.download.total_bytes)
                self._show_download(row.key, replace(stopped, done_bytes=paused.done_bytes))
            case DownloadFailed() as failed:
                self._show_download(row.key, replace(row.download, phase="failed", remark=failed.message))
                self.say(f"{row.name} {row.variant or ''} was not downloaded: {failed.message}", "error")
            case Cancelled():
                self._ended(row.key)
            case Ready() as ready:
                self._arrived(row.key, ready.model)

    def _arrived(self, key: str, model: LocalModel) -> None:
        self._ended(key)
        self._awaited = model.id
        self.say(f"{one_line(model.name)} is here.")
        self.list_models()

    def _ended(self, key: str) -> None:
        self._plans.pop(key, None)
        self._transfers.pop(key, None)
        self._show_download(key, None)

    def _show_download(self, key: str, download: Download | None) -> None:
        self.rows[key] = replace(self.rows[key], download=download)
        self.show_rows()

    # -- delete and add

    def action_delete(self) -> None:
        """Delete the highlighted model's files, after asking; other programs' files are left alone."""
        if (row := self.row) is not None and row.model is not None:
            self.ask_delete(row)

    def ask_delete(self, row: ModelRow) -> None:
        """Ask whether to delete a variant that is here."""
        from slmtui.ui.widgets.pick import ConfirmSheet

        model = row.model
        if model is None:
            return
        if (why := _keep_reason(model)) is not None:
            self.say(why, "warning")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.remove_model(model)

        name, freed = one_line(model.name), size(model.size_bytes)
        if model.place == "file":
            sheet = ConfirmSheet("Forget this file?", f"{name} is taken from the list; the file stays.", "Forget it")
        else:
            sheet = ConfirmSheet("Delete this model?", f"{name}: {freed} are deleted from {model.path}.", "Delete it")
        self.app.push_screen(sheet, answered)

    @work(group="remove")
    async def remove_model(self, model: LocalModel) -> None:
        """Delete or forget it."""
        from slmtui.lab import shelf

        try:
            removed = await shelf.remove(self.services, model.id)
        except (shelf.ShelfError, UnknownModelError, ConfigError) as error:
            self.post_message(ModelRemoved(f"{error}.", failed=True))
        else:
            self.post_message(ModelRemoved(removed.sentence, failed=False))

    @on(ModelRemoved)
    def _take_removed(self, message: ModelRemoved) -> None:
        self.say(message.sentence, "error" if message.failed else "information")
        self.list_models()

    def list_rows(self, models: Iterable[LocalModel], cards: tuple[ModelCard, ...] | None = None) -> None:
        """Have a row for each model; one that was waited for is highlighted."""
        super().list_rows(models, cards)
        table = self.query_one(ModelTable)
        if self._awaited in table:
            table.highlight(self._awaited)
            self._awaited = ""

    def await_model(self, key: str) -> None:
        """List the models anew and highlight the one of this key."""
        self._awaited = key
        self.list_models()


def _download_reason(row: ModelRow) -> str | None:
    if row.download is not None:
        return "It is being downloaded; x pauses it." if row.download.phase == "running" else None
    if row.offer.card is None:
        return "It is here, and the catalog does not know it."
    if row.offer.card.bundled:
        return "It comes with slmtui."
    if not row.offer.card.variants:
        return "No file of it is known that an engine here can open."
    return None


def _keep_reason(model: LocalModel) -> str | None:
    """Why its files are not to be deleted."""
    if model.place == "bundled":
        return f"{model.name} comes with slmtui and can't be deleted."
    if model.place in ("llama.cpp", "LM Studio", "Ollama"):
        return f"{model.name} is kept by {model.place}; delete it there."
    return None
