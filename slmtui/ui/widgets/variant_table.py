"""The variants of one model: which are here, which can be had, and what each needs."""

from __future__ import annotations

from collections.abc import Iterable

from slmtui.core.text import NOT_MEASURED, one_line
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn
from slmtui.ui.widgets.model_row import ModelRow

_COLUMNS = (
    TableColumn("variant", "variant", 8, room=12),
    TableColumn("format", "format", 6, rank=3),
    TableColumn("size", "file", 10, right=True),
    TableColumn("place", "where", 10, rank=2, room=46),
    TableColumn("memory", "memory", 9, rank=1, right=True),
    TableColumn("fits", "fits", 9, room=22),
    TableColumn("prefill", "prefill", 9, rank=4, right=True, unit="tok/s"),
    TableColumn("decode", "decode", 9, right=True, unit="tok/s"),
)


class VariantTable(FitTable):
    """Rows by quantization; for a file of the person's own, the one row of that file."""

    DEFAULT_CSS = "VariantTable { height: auto; max-height: 12; margin-bottom: 1; }"

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, sort="order")

    def show(self, rows: Iterable[ModelRow]) -> None:
        """Show these variants of one model and no others."""
        self.show_only({row.variant or row.key: _figures(order, row) for order, row in enumerate(rows)})


def _figures(order: int, row: ModelRow) -> dict[str, Figure]:
    """The cells of one variant."""
    variant, here = row.offer.variant, row.model is not None
    source = (variant.repository if variant else None) or NOT_MEASURED
    label = one_line(row.variant or row.name)
    return {
        **row.figures,
        "order": Figure("", order),
        "variant": Figure(label, label, "strong" if here else ""),
        "format": Figure(row.model.format if row.model else variant.format if variant else NOT_MEASURED, tone="muted"),
        "place": Figure("✓ here", 0, "good") if here else Figure(source, 1, "muted", short=source.partition("/")[0]),
    }
