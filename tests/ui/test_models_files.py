"""Files of the person's own on the Models screen: added, refused, unreadable, gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from slmtui.sources.config import load_config
from slmtui.ui.screens.add import AddSheet
from slmtui.ui.screens.card import CardScreen
from slmtui.ui.widgets.pick import complete_path
from tests.ui.models_steps import Q8, listing, read_all, table_of, with_files
from tests.ui.steps import copy_of_pocket, sheet_gone, shown, until


async def test_a_file_of_ones_own_is_added_by_its_path(tmp_path: Path) -> None:
    path = copy_of_pocket(tmp_path, "my [bold]model.gguf")
    async with listing() as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddSheet))
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await sheet_gone(pilot)
        table = table_of(app)
        await until(pilot, lambda: table.highlighted == str(path))
        assert table.figure(str(path), "name").text == "my [bold]model"
        await until(pilot, lambda: table.figure(str(path), "variant").text == "Q4_K_M")
        config = app.services.paths.config_file
    assert str(path) in load_config(config).folders
    async with listing() as (app, pilot):
        table = table_of(app)
        await until(pilot, lambda: str(path) in table)  # in the next run too


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "missing.gguf", "there is no file"),
        (lambda folder: _written(folder / "text.gguf", b"hello"), "GGUF"),
        (lambda folder: _truncated(folder / "short.gguf"), "short.gguf"),
    ],
    ids=["missing", "not a gguf", "truncated"],
)
async def test_a_file_that_can_t_be_added_is_told_and_the_sheet_stays(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    path = make(tmp_path)
    async with listing() as (app, pilot):
        before = table_of(app).keys
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddSheet))
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: said in shown(app, ".outcome") and "✗" in shown(app, ".outcome"))
        await pilot.press("escape")
        await sheet_gone(pilot)
        assert table_of(app).keys == before
        assert app.services.config.folders == ()


async def test_a_file_that_became_unreadable_says_why_and_the_others_stay(tmp_path: Path) -> None:
    _truncated(tmp_path / "short.gguf")
    async with listing(services=with_files(tmp_path)) as (app, pilot):
        screen = await read_all(app, pilot)
        table, broken = table_of(app), str(tmp_path / "short.gguf")
        assert table.figure(broken, "fits").text == "✗ can't be opened"
        table.highlight(broken)
        failed = screen.rows[broken].failed
        assert failed is not None
        await until(pilot, lambda: failed.message in shown(app, "ModelDetail"))
        assert table.figure(Q8, "fits").text == "✓ yes"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CardScreen))


async def test_a_file_that_was_deleted_is_gone_on_return(tmp_path: Path) -> None:
    path = copy_of_pocket(tmp_path)
    async with listing(services=with_files(tmp_path)) as (app, pilot):
        await read_all(app, pilot)
        table = table_of(app)
        table.highlight(str(path))
        await pilot.press("space", "f6")
        await until(pilot, lambda: app.current_mode == "sessions")
        path.unlink()
        await pilot.press("f2")
        await until(pilot, lambda: str(path) not in table)
        assert app.marked == ()


def test_the_path_field_completes_folders_and_model_files(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one.gguf").touch()
    (tmp_path / "models" / "one.txt").touch()
    assert complete_path(f"{tmp_path}/mo", (".gguf",)) == f"{tmp_path}/models/"
    assert complete_path(f"{tmp_path}/models/o", (".gguf",)) == f"{tmp_path}/models/one.gguf"
    assert complete_path(f"{tmp_path}/models/x", (".gguf",)) is None
    assert complete_path(f"{tmp_path}/none/x", (".gguf",)) is None
    assert complete_path("", (".gguf",)) is None
    assert complete_path("~nobody-of-that-name/x", (".gguf",)) is None


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _truncated(path: Path) -> Path:
    whole = copy_of_pocket(path.parent, path.name)
    return _written(path, whole.read_bytes()[:100_000])
