"""The Models screen as a catalog: models that are not on this machine, filters, and their cards."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from slmtui.core.catalog import Architecture, ModelCard, Repository, Sources, Training, Variant
from slmtui.core.events import Inspected, ModelFacts
from slmtui.core.offers import Offer
from slmtui.core.wanted import Wanted
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.card import CardScreen
from slmtui.ui.widgets.finder import Finder
from slmtui.ui.widgets.model_detail import ModelDetail, detail_lines
from slmtui.ui.widgets.model_filter import ModelFilter
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.variant_table import VariantTable
from tests.ui.models_steps import listing, screen_of, table_of
from tests.ui.steps import sheet_gone, shown, until

QWEN = "qwen3-0.6b"
OPT = "opt-125m"
SIZES = ((120, 36), (80, 24))


def lines(app: SlmtuiApp) -> str:
    """The text on the screen."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def look_for(app: SlmtuiApp, pilot: Pilot[int], wanted: Wanted) -> set[str]:
    """What the screen shows of it."""
    screen_of(app).look_for(wanted)
    await pilot.pause()
    return set(table_of(app).keys)


@pytest.mark.parametrize("size", SIZES)
async def test_the_whole_catalog_is_listed_after_what_is_here(size: tuple[int, int]) -> None:
    async with listing(size) as (app, pilot):
        table, catalog = table_of(app), app.services.catalog
        await until(pilot, lambda: QWEN in table)
        here = [key for key in table.keys if ":" in key]
        assert len(here) == 5
        assert list(table.keys[:5]) == here
        assert list(table.keys[5:]) == [card.id for card in catalog if not card.bundled]
        assert table.figure(QWEN, "size").text == "↓ 397 MB"
        assert table.figure("qwen3-4b-thinking-2507", "size").text == "↓ ~2.47 GB"
        assert table.figure(OPT, "size").text == "no file"
        assert f"{len(table)} models" in lines(app)


@pytest.mark.parametrize("size", SIZES)
async def test_the_line_of_filters_works_with_keys(size: tuple[int, int]) -> None:
    async with listing(size) as (app, pilot):
        table, everything = table_of(app), len(table_of(app))
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.focused, ModelFilter))
        await pilot.press("down")
        await until(pilot, lambda: len(table) == 5)
        assert "5 of" in shown(app, "#count")
        await pilot.press("down")
        await until(pilot, lambda: len(table) == everything - 5)
        await pilot.press("backspace", "left", "up")
        await until(pilot, lambda: screen_of(app).wanted == Wanted(format="MLX"))
        assert "qwen3-0.6b" in table
        assert "pocket-5m:Q8_0" not in table
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is table)
        await pilot.press("escape")
        await until(pilot, lambda: len(table) == everything)
        assert screen_of(app).wanted == Wanted()


async def test_the_filters_and_the_marks_fit_a_narrow_terminal() -> None:
    async with listing((80, 24)) as (app, pilot):
        await until(pilot, lambda: "models ▾  fit ▾  size ▾  licence ▾  kind ▾  format ▾" in lines(app))
        await until(pilot, lambda: QWEN in table_of(app))
        await pilot.press("space", "down", "space")
        await until(pilot, lambda: "121 models  ● 2 marked" in lines(app))
        await look_for(app, pilot, Wanted(here=True, most_parameters=10**9))
        screen_of(app).query_one(ModelFilter).wanted = Wanted(here=True, most_parameters=10**9)
        await until(pilot, lambda: "here ▾  fit ▾  ≤ 1B ▾  licence ▾" in lines(app))
        await until(pilot, lambda: "5 of 121  ● 2 marked" in lines(app))


async def test_a_wide_terminal_shows_who_made_it_and_when() -> None:
    async with listing((200, 30)) as (app, pilot):
        table = table_of(app)
        await until(pilot, lambda: QWEN in table)
        assert table.shown_columns[-3:] == ("maker", "context", "released")
        assert table.figure(QWEN, "maker").text == "Alibaba"
        assert table.figure(QWEN, "context").text == "40,960"
        assert table.figure(QWEN, "released").text == "2025-04-27"


async def test_a_click_on_a_filter_takes_its_next_value() -> None:
    async with listing() as (app, pilot):
        bar = screen_of(app).query_one(ModelFilter)
        at = str(bar.render()).index("any size")
        await pilot.click(bar, offset=(at + 2, 0))
        await until(pilot, lambda: screen_of(app).wanted.most_parameters == 500_000_000)
        assert all((screen_of(app).rows[key].parameters or 0) <= 500_000_000 for key in table_of(app).keys)
        await pilot.click(bar, offset=(at + 2, 0))
        await until(pilot, lambda: screen_of(app).wanted.most_parameters == 10**9)


