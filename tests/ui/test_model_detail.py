"""One model in words: the lines of the detail, the memory bar, the card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.widgets import Static

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, FailureKind, Inspected, MemoryPart, ModelFacts
from slmtui.core.offers import Offer
from slmtui.ui.screens.card import CardScreen
from slmtui.ui.widgets.model_detail import detail_lines, fitting
from slmtui.ui.widgets.model_memory import memory_bar, planned
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.variant_table import VariantTable
from tests.ui.models_steps import MIB, Q8, listing, read_all, table_of
from tests.ui.steps import sheet_gone, until


def row() -> ModelRow:
    planned = (
        MemoryPart(kind="weights", device="CPU", bytes=3 * MIB),
        MemoryPart(kind="KV cache", device="CPU", bytes=1),
    )
    facts = ModelFacts(architecture="llama", layers=6, heads=8, kv_heads=1, vocabulary=2048, context=512)
    model = LocalModel(id="x", name="x [red]y", path=Path("/x.gguf"), size_bytes=5)
    return ModelRow(offer=Offer(local=model), inspected=Inspected(facts=facts, planned=planned))


async def test_the_card_has_all_variants_and_the_source_of_every_fact() -> None:
    async with listing((120, 60)) as (app, pilot):
        await read_all(app, pilot)
        table_of(app).highlight(Q8)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CardScreen))
        variants = app.screen.query_one(VariantTable)
        assert set(variants.keys) == {"Q4_K_M", "Q8_0", "F16"}
        assert variants.highlighted == "Q8_0"
        assert {variants.figure(label, "place").text for label in variants.keys} == {"✓ here"}
        text = "\n".join(str(each.render()) for each in app.screen.query(Static).results())
        for words in ("file header", "publisher", "dry run", "this machine", "5,246,208"):
            assert words in text
        await pilot.press("escape")
        await sheet_gone(pilot)


def test_detail_lines_never_exceed_their_width() -> None:
    for width in (40, 60, 76, 116):
        assert all(line.cell_length <= width for line in detail_lines(row(), width)[1:])


def test_a_part_of_the_memory_that_is_there_is_seen() -> None:
    inspected = row().inspected
    assert inspected is not None
    assert memory_bar(planned(inspected.planned), 20).plain == "█" * 19 + "▓"
    assert memory_bar({}, 20).plain == ""


def test_foreign_names_are_no_markup() -> None:
    assert "x [red]y" in detail_lines(row(), 80)[0].plain
    model = LocalModel(id="x", name="a\x1b[31mb\nc", path=Path("/x"), size_bytes=1)
    hostile = replace(row(), offer=Offer(local=model))
    assert hostile.figures["name"].text == "ab c"


def test_a_failed_model_has_no_invented_numbers() -> None:
    failed = replace(row(), inspected=None, failed=Failed(kind=FailureKind.BAD_FILE, message="it is not a model"))
    figures = failed.figures
    assert {figures[name].text for name in ("params", "variant", "memory", "licence")} == {"—"}
    assert figures["memory"].value is None


def test_words_at_the_end_give_way() -> None:
    assert fitting(["one", "two", "three"], " · ", 9).plain == "one · two"
    assert fitting(["one", "two"], " · ", 1).plain == "one"
