"""One row of the Models screen: what is known at the moment about a variant that is here, or a model that is not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from slmtui.core.catalog import Architecture, LocalModel, Variant
from slmtui.core.events import Failed, Inspected, ModelFacts, total_bytes
from slmtui.core.fit import Fit, fit
from slmtui.core.offers import Offer
from slmtui.core.text import NOT_MEASURED, clean, count, memory, one_line, rate, size
from slmtui.core.wanted import Traits
from slmtui.lab.loading import RESERVE_BYTES
from slmtui.ui.widgets.model_download import Download
from slmtui.ui.widgets.model_speed import likely_words, range_words
from slmtui.ui.widgets.table_columns import Figure, Tone

if TYPE_CHECKING:
    from slmtui.core.estimate import Range
    from slmtui.core.outlook import Outlook

PENDING = "…"
"""Shown for what is being found out."""
_SIGNS: dict[str, tuple[str, Tone]] = {"yes": ("✓", "good"), "tight": ("~", "warn"), "no": ("✗", "bad")}


@dataclass(frozen=True)
class ModelRow:
    """What is known about one row at the moment."""

    offer: Offer
    order: int = 0
    """Its place in the list as it is without sorting: what is here first."""
    inspected: Inspected | None = None
    failed: Failed | None = None
    """Why the file could not be read, where it could not."""
    outlook: Outlook | None = None
    """What to expect of it here; None where too little is known of it, or nothing yet."""
    free_bytes: int | None = None
    """Main memory that is free now."""
    prefill_tps: float | None = None
    """Median of the latest benchmark on this machine."""
    decode_tps: float | None = None
    marked: bool = False
    opens: bool = True
    """Whether an engine on this machine opens its format."""
    download: Download | None = None

    @property
    def key(self) -> str:
        """What the row is known by: the id of the variant that is here, or of the model."""
        return self.offer.id

    @property
    def model(self) -> LocalModel | None:
        """The variant on this machine; None where it is not here."""
        return self.offer.local

    @property
    def facts(self) -> ModelFacts:
        """The file's header; nothing but None before it was read."""
        return self.inspected.facts if self.inspected else ModelFacts()

    @property
    def shape(self) -> Architecture:
        """Its architecture: as the header says, else the catalog."""
        facts = self.facts
        known = {
            "name": facts.architecture,
            "layers": facts.layers,
            "hidden_size": facts.hidden_size,
            "heads": facts.heads,
            "kv_heads": facts.kv_heads,
            "head_size": facts.head_size,
            "vocabulary": facts.vocabulary,
            "context": facts.trained_context,
        }
        told = (self.offer.card.architecture if self.offer.card else None) or Architecture()
        return msgspec.structs.replace(told, **{fact: value for fact, value in known.items() if value is not None})

    @property
    def name(self) -> str:
        """The model's name, without its variant."""
        return one_line(self.offer.name)

    @property
    def variant(self) -> str | None:
        """The quantization: the catalog's label, else the file header's."""
        if self.download is not None:
            return self.download.label
        return (self.offer.variant.quantization if self.offer.variant else None) or self.facts.quantization

    @property
    def parameters(self) -> int | None:
        """How many weights it has: as the header says, else the catalog."""
        return self.facts.parameters or (self.offer.card.parameters if self.offer.card else None)

    @property
    def licence(self) -> str | None:
        """The licence: the catalog's word, else the header's."""
        return (self.offer.card.licence if self.offer.card else None) or self.facts.licence

    @property
    def planned_bytes(self) -> int | None:
        """The exact dry run's sum; None before there is one."""
        return total_bytes(self.inspected.planned) if self.inspected and self.inspected.planned else None

    @property
    def needed_bytes(self) -> int | None:
        """What must be free: planned exactly, else as expected."""
        if self.planned_bytes is not None:
            return self.planned_bytes
        return self.outlook.needed_bytes + self.outlook.gpu_bytes if self.outlook else None

    @property
    def fit(self) -> Fit | None:
        """Whether it goes into the free memory."""
        if self.planned_bytes is not None:
            free = None if self.free_bytes is None else max(0, self.free_bytes - RESERVE_BYTES)
            return fit(self.planned_bytes, free)
        if self.outlook is None:
            return None
        # Video memory is looked at only when the machine is; main memory every other second.
        return self.outlook.fit if self.outlook.gpu_bytes else fit(self.outlook.needed_bytes, self.free_bytes)

    @property
    def pending(self) -> bool:
        """Whether the file is still to be read."""
        return self.model is not None and self.inspected is None and self.failed is None

    @cached_property
    def traits(self) -> Traits:
        """What it is looked for by."""
        facts, verdict = self.facts, self.fit
        more = " ".join(filter(None, (facts.quantization, facts.architecture)))
        return self.offer.traits(
            parameters=self.parameters,
            licence=self.licence,
            fits=verdict.verdict if verdict else None,
            more=more,
        )

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The cells of its row, made once: every letter of a filter asks for them."""
        missing = PENDING if self.pending else NOT_MEASURED
        here, name = self.model is not None, f"{self.name} · demo" if self.offer.demo else self.name
        return {
            "mark": Figure(_mark(self), self.order, "accent" if self.marked else "muted"),
            "name": Figure(name, self.name, "strong" if here else ""),
            "params": Figure(count(self.parameters) if self.parameters else missing, self.parameters),
            "variant": Figure(clean(self.variant) if self.variant else missing, self.variant, "" if here else "muted"),
            "size": self._size(),
            "memory": self._memory(missing),
            "fits": self._fits(),
            "prefill": _speed(self.prefill_tps, self.outlook.prefill_tps if self.outlook else None),
            "decode": _speed(self.decode_tps, self.outlook.decode_tps if self.outlook else None),
            "licence": self._licence(missing),
            **self._origin(missing),
        }

    def _origin(self, missing: str) -> dict[str, Figure]:
        """Who made it and when, and for how long a context it was trained."""
        card, context = self.offer.card, self.shape.context
        maker, released = (card.developer, card.released) if card else (None, None)
        return {
            "maker": Figure(maker or NOT_MEASURED, maker, "muted"),
            "context": Figure(f"{context:,}" if context else missing, context, "muted"),
            "released": Figure(released or NOT_MEASURED, released, "muted"),
        }

    def _memory(self, missing: str) -> Figure:
        """What it needs; a tilde says that it is an estimate."""
        needed = self.needed_bytes
        if self.download is not None and self.download.pace:
            return Figure(self.download.pace, needed, "accent")
        if needed is None:
            return Figure(missing, tone="muted")
        exact = self.planned_bytes is not None
        return Figure(memory(needed) if exact else f"~{memory(needed)}", needed, "" if exact else "muted")

    def _size(self) -> Figure:
        """The file's size; an arrow says that it has to be downloaded first, a tilde that the size is rounded."""
        value, variant = self.offer.size_bytes, self.offer.variant
        if self.download is not None:
            return Figure(self.download.short, value, "bad" if self.download.phase == "failed" else "accent")
        if self.model is not None:
            return Figure(size(value), value)
        if variant is None:
            return Figure("no file", tone="muted")
        return Figure(f"↓ {size_words(variant)}", value, "muted")

    def _fits(self) -> Figure:
        if self.download is not None:
            tone: Tone = "bad" if self.download.phase == "failed" else "accent"
            return Figure(self.download.words, 5.0, tone, short=self.download.brief)
        if not self.opens:
            return Figure("needs MLX", 6.0, "muted", short="MLX")
        if self.failed is not None:
            return Figure("✗ can't be opened", 4.0, "bad", short="✗ can't")
        verdict = self.fit
        if verdict is None:
            return Figure(PENDING if self.pending else NOT_MEASURED, tone="muted")
        sign, tone = _SIGNS[verdict.verdict]
        order = ("yes", "tight", "no").index(verdict.verdict) + 1
        return Figure(f"{sign} {verdict.words}", float(order), tone, short=f"{sign} {verdict.verdict}")

    def _licence(self, missing: str) -> Figure:
        words = self.licence or missing
        gated = self.offer.card is not None and self.offer.card.gated
        return Figure(f"{words} · gated" if gated else words, self.licence, "muted", short=words)


def size_words(variant: Variant) -> str:
    """The size of a download as far as the catalog knows it; a tilde where that is rounded."""
    rounded = variant.size_bytes is None and variant.about_bytes is not None
    return f"~{size(variant.hint_bytes)}" if rounded else size(variant.hint_bytes)


def _mark(row: ModelRow) -> str:
    return "●" if row.marked else "·" if row.model is not None else ""


def _speed(measured: float | None, expected: Range | None) -> Figure:
    """What was measured, else, in grey, what is expected."""
    if measured is not None or expected is None:
        return Figure(rate(measured), measured, "" if measured is not None else "muted")
    return Figure(range_words(expected), expected.likely, "muted", short=likely_words(expected))
