"""The Models screen brings models here and takes them away: a real client, a hub on loopback, real files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from slmtui.core.catalog import ModelCard, Repository, Variant
from slmtui.lab.services import Services
from slmtui.sources.resources import pocket_folder
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.add import AddSheet
from slmtui.ui.screens.card import CardScreen
from slmtui.ui.screens.download import DownloadSheet
from slmtui.ui.screens.models import ModelsScreen
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.model_download import Download
from slmtui.ui.widgets.model_table import ModelTable
from slmtui.ui.widgets.pick import ConfirmSheet
from slmtui.ui.widgets.variant_table import VariantTable
from tests.hub import LoopbackHub, connect
from tests.hub import Repository as Served
from tests.ui.models_steps import listing, screen_of, table_of
from tests.ui.steps import notices, sheet_gone, shown, until

NAME = "somebody/Tiny-GGUF"
SOURCE = pocket_folder() / "pocket-5m-Q8_0.gguf"
TINY = ModelCard(
    id="tiny",
    name="Tiny",
    family="Tiny",
    developer="Somebody",
    repositories=(Repository(id=NAME, quantizations=("Q8_0", "Q4_K_M")), Repository(id="locked/Tiny-GGUF")),
    variants=(
        Variant(quantization="Q8_0", repository=NAME, file="tiny-Q8_0.gguf", about_bytes=5_600_000),
        Variant(quantization="Q4_K_M", repository=NAME, file="tiny-Q4_K_M.gguf"),
        Variant(quantization="F16", repository="locked/Tiny-GGUF", file="tiny-F16.gguf"),
    ),
)
Q8 = "tiny:Q8_0"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        served = opened.add(Served(NAME, tags=("gguf",), downloads=1_234))
        served.add("tiny-Q8_0.gguf", SOURCE)
        served.add("tiny-Q4_K_M.gguf", pocket_folder() / "pocket-5m-Q4_K_M.gguf")
        opened.add(Served("locked/Tiny-GGUF", gated=True, private=True))
        yield opened


@asynccontextmanager
async def with_tiny(
    size: tuple[int, int] = (120, 36),
) -> AsyncGenerator[tuple[SlmtuiApp, Pilot[int], ModelsScreen, ModelTable]]:
    """The app with one more model in its catalog, which the hub on loopback has; its row is highlighted."""
    services = Services.open(strict=False)
    services.catalog = (*services.catalog, TINY)
    async with listing(size, services) as (app, pilot):
        screen, table = screen_of(app), table_of(app)
        table.highlight("tiny")
        await until(pilot, lambda: screen.row is not None and screen.row.key == "tiny")
        yield app, pilot, screen, table


async def planned(app: SlmtuiApp, pilot: Pilot[int]) -> DownloadSheet:
    """Open the sheet and wait until the hub has answered."""
    await pilot.press("d")
    await until(pilot, lambda: isinstance(app.screen, DownloadSheet))
    sheet = app.screen
    assert isinstance(sheet, DownloadSheet)
    await until(pilot, lambda: sheet.planned is not None)
    return sheet


def download(screen: ModelsScreen) -> Download | None:
    return screen.rows["tiny"].download if "tiny" in screen.rows else None


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_model_is_downloaded_after_a_look_and_can_be_used(hub: LoopbackHub, size: tuple[int, int]) -> None:
    async with with_tiny(size) as (app, pilot, screen, table):
        assert table.figure("tiny", "size").text == "↓ ~5.6 MB"
        await planned(app, pilot)
        said = shown(app, "#plan")
        for words in (NAME, "5.65 MB in 1 file", "left", "not known before it is here"):
            assert words in said
        await pilot.press("enter")
        await sheet_gone(pilot)
        await until(pilot, lambda: Q8 in table)
        assert table.highlighted == Q8
        assert "tiny" not in table
        await until(pilot, lambda: not screen.rows[Q8].pending)
        assert screen.rows[Q8].facts.layers == 6
        await until(pilot, lambda: table.figure(Q8, "fits").text == "✓ yes")
        await until(pilot, lambda: any("Tiny Q8_0 is here" in text for text in notices(pilot)))
        assert app.services.find(Q8).path.read_bytes() == SOURCE.read_bytes()
        await pilot.press("space")
        assert [model.id for model in app.marked] == [Q8]


async def test_a_download_is_paused_gone_on_with_and_given_up(hub: LoopbackHub) -> None:
    hub.bytes_per_s = 400_000
    async with with_tiny() as (app, pilot, screen, table):
        await planned(app, pilot)
        await pilot.press("enter")
        await sheet_gone(pilot)
        await until(pilot, lambda: (d := download(screen)) and d.done_bytes and d.seconds_left)
        assert table.figure("tiny", "size").text.startswith("↓ ")
        assert table.figure("tiny", "memory").text.endswith("/s")
        assert "left" in table.figure("tiny", "fits").text
        assert "x pauses it" in shown(app, "ModelDetail")
        assert screen.reason("download") == "It is being downloaded; x pauses it."
        await pilot.press("x")
        await until(pilot, lambda: (d := download(screen)) and d.phase == "paused")
        assert table.figure("tiny", "size").text.startswith("‖ ")
        held = download(screen)
        assert held is not None
        assert 0 < held.done_bytes < SOURCE.stat().st_size
        await pilot.press("d")
        await until(pilot, lambda: (d := download(screen)) and d.phase == "running" and d.done_bytes > held.done_bytes)
        await pilot.press("x")
        await until(pilot, lambda: (d := download(screen)) and d.phase == "paused")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        await pilot.press("y")
        await until(pilot, lambda: download(screen) is None)
        assert not list(Path(app.services.paths.config).parent.parent.rglob("*.incomplete"))
        assert table.figure("tiny", "size").text == "↓ ~5.6 MB"


async def test_leaving_the_app_keeps_what_came(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_s = 400_000
    async with with_tiny() as (app, pilot, screen, _):
        await planned(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: (d := download(screen)) and d.done_bytes)
    assert list((tmp_path / "hf").rglob("*.incomplete"))
    hub.bytes_per_s = None
    async with with_tiny() as (app, pilot, _, table):
        await planned(app, pilot)
        assert "of it are here" in shown(app, "#plan")
        await pilot.press("enter")
        await until(pilot, lambda: Q8 in table)
        assert hub.sent() < 2 * SOURCE.stat().st_size


async def test_what_goes_wrong_is_said_in_the_sheet_or_in_the_row(hub: LoopbackHub) -> None:
    async with with_tiny() as (app, pilot, screen, table):
        sheet = await planned(app, pilot)
        sheet.query_one(VariantTable).highlight("F16")
        await until(pilot, lambda: "✗" in shown(app, "#plan"))
        assert sheet.planned is None
        await pilot.press("enter")
        assert app.screen is sheet, "there is nothing to agree to"
        sheet.query_one(VariantTable).highlight("Q8_0")
        await until(pilot, lambda: sheet.planned is not None)
        del hub.repositories[NAME].files["tiny-Q8_0.gguf"]
        await pilot.press("enter")
        await sheet_gone(pilot)
        await until(pilot, lambda: (d := download(screen)) and d.phase == "failed")
        assert table.figure("tiny", "size").text.startswith("✗")
        await until(pilot, lambda: any("was not downloaded" in text for text in notices(pilot)))
        assert "d tries again" in shown(app, "ModelDetail")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        await pilot.press("y")
        await until(pilot, lambda: download(screen) is None)


async def test_what_the_disk_has_no_room_for_needs_another_word(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmtui.lab.download_plan._disk_left", lambda _: 1000)
    async with with_tiny() as (app, pilot, _, table):
        sheet = await planned(app, pilot)
        assert "1 kB are left on the disk" in shown(app, "#plan")
        await pilot.press("enter")
        assert app.screen is sheet
        await pilot.press("f")
        await until(pilot, lambda: Q8 in table)


async def test_another_variant_comes_from_the_card_and_is_deleted_again(hub: LoopbackHub) -> None:
    async with with_tiny() as (app, pilot, _, table):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CardScreen))
        await pilot.press("down", "delete")
        assert isinstance(app.screen, CardScreen), "what is not here can't be deleted"
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DownloadSheet) and app.screen.planned)
        assert app.screen.query_one(VariantTable).highlighted == "Q4_K_M"
        await pilot.press("enter")
        await sheet_gone(pilot)
        await until(pilot, lambda: table.highlighted == "tiny:Q4_K_M")
        file = app.services.find("tiny:Q4_K_M").path
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        await pilot.press("n")
        await sheet_gone(pilot)
        assert file.exists()
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmSheet))
        await pilot.press("y")
        await until(pilot, lambda: "tiny" in table and "tiny:Q4_K_M" not in table)
        assert not file.exists()


async def test_a_repository_is_found_by_words_and_added_to_the_catalog(hub: LoopbackHub) -> None:
    hub.add(Served("artist/Fun-Model-GGUF", tags=("gguf",), downloads=7)).add("fun-Q8_0.gguf", SOURCE)
    async with listing() as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddSheet))
        app.screen.query_one(Input).value = "fun model"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, FitTable))
        results = app.screen.query_one(FitTable)
        assert results.keys == ("artist/Fun-Model-GGUF",)
        await pilot.press("enter")
        await sheet_gone(pilot)
        table = app.screen.query_one(ModelTable)
        await until(pilot, lambda: table.highlighted == "fun-model")
        assert table.figure("fun-model", "size").text == "↓ 5.65 MB"
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddSheet))
        app.screen.query_one(Input).value = "nobody/nothing"
        await pilot.press("enter")
        await until(pilot, lambda: "✗" in shown(app, ".outcome"))
        app.screen.query_one(Input).value = "zzz qqq"
        await pilot.press("enter")
        await until(pilot, lambda: "No repository" in shown(app, ".outcome"))


async def test_reasons_why_nothing_can_be_fetched(hub: LoopbackHub) -> None:
    async with with_tiny() as (_, pilot, screen, table):
        for key, action, why in (
            ("pocket-5m:Q8_0", "download", "It comes with slmtui."),
            ("opt-125m", "download", "No file of it is known"),
            ("tiny", "stop_download", "Nothing is being downloaded"),
            ("tiny", "delete", "not on this machine"),
        ):
            table.highlight(key)
            await pilot.pause()
            assert why in (screen.reason(action) or ""), key
        table.highlight("pocket-5m:Q8_0")
        await pilot.press("delete")
        await until(pilot, lambda: any("can't be deleted" in text for text in notices(pilot)))
        assert "▲" in str(screen.query_one("ModelDetail", Static).render())


def test_a_download_in_words() -> None:
    download = Download(label="Q8_0", done_bytes=50, total_bytes=200, rate_bytes_per_s=25_000_000.0, seconds_left=6.0)
    assert (download.short, download.pace, download.brief) == ("↓ 25 %", "25 MB/s", "6 s")
    assert download.words == "25 MB/s · 6 s left"
    for width in (30, 60, 120):
        assert download.line(width).cell_length <= max(width, 12)
    waiting = Download(label=None, remark="the hub\x1b[31m is busy")
    assert (waiting.brief, waiting.words, waiting.done_frac) == ("waits", "the hub is busy", 1.0)
