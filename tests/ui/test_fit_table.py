from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from textual import on
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn, fit_columns
from tests.ui.steps import steered, until

COLUMNS = (
    TableColumn("name", "name", 6, room=10),
    TableColumn("speed", "speed", 5, rank=1, right=True, unit="tok/s"),
    TableColumn("note", "note", 4, rank=2, sortable=False),
)


def test_an_extra_column_comes_only_when_the_others_have_grown() -> None:
    columns = (*COLUMNS, TableColumn("more", "more", 4, rank=1, extra=True), TableColumn("most", "most", 3, extra=True))
    widths = {width: fit_columns(columns, width, 2) for width in (20, 29, 30, 33, 36, 99)}
    assert [list(each) for each in widths.values()] == [
        ["name", "speed"],
        ["name", "speed", "note"],
        ["name", "speed", "note", "most"],
        ["name", "speed", "note", "most"],
        ["name", "speed", "note", "more", "most"],
        ["name", "speed", "note", "more", "most"],
    ]
    assert all(width["name"] == 10 for width in widths.values())


class Host(App[int]):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str | None] = []
        self.pressed: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield FitTable(*COLUMNS, sort="name")

    @on(FitTable.Highlighted)
    def _highlighted(self, event: FitTable.Highlighted) -> None:
        self.told.append(event.row)

    @on(FitTable.Pressed)
    def _pressed(self, event: FitTable.Pressed) -> None:
        self.pressed.append((event.row, event.column))


def row(name: str, speed: float | None = None) -> dict[str, Figure]:
    return {"name": Figure(name, name), "speed": Figure("—" if speed is None else f"{speed:g}", speed)}


@asynccontextmanager
async def hosting(
    rows: dict[str, dict[str, Figure]], size: tuple[int, int] = (40, 8)
) -> AsyncIterator[tuple[Host, FitTable, Pilot[int]]]:
    host = Host()
    async with steered(host, size) as pilot:
        table = host.query_one(FitTable)
        table.show_only(rows)
        table.focus()
        await until(pilot, lambda: table.shown_columns)
        yield host, table, pilot


def lines(table: FitTable) -> list[str]:
    """What stands on the screen, without blanks at the ends."""
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


def is_in_sight(table: FitTable, name: str) -> bool:
    return any(name in line for line in lines(table)[2:])


NUMBERS = {str(n): row(f"row {n:02}", float(n)) for n in range(20)}


async def test_rows_stand_in_order_under_their_heads() -> None:
    async with hosting({"b": row("bee", 2), "a": row("ant", 10), "c": row("cat")}) as (_, table, pilot):
        assert lines(table)[:5] == [
            " name        speed  note",
            " ▲           tok/s",
            " ant            10",
            " bee             2",
            " cat             —",
        ]
        table.sort_by("speed")
        assert table.keys == ("a", "b", "c"), "the largest first, what is not known last"
        table.sort_by("speed")
        assert table.keys == ("b", "a", "c"), "what is not known stands last in either direction"
        await pilot.click(table, offset=(2, 0))
        await until(pilot, lambda: table.sorted_by == "name")


async def test_the_highlight_stays_on_its_row_or_else_at_its_height() -> None:
    async with hosting(dict(list(NUMBERS.items())[:4])) as (host, table, pilot):
        table.highlight("2")
        table.put("0", row("zebra"))
        assert (table.keys, table.highlighted) == (("1", "2", "3", "0"), "2")
        table.drop("1")
        assert table.highlighted == "2"
        table.drop("2")
        assert table.highlighted == "3", "what stands at its height"
        table.show_only({"x": row("x")})
        assert table.highlighted == "x"
        table.show_only({})
        assert table.highlighted is None
        await until(pilot, lambda: host.told[-3:] == ["3", "x", None])


async def test_keys_move_the_highlight_and_keep_it_in_sight() -> None:
    async with hosting(NUMBERS) as (_, table, pilot):
        for key, at in (("down", "1"), ("pagedown", "6"), ("end", "19"), ("down", "19"), ("up", "18"), ("home", "0")):
            await pilot.press(key)
            assert table.highlighted == at, key
            await until(pilot, partial(is_in_sight, table, f"row {int(at):02}"))
        assert lines(table)[0].startswith(" name"), "the head does not scroll"


async def test_a_click_says_which_cell_it_was_even_when_scrolled() -> None:
    async with hosting(NUMBERS) as (host, table, pilot):
        table.highlight("19")
        await until(pilot, lambda: "row 19" in lines(table)[-1])
        await pilot.click(table, offset=(15, 3))
        await until(pilot, lambda: host.pressed)
        assert host.pressed == [("15", "speed")]
        assert table.highlighted == "15"


async def test_a_row_that_was_dropped_and_comes_back_shows_what_it_has_now() -> None:
    async with hosting({"a": row("ant", 1), "b": row("bee", 2)}) as (_, table, _pilot):
        assert lines(table)[3] == " bee             2"
        table.drop("b")
        table.put("b", row("bee", 3))
        assert lines(table)[3] == " bee             3"
        table.show_only({"a": row("ant", 1), "b": row("bee", 4)})
        assert lines(table)[3] == " bee             4"


async def test_text_is_cut_to_its_column_and_never_acts_on_the_terminal() -> None:
    wide = {"name": Figure("\x1b[31m一二三四五六七八"), "speed": Figure("1,234,567", short="1.2M")}
    async with hosting({"a": wide}) as (_, table, _pilot):
        line = lines(table)[2]
        assert "一二三四" in line
        assert "1.2M" in line
        assert "\x1b" not in line
