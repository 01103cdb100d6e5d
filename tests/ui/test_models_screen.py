from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from slmtui.core.catalog import LocalModel
from slmtui.core.ceiling import Ceiling
from slmtui.core.events import Failed, Inspected, total_bytes
from slmtui.core.machine import Memory
from slmtui.core.text import memory
from slmtui.lab import ceiling
from slmtui.lab.loading import RESERVE_BYTES
from slmtui.lab.services import Services
from slmtui.ui.screens.card import CardScreen
from slmtui.ui.widgets.finder import Finder
from slmtui.ui.widgets.model_detail import ModelDetail
from slmtui.ui.widgets.model_table import ModelTable
from slmtui.ui.widgets.strip import Live
from tests.lab.conftest import CEILING
from tests.ui.models_steps import MIB, Q8, listing, read_all, screen_of, table_of, with_files
from tests.ui.steps import copy_of_pocket, notices, running, seed, shown, until


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app looks at the free memory once and never again, so that a test can say what is free."""
    monkeypatch.setattr("slmtui.ui.app.LIVE_S", 3600.0)


def begins(table: ModelTable, verdict: str) -> bool:
    return table.figure(Q8, "fits").text.startswith(verdict)


def is_within(table: ModelTable, width: int) -> bool:
    return table.size.width < width


async def test_the_bundled_models_are_listed_at_once_and_their_numbers_fill_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = Services.open(strict=False)
    may_go, inspect = asyncio.Event(), services.inspect

    async def slow(model: LocalModel) -> Inspected | Failed:
        await may_go.wait()
        return await inspect(model)

    monkeypatch.setattr(services, "inspect", slow)
    async with running(services=services) as (app, pilot):
        table = table_of(app)
        assert {f"pocket-5m:{label}" for label in ("Q4_K_M", "Q8_0", "F16")} <= set(table.keys)
        assert table.figure(Q8, "memory").text[0] in "…~", "not looked into yet, or estimated"
        may_go.set()
        screen = await read_all(app, pilot)
        inspected = await app.services.inspect(app.services.find(Q8))
        assert isinstance(inspected, Inspected)
        assert table.figure(Q8, "memory").text == memory(total_bytes(inspected.planned))
        assert table.figure(Q8, "fits").text == "✓ yes"
        assert table.figure(Q8, "params").value == 5_246_208
        assert table.figure(Q8, "licence").text == "MIT"
        assert screen.rows[Q8].facts.layers == 6


async def test_demo_models_are_labelled_in_the_row_the_detail_and_the_card() -> None:
    async with listing() as (app, pilot):
        await read_all(app, pilot)
        table = table_of(app)
        table.highlight(Q8)
        assert "demo" in table.figure(Q8, "name").text
        await until(pilot, lambda: "not good for real work" in shown(app, "ModelDetail"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CardScreen))
        said = "\n".join(str(each.render()) for each in app.screen.query(Static).results())
        assert "not good for real work" in said


async def test_rows_are_updated_in_place(still: None) -> None:
    async with listing() as (app, pilot):
        table = table_of(app)
        before = table.keys
        table.highlight("pocket-5m:F16")
        await read_all(app, pilot)
        app.live = Live(memory=Memory(total_bytes=10**9, available_bytes=RESERVE_BYTES + 15 * MIB))
        await until(pilot, lambda: table.figure("pocket-5m:F16", "fits").text.startswith("✗ no"))
        assert table.keys == before
        assert table.highlighted == "pocket-5m:F16"


async def test_what_fits_follows_the_free_memory(still: None) -> None:
    async with listing() as (app, pilot):
        screen = await read_all(app, pilot)
        table = table_of(app)
        needed = screen.rows[Q8].needed_bytes
        assert needed is not None
        for available, verdict in ((needed * 2, "✓ yes"), (needed + MIB, "~ tight"), (needed - MIB, "✗ no")):
            app.live = Live(memory=Memory(total_bytes=10**10, available_bytes=available + RESERVE_BYTES))
            await until(pilot, partial(begins, table, verdict))
        assert table.figure(Q8, "fits").text == "✗ no: 1 MiB short"
        table.highlight(Q8)
        await until(pilot, lambda: "no: 1 MiB short" in shown(app, "ModelDetail"))


async def test_space_marks_up_to_four_models_and_says_so(tmp_path: Path) -> None:
    for number in range(5):
        copy_of_pocket(tmp_path, f"own-{number}.gguf")
    async with listing(services=with_files(tmp_path)) as (app, pilot):
        await until(pilot, lambda: len(table_of(app)) >= 10)
        for _ in range(5):
            await pilot.press("space", "down")
        await until(pilot, lambda: notices(pilot))
        assert len(app.marked) == 4
        assert any("4 models at most" in text for text in notices(pilot))
        assert "● 4 marked" in shown(app, "#count")
        first = app.marked[0]
        await pilot.press("home", "space")
        assert first not in app.marked
        await pilot.press("u")
        assert len(app.marked) == 0
        assert table_of(app).figure(first.id, "mark").text == "·"


async def test_a_click_on_the_mark_marks_and_a_click_on_the_name_highlights() -> None:
    async with listing() as (app, pilot):
        table = table_of(app)
        second, third = table.keys[1], table.keys[2]
        await pilot.click(table, offset=(2, 3))
        await until(pilot, lambda: app.marked)
        assert [model.id for model in app.marked] == [second]
        await pilot.click(table, offset=(8, 4))
        await until(pilot, lambda: table.highlighted == third)
        assert [model.id for model in app.marked] == [second]
        await pilot.click(table, offset=(8, 4), times=2)
        await until(pilot, lambda: isinstance(app.screen, CardScreen))


@pytest.mark.parametrize(("key", "place"), [("c", "chat"), ("b", "compare")])
async def test_on_to_chat_and_compare_with_the_highlighted_model(key: str, place: str) -> None:
    async with listing() as (app, pilot):
        table_of(app).highlight(Q8)
        await pilot.press(key)
        await until(pilot, lambda: app.current_mode == place)
        assert [model.id for model in app.marked] == [Q8]


async def test_on_to_compare_with_the_marked_models() -> None:
    async with listing() as (app, pilot):
        await pilot.press("space", "down", "space", "down")
        marked = app.marked
        await pilot.press("b")
        await until(pilot, lambda: app.current_mode == "compare")
        assert app.marked == marked
        assert len(marked) == 2


async def test_find_filters_while_one_types_and_esc_shows_all_again() -> None:
    async with listing() as (app, pilot):
        table = table_of(app)
        everything = set(table.keys)
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"q8 pocket-5m")
        await until(pilot, lambda: set(table.keys) == {Q8})
        assert f"1 of {len(everything)}" in shown(app, "#count")
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is table)
        assert len(screen_of(app).query(Finder)) == 1
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"zzz")
        await until(pilot, lambda: not table.keys)
        assert "“zzz”" in shown(app, "#nothing")
        assert screen_of(app).query_one(ModelDetail).row is None
        await pilot.press("escape")
        await until(pilot, lambda: set(table.keys) == everything)
        await until(pilot, lambda: app.focused is table and not screen_of(app).query(Finder))


async def test_columns_sort_by_their_numbers(tmp_path: Path) -> None:
    copy_of_pocket(tmp_path, "broken.gguf").write_bytes(b"GGUF" + bytes(9))
    async with listing(services=with_files(tmp_path)) as (app, pilot):
        screen = await read_all(app, pilot)
        table = table_of(app)
        broken = str(tmp_path / "broken.gguf")
        table.sort_by("memory", descending=False)
        needs = [screen.rows[key].needed_bytes for key in table.keys]
        known = [need for need in needs if need is not None]
        assert known == sorted(known) == needs[: len(known)], "what is not known stands last"
        assert broken in table.keys[len(known) :]
        await pilot.press("S")
        assert broken in table.keys[len(known) :], "in either direction"
        assert [screen.rows[key].needed_bytes for key in table.keys][: len(known)] == known[::-1]
        heads = [table.render_line(line).text for line in range(table.header_height)]
        at = heads[0].index("memory")
        assert "▼" in heads[1][at - 2 : at + 7]


async def test_s_sorts_by_the_next_column_and_keeps_the_highlight() -> None:
    async with listing() as (app, pilot):
        table = table_of(app)
        table.highlight(Q8)
        assert table.sorted_by == "mark", "as they are listed"
        await pilot.press("s")
        assert table.sorted_by == "name"
        await pilot.press("s")
        assert table.sorted_by == "params"
        assert table.highlighted == Q8
        await pilot.click(table, offset=(8, 0))
        await until(pilot, lambda: table.sorted_by == "name")


async def test_columns_that_matter_least_go_first() -> None:
    async with listing((160, 36)) as (app, pilot):
        table = table_of(app)
        everything = table.shown_columns
        assert {"licence", "size", "params"} <= set(everything)
        for width in (120, 100, 80, 60, 40):
            await pilot.resize_terminal(width, 30)
            await until(pilot, partial(is_within, table, width))
            left = [key for key in everything if key in table.shown_columns]
            assert list(table.shown_columns) == left, "the order stays"
            assert table.virtual_size.width <= table.size.width, "nothing scrolls sideways"
            assert {"mark", "name", "fits", "decode"} <= set(left)
        assert "licence" not in table.shown_columns
        await pilot.resize_terminal(160, 36)
        await until(pilot, lambda: table.shown_columns == everything)


async def test_measured_speeds_are_in_the_row_and_the_detail() -> None:
    services = Services.open(strict=False)
    seed(services, prefill_s=512 / 20_000, decode_s=128 / 800)
    async with listing(services=services) as (app, pilot):
        await read_all(app, pilot)
        table = table_of(app)
        await until(pilot, lambda: table.figure(Q8, "decode").text == "800")
        assert table.figure(Q8, "prefill").text == "20,000"
        assert table.figure("pocket-5m:F16", "decode").text == "—"
        table.highlight(Q8)
        await until(pilot, lambda: "decode 800 tok/s" in shown(app, "ModelDetail"))
        seed(services, decode_s=128 / 900)
        await pilot.press("f6")
        await until(pilot, lambda: app.current_mode == "sessions")
        await pilot.press("f2")
        await until(pilot, lambda: table.figure(Q8, "decode").text == "900")


async def test_speeds_of_a_model_that_is_found_late_are_shown_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copy_of_pocket(tmp_path)
    services = with_files(tmp_path)
    seed(services, decode_s=128 / 800)
    seed(services, decode_s=128 / 700, model=str(own))
    found, may_go = services.models, threading.Event()
    monkeypatch.setattr(services, "models", lambda: found() if may_go.wait(60) else ())
    async with running(services=services) as (app, pilot):
        table = table_of(app)
        await pilot.pause(0.5)  # the store is faster than a slow disk
        may_go.set()
        await until(pilot, lambda: str(own) in table.keys)
        await until(pilot, lambda: table.figure(str(own), "decode").text == "700")
        assert table.figure(Q8, "decode").text == "800"


async def test_while_the_machine_is_measured_it_says_so_and_goes_on_behind_other_screens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, ended = asyncio.Event(), asyncio.Event()

    async def slow(services: Services) -> Ceiling:
        await gate.wait()
        ceiling.remember(services, CEILING)
        ended.set()
        return CEILING

    monkeypatch.setattr(ceiling, "measured", slow)
    async with listing() as (app, pilot):
        screen = await read_all(app, pilot)
        await pilot.press("e")
        await until(pilot, lambda: "this machine is being measured" in shown(app, "ModelDetail"))
        assert screen.reason("estimate") == "This machine is being measured."
        await pilot.press("f6")
        await until(pilot, lambda: app.current_mode == "sessions")
        await pilot.press("f2")
        await until(pilot, lambda: app.current_mode == "models")
        gate.set()
        await until(pilot, ended.is_set)
        await until(pilot, lambda: not screen.measuring)
        assert "being measured" not in shown(app, "ModelDetail")
        await until(pilot, lambda: "speeds are estimated" in (screen.reason("estimate") or ""))
