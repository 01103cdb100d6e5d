"""The table of the models: one row a variant that is here, then one a model of the catalog that is not."""

from __future__ import annotations

from slmtui.ui.widgets.fit_table import FitTable, TableColumn

_COLUMNS = (
    TableColumn("mark", "", 1),
    TableColumn("name", "model", 12, room=28),
    TableColumn("params", "params", 6, rank=4, right=True),
    TableColumn("variant", "variant", 7, rank=1, room=9),
    TableColumn("size", "file", 10, rank=2, right=True),
    TableColumn("memory", "memory", 9, rank=1, right=True),
    TableColumn("fits", "fits", 8, room=24),
    TableColumn("prefill", "prefill", 9, rank=3, right=True, unit="tok/s"),
    TableColumn("decode", "decode", 9, right=True, unit="tok/s"),
    TableColumn("licence", "licence", 10, rank=5, room=24),
    TableColumn("maker", "maker", 12, rank=1, room=20, extra=True),
    TableColumn("context", "context", 7, rank=2, right=True, extra=True),
    TableColumn("released", "released", 10, rank=3, extra=True),
)


class ModelTable(FitTable):
    """Rows by `ModelRow.key`; sorted by the mark column they stand as they are listed."""

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, sort="mark")
