"""The table of the models: one row a variant that is here, then one a model of the catalog that is not."""

from __future__ import annotations

from slmtui.ui.widgets.fit_table import FitTable, TableColumn

_COLUMNS = (
    TableColumn("mark", "", 1),
    TableColumn("name", "model", 16, room=30),
    TableColumn("params", "params", 6, rank=4, right=True),
    TableColumn("variant", "variant", 7, rank=1, room=9),
    TableColumn("size", "file", 9, rank=2, right=True, room=10),
    TableColumn("memory", "memory", 8, rank=1, right=True),
    TableColumn("fits", "fits", 7, room=22),
    TableColumn("prefill", "prefill", 7, rank=3, right=True, unit="tok/s"),
    TableColumn("decode", "decode", 7, right=True, unit="tok/s"),
    TableColumn("licence", "licence", 10, rank=5, room=24),
)


class ModelTable(FitTable):
    """Rows by `ModelRow.key`; sorted by the mark column they stand as they are listed."""

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, sort="mark")
