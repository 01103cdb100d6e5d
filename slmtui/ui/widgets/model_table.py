"""The table of the models on this machine, one row a variant."""

from __future__ import annotations

from dataclasses import dataclass

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, Inspected, ModelFacts, total_bytes
from slmtui.core.fit import Fit, fit
from slmtui.core.text import NOT_MEASURED, clean, count, memory, one_line, rate, size
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn, Tone

PENDING = "…"
"""Shown for what is being found out."""
_COLUMNS = (
    TableColumn("mark", "", 1, sortable=False),
    TableColumn("name", "model", 12, room=30),
    TableColumn("params", "params", 6, rank=3, right=True),
    TableColumn("variant", "variant", 7, rank=1, room=9),
    TableColumn("size", "file", 7, rank=5, right=True, room=8),
    TableColumn("memory", "memory", 8, rank=1, right=True),
    TableColumn("fits", "fits", 7, room=22),
    TableColumn("prefill", "prefill", 7, rank=2, right=True, unit="tok/s"),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("licence", "licence", 10, rank=4, room=16),
)
_SIGNS: dict[str, tuple[str, Tone]] = {"yes": ("✓", "good"), "tight": ("~", "warn"), "no": ("✗", "bad")}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What is known about one variant at the moment."""

    model: LocalModel
    inspected: Inspected | None = None
    failed: Failed | None = None
    """Why the file could not be read, where it could not."""
    available_bytes: int | None = None
    """Free memory of the machine."""
    prefill_tps: float | None = None
    """Median of the latest benchmark on this machine."""
    decode_tps: float | None = None
    marked: bool = False

    @property
    def facts(self) -> ModelFacts:
        """The file's header; nothing but None before it was read."""
        return self.inspected.facts if self.inspected else ModelFacts()

    @property
    def name(self) -> str:
        """The model's name, without its variant."""
        return one_line(self.model.card.name if self.model.card else self.model.name)

    @property
    def variant(self) -> str | None:
        """The quantization: the catalog's label, else the file header's."""
        return self.model.variant.quantization if self.model.variant else self.facts.quantization

    @property
    def parameters(self) -> int | None:
        """How many weights it has: as the header says, else the catalog."""
        return self.facts.parameters or (self.model.card.parameters if self.model.card else None)

    @property
    def licence(self) -> str | None:
        """The licence: the catalog's word, else the header's."""
        return (self.model.card.licence if self.model.card else None) or self.facts.licence

    @property
    def needed_bytes(self) -> int | None:
        """The exact dry run's sum; None before there is one."""
        return total_bytes(self.inspected.planned) if self.inspected and self.inspected.planned else None

    @property
    def fit(self) -> Fit | None:
        """Whether it goes into the free memory."""
        return fit(self.needed_bytes, self.available_bytes)

    @property
    def pending(self) -> bool:
        """Whether the file is still to be read."""
        return self.inspected is None and self.failed is None

    def matches(self, words: str) -> bool:
        """Whether every one of the words is somewhere in its name, variant, licence, family or path."""
        card = self.model.card
        known = [self.model.id, self.model.name, self.variant, self.licence, str(self.model.path)]
        known += [card.family, card.developer, "demo" if card.demo else None] if card else []
        text = " ".join(filter(None, known)).casefold()
        return all(word in text for word in words.casefold().split())

    def figures(self) -> dict[str, Figure]:
        """The cells of its row."""
        missing = PENDING if self.pending else NOT_MEASURED
        needed = self.needed_bytes
        return {
            "mark": Figure("●" if self.marked else "·", tone="accent" if self.marked else "muted"),
            "name": Figure(f"{self.name} · demo" if self.model.demo else self.name, self.name, "strong"),
            "params": Figure(count(self.parameters) if self.parameters else missing, self.parameters),
            "variant": Figure(clean(self.variant) if self.variant else missing, self.variant),
            "size": Figure(size(self.model.size_bytes), self.model.size_bytes),
            "memory": Figure(memory(needed) if needed is not None else missing, needed),
            "fits": self._fits(),
            "prefill": Figure(rate(self.prefill_tps), self.prefill_tps, _dim(self.prefill_tps)),
            "decode": Figure(rate(self.decode_tps), self.decode_tps, _dim(self.decode_tps)),
            "licence": Figure(self.licence or missing, self.licence, "muted"),
        }

    def _fits(self) -> Figure:
        if self.failed is not None:
            return Figure("✗ can't be opened", 4.0, "bad", short="✗ can't")
        verdict = self.fit
        if verdict is None:
            return Figure(PENDING if self.pending else NOT_MEASURED, tone="muted")
        sign, tone = _SIGNS[verdict.verdict]
        order = ("yes", "tight", "no").index(verdict.verdict) + 1
        return Figure(f"{sign} {verdict.words}", float(order), tone, short=f"{sign} {verdict.verdict}")


class ModelTable(FitTable):
    """Models by id."""

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, sort="name")

    def show(self, row: ModelRow) -> None:
        """Add or update the row of one model."""
        self.put(row.model.id, row.figures())


def _dim(value: float | None) -> Tone:
    return "muted" if value is None else ""
