"""The sheet before a download: which variant, how large, from where, what is left on the disk, whether it will fit."""

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
from textual.widgets import Button, Static

from slmtui.core.text import NOT_MEASURED, counted, memory, one_line, shorten, size
from slmtui.lab.download_events import Planned
from slmtui.lab.services import Services
from slmtui.sources.hub_errors import HubError
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.variant_table import VariantTable

if TYPE_CHECKING:
    from slmtui.core.outlook import Place

_PATIENCE_S = 0.25
"""How long a variant is highlighted before the hub is asked about it."""
_LABEL = 10


class DownloadPlanned(Message):
    """The hub has answered about a variant, or it has not."""

    def __init__(self, label: str, planned: Planned | None, problem: str = "") -> None:
        super().__init__()
        self.label = label
        self.planned = planned
        self.problem = problem


class DownloadSheet(ModalScreen[Planned | None]):
    """Shows what would come; the result is the plan that the person agreed to, None for no download."""

    DEFAULT_CSS = """
    DownloadSheet {
        align: center middle;
        & > .sheet { width: 92; max-height: 96%; padding: 1 1 0 2; }
        & VariantTable { max-height: 10; }
        & #plan { height: auto; min-height: 7; margin-bottom: 1; }
        & Horizontal { height: 1; margin-bottom: 1; }
        & Button { margin-right: 2; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Cancel"),
        Binding("enter,d", "download", "Download"),
        Binding("f", "force", "Download all the same"),
    ]

    def __init__(self, services: Services, rows: tuple[ModelRow, ...], label: str | None, place: Place | None) -> None:
        """`rows` are variants that are not here, `label` the one to begin with."""
        super().__init__()
        self.services = services
        self._rows = {row.variant or "": row for row in rows}
        self._label = label
        self._place = place
        self.planned: Planned | None = None
        """What the hub said about the highlighted variant."""
        self._problem = ""

    def compose(self) -> ComposeResult:
        """Variants, what is known about the chosen one, and the answers."""
        with Vertical(classes="sheet") as sheet:
            name = next((row.name for row in self._rows.values()), "")
            sheet.border_title = f"Download {name}"
            sheet.border_subtitle = "↑ ↓ choose · enter downloads · esc cancels"
            yield VariantTable()
            yield Static(markup=False, id="plan")
            with Horizontal():
                yield Button("Download", compact=True, variant="primary", id="yes", disabled=True)
                yield Button("Cancel", compact=True, id="no")

    def on_mount(self) -> None:
        """Begin with the wanted variant, or with the largest that fits where the wanted one does not."""
        table = self.query_one(VariantTable)
        table.show(self._rows.values())
        label = self._label if self._label in table else None
        if label is not None and (fit := self._rows[label].fit) is not None and fit.verdict == "no":
            label = self._largest or label
        if label is not None:
            table.highlight(label)
        table.focus()

    @property
    def _largest(self) -> str | None:
        """The largest variant that fits."""
        from slmtui.lab import fit

        card = next((row.offer.card for row in self._rows.values()), None)
        if card is None or self._place is None:
            return None
        found = fit.largest_variant(card, self._place)
        return found.quantization if found is not None and found.quantization in self._rows else None

    @on(FitTable.Highlighted)
    def _chosen(self, event: FitTable.Highlighted) -> None:
        self.planned, self._problem = None, ""
        self._show()
        if event.row is not None and (card := self._rows[event.row].offer.card) is not None:
            self.ask(event.row, f"{card.id}:{event.row}")

    @work(exclusive=True, group="plan")
    async def ask(self, label: str, wanted: str) -> None:
        """Ask the hub about a variant."""
        from slmtui.lab.download import plan

        await asyncio.sleep(_PATIENCE_S)
        try:
            self.post_message(DownloadPlanned(label, await plan(self.services, wanted)))
        except HubError as error:
            self.post_message(DownloadPlanned(label, None, str(error)))

    @on(DownloadPlanned)
    def _answered(self, message: DownloadPlanned) -> None:
        if message.label == self.query_one(VariantTable).highlighted:
            self.planned, self._problem = message.planned, message.problem
            self._show()

    def on_resize(self) -> None:
        """Say as much as the width has room for."""
        self._show()

    def _show(self) -> None:
        row = self._rows.get(self.query_one(VariantTable).highlighted or "")
        width = min(92, self.app.size.width) - 7
        lines = plan_lines(row, self.planned, self._largest, width, self._problem) if row else []
        self.query_one("#plan", Static).update(Content("\n").join(lines))
        button = self.query_one("#yes", Button)
        button.disabled = self.planned is None
        button.label = "Download all the same" if self.planned and self.planned.refusal else "Download"
        button.variant = "error" if self.planned and self.planned.refusal else "primary"

    def action_download(self) -> None:
        """Agree, where nothing is against it."""
        if isinstance(self.focused, Button):
            self.focused.press()
        elif self.planned is not None and self.planned.refusal is None:
            self.dismiss(self.planned)

    def action_force(self) -> None:
        """Agree whatever is against it."""
        if self.planned is not None:
            self.dismiss(self.planned)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self.planned if event.button.id == "yes" else None)


def plan_lines(
    row: ModelRow, planned: Planned | None, largest: str | None, width: int, problem: str = ""
) -> list[Content]:
    """What is known before the download, or why it can't be had, for `width` cells."""
    room = width - _LABEL
    lines: list[Content] = []
    if problem:
        lines.append(Content.styled(f"✗ {one_line(problem)}.", "$text-error"))
    elif planned is None:
        lines.append(_line("from", Content.styled("asking the hub …", "$text-muted")))
    else:
        files = counted(len(planned.files), "file")
        where = f"{planned.listing.repository} at {planned.listing.commit[:8]}"
        lines.append(_line("from", Content(shorten(one_line(where), room))))
        amount = f"{size(planned.size_bytes)} in {files}"
        if planned.here_bytes:
            amount += f", {size(planned.here_bytes)} of it are here: {size(planned.left_bytes)} to download"
        lines.append(_line("size", Content(shorten(amount, room))))
        lines.append(_line("disk", Content(f"{size(planned.disk_left_bytes)} left")))
    lines.append(_line("memory", _memory(row)))
    if not row.opens:
        lines.append(_line("", Content.styled("no engine on this machine opens MLX models", "$warning")))
    if largest is not None and largest != row.variant:
        lines.append(_line("", Content.styled(f"the largest variant that fits is {one_line(largest)}", "$text-muted")))
    licence = planned.listing.licence if planned else None
    if licence is None or (row.licence and licence.casefold() == row.licence.casefold()):
        licence = row.licence
    gated = " · gated: the developer asks for consent first" if planned and planned.listing.gated else ""
    lines.append(_line("licence", Content(shorten(one_line(f"{licence or NOT_MEASURED}{gated}"), room))))
    lines += [Content.styled(one_line(notice), "$text-muted") for notice in (planned.notices if planned else ())]
    if planned is not None and planned.refusal is not None:
        lines.append(Content.styled(f"✗ {one_line(planned.refusal)}. f downloads it all the same.", "$text-error"))
    return lines


def _memory(row: ModelRow) -> Content:
    outlook, fit = row.outlook, row.fit
    if outlook is None:
        return Content.styled("not known before it is here", "$text-muted")
    words = f"~{memory(row.needed_bytes)} at {outlook.setup.context:,} tokens of context"
    if fit is None:
        return Content(words)
    tone = {"yes": "$success", "tight": "$warning", "no": "$error"}[fit.verdict]
    sign = {"yes": "✓", "tight": "~", "no": "✗"}[fit.verdict]
    context = ""
    if fit.verdict == "no" and outlook.largest_context:
        context = f"; {outlook.largest_context:,} tokens fit"
    return Content.assemble(f"{words}, {memory(fit.available_bytes)} free  ", (f"{sign} {fit.words}{context}", tone))


def _line(label: str, content: Content) -> Content:
    return Content.assemble((label.ljust(_LABEL), "$text-muted"), content)