async def test_filters_and_words_narrow_down_together() -> None:
    async with listing() as (app, pilot):
        assert await look_for(app, pilot, Wanted(words="qwen", thinking=True, most_parameters=10**9)) == {
            "qwen3-0.6b",
            "qwen3.5-0.8b",
        }
        assert "llama-3.2-1b" in await look_for(app, pilot, Wanted(terms="own"))
        assert "qwen3-0.6b" not in await look_for(app, pilot, Wanted(terms="own"))
        await look_for(app, pilot, Wanted())
        await pilot.press("f", "down", "enter", "slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"pocket-2m")
        await until(pilot, lambda: len(table_of(app)) == 2)
        await pilot.press("escape")
        await until(pilot, lambda: len(table_of(app)) > 100 and not screen_of(app).query(Finder))


async def test_what_is_not_here_can_not_be_marked_or_used() -> None:
    async with listing() as (app, pilot):
        screen = screen_of(app)
        table_of(app).highlight(QWEN)
        await pilot.pause()
        for action in ("mark", "chat", "compare"):
            assert screen.reason(action) == "This model is not on this machine."
        await pilot.press("space", "c")
        assert app.marked == ()
        assert app.current_mode == "models"
        table_of(app).highlight("pocket-5m:Q8_0")
        await pilot.press("space")
        table_of(app).highlight(QWEN)
        await pilot.pause()
        assert screen.reason("chat") is None, "there is a marked one to chat with"


@pytest.mark.parametrize("size", SIZES)
async def test_the_detail_says_what_the_catalog_knows(size: tuple[int, int]) -> None:
    async with listing(size) as (app, pilot):
        table_of(app).highlight(QWEN)
        await until(pilot, lambda: "Qwen3 0.6B" in shown(app, "ModelDetail"))
        said = shown(app, "ModelDetail")
        for words in ("Alibaba", "Apache-2.0", "thinking", "28 layers", "16 heads, 8 KV (GQA)", "Q4_K_M 397 MB"):
            assert words in said
        table_of(app).highlight(OPT)
        await until(pilot, lambda: "no file that an engine here can open" in shown(app, "ModelDetail"))


@pytest.mark.parametrize("size", SIZES)
async def test_the_card_shows_every_variant_and_fact_with_its_source(size: tuple[int, int]) -> None:
    async with listing(size) as (app, pilot):
        table_of(app).highlight("qwen2-0.5b")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CardScreen))
        variants = app.screen.query_one(VariantTable)
        assert set(variants.keys) == {"Q4_K_M", "Q5_K_M", "4bit"}
        assert variants.figure("4bit", "format").text == "MLX"
        assert variants.figure("Q4_K_M", "place").text == "Qwen/Qwen2-0.5B-Instruct-GGUF"
        text = [
            line.rstrip() for each in app.screen.query(Static).results() for line in str(each.render()).splitlines()
        ]
        for label, value, source in (
            ("parameters", "494,032,768", "Hugging Face"),
            ("licence", "Apache-2.0", "as its family"),
            ("tokens", "12T", "survey"),
            ("data", "not published", "survey"),
            ("FFN", "gated, 4,864", ""),
        ):
            (line,) = (line for line in text if line.startswith(f"{label} ") and value in line)
            assert line.endswith(source), line
        await pilot.press("escape")
        await sheet_gone(pilot)


async def test_a_card_without_files_says_so() -> None:
    async with listing() as (app, pilot):
        table_of(app).highlight(OPT)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CardScreen))
        assert not app.screen.query_one(VariantTable).display
        text = "\n".join(str(each.render()) for each in app.screen.query(Static).results())
        assert "No file of it is known" in text
        assert "RoBERTa, The Pile" in text


HOSTILE = "\x1b[31m[red]evil\x07\n"
CARD = ModelCard(
    id="hostile",
    name=HOSTILE,
    family=HOSTILE,
    developer=HOSTILE,
    licence=HOSTILE,
    description=HOSTILE,
    architecture=Architecture(name=HOSTILE, attention_detail=HOSTILE, activation=HOSTILE, norm=HOSTILE, layers=3),
    training=Training(tokens=10**12, data=HOSTILE),
    sources=Sources(licence="hub"),
    repositories=(Repository(id="a/b", quantizations=(HOSTILE,)),),
    variants=(Variant(quantization=HOSTILE, repository="a/b", file="x"),),
)


def test_what_a_catalog_of_the_person_s_says_is_never_markup_nor_acts_on_the_terminal() -> None:
    row = ModelRow(offer=Offer(card=CARD, variant=CARD.variants[0]))
    for line in detail_lines(row, 200):
        assert "\x1b" not in line.plain
        assert "\x07" not in line.plain
    assert "[red]evil" in detail_lines(row, 200)[0].plain
    assert "\x1b" not in row.figures["variant"].text


def test_what_the_header_says_counts_more_than_the_catalog() -> None:
    facts = ModelFacts(architecture="llama", layers=4, trained_context=99)
    row = ModelRow(offer=Offer(card=CARD), inspected=Inspected(facts=facts, planned=()))
    assert (row.shape.name, row.shape.layers, row.shape.context) == ("llama", 4, 99)
    assert row.shape.norm == HOSTILE, "what only the catalog knows stays"


def test_details_never_exceed_their_width() -> None:
    row = ModelRow(offer=Offer(card=CARD, variant=CARD.variants[0]))
    for width in (40, 60, 76, 116):
        assert all(line.cell_length <= width for line in detail_lines(row, width)[1:])


async def test_the_detail_has_the_same_height_for_every_row() -> None:
    async with listing((80, 24)) as (app, pilot):
        detail, heights = screen_of(app).query_one(ModelDetail), set()
        for key in ("pocket-5m:Q8_0", QWEN, OPT, "gemma-3-4b-it"):
            table_of(app).highlight(key)
            await pilot.pause()
            heights.add(detail.size.height)
        assert len(heights) == 1
