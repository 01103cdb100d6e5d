"""The variants of one model: which are here, which can be had, and what each needs."""

from __future__ import annotations

from collections.abc import Iterable

from slmtui.core.catalog import ModelCard, Variant
from slmtui.core.text import NOT_MEASURED, one_line, size
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn
from slmtui.ui.widgets.model_row import ModelRow, size_words

_COLUMNS = (
    TableColumn("variant", "variant", 8, room=12),
    TableColumn("format", "format", 6, rank=3),
    TableColumn("size", "file", 9, right=True),
    TableColumn("place", "where", 12, rank=1, room=46),
    TableColumn("memory", "memory", 8, rank=1, right=True),
    TableColumn("fits", "fits", 7, room=22),
    TableColumn("prefill", "prefill", 7, rank=2, right=True, unit="tok/s"),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
)
_FROM_ROW = ("memory", "fits", "prefill", "decode")


class VariantTable(FitTable):
    """Rows by quantization; for a file of the person's own, the one row of that file."""

    DEFAULT_CSS = "VariantTable { height: auto; max-height: 12; margin-bottom: 1; }"

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, sort="order")

    def show(self, card: ModelCard | None, rows: Iterable[ModelRow]) -> None:
        """Show what the catalog has, with what is known about those that are here."""
        here = {row.variant or row.key: row for row in rows if row.model is not None}
        known = {variant.quantization: variant for variant in (card.variants if card else ())}
        labels = dict.fromkeys((*known, *here))
        self.show_only({label: _figures(n, label, known.get(label), here.get(label)) for n, label in enumerate(labels)})


def _figures(order: int, label: str, variant: Variant | None, row: ModelRow | None) -> dict[str, Figure]:
    """The cells of one variant."""
    value = row.offer.size_bytes if row else variant.hint_bytes if variant else None
    measured = row.figures if row else {}
    source = (variant.repository if variant else None) or NOT_MEASURED
    return {
        "order": Figure("", order),
        "variant": Figure(one_line(label), label, "strong" if row else ""),
        "format": Figure(variant.format if variant else "GGUF", tone="muted"),
        "size": Figure(size_words(variant) if variant and not row else size(value), value),
        "place": Figure("✓ here", 0, "good")
        if row
        else Figure(f"↓ {source}", 1, "muted", short=f"↓ {source.partition('/')[0]}"),
        **{name: measured.get(name, Figure(NOT_MEASURED, tone="muted")) for name in _FROM_ROW},
    }
