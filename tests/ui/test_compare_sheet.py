from __future__ import annotations

import pytest
from textual.app import App
from textual.widgets import Checkbox, Input, Static

from slmtui.core.plan import Grid, PlanError
from slmtui.core.presets import PRESETS
from slmtui.ui.screens.compare_pick import Choice, PickSheet
from slmtui.ui.screens.compare_sheet import FIELDS, PlanSheet, Wish, change_words, parse, shown
from tests.ui.steps import steered, until


def test_lists_are_read_with_commas_and_empty_fields_change_nothing() -> None:
    texts = {
        "depths": "0, 512,512 ,",
        "threads": "2",
        "kv_types": "f16, Q8_0/f16",
        "cool_down_s": "1.5",
        "context": " ",
    }
    assert parse(texts, {"together": True}) == Grid(
        depths=(0, 512),
        threads=(2,),
        kv_types=(("f16", "f16"), ("q8_0", "f16")),
        cool_down_s=1.5,
        together=True,
    )
    assert parse({}, {}) == Grid()


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("prompt_tokens", "128, many", "Prompt lengths: 'many' is no whole number"),
        ("kv_types", "f16, q3", "KV cache types: 'q3' is none of f32, f16"),
        ("flash_attention", "maybe", "Flash attention: 'maybe' is none of auto, on, off"),
        ("cool_down_s", "long", "Pause: 'long' is no number of seconds"),
        ("repetitions", "3, 4", "Repetitions: 3, 4 is a list; give one number"),
    ],
)
def test_what_is_wrong_is_said_by_the_field_s_name(name: str, typed: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse({name: typed}, {})


@pytest.mark.parametrize("changes", [Grid(), *PRESETS.values(), Grid(kv_types=(("q8_0", "f16"), ("f16", "f16")))])
def test_what_is_shown_can_be_typed(changes: Grid) -> None:
    texts = {field.name: shown(getattr(changes, field.name)) for field in FIELDS}
    flags = {name: value for name in ("together", "after_prompt") if (value := getattr(changes, name)) is not None}
    again = parse(texts, flags)
    assert all(getattr(again, field.name) == getattr(changes, field.name) for field in FIELDS)


def test_changes_are_told_in_the_sheet_s_words() -> None:
    words = change_words(Grid(depths=(0, 512), together=True))
    assert words == "depths 0, 512 · together"
    assert change_words(None) == ""


async def test_the_sheet_returns_the_changes() -> None:
    app = App[int]()
    results: list[Wish | None] = []
    async with steered(app, (80, 24)) as pilot:
        await app.push_screen(PlanSheet("quick", PRESETS["quick"], Grid(depths=(64,))), results.append)
        assert app.screen.query_one("#depths", Input).value == "64"
        assert app.screen.query_one("#prompt_tokens", Input).placeholder == "128"
        app.screen.query_one("#threads", Input).value = "1, 2"
        app.screen.query_one("#together", Checkbox).value = True
        await pilot.press("enter")
        await until(pilot, lambda: results)
    assert results == [Wish(Grid(depths=(64,), threads=(1, 2), together=True))]


async def test_the_sheet_names_the_field_that_is_wrong_and_stays() -> None:
    app = App[int]()
    results: list[Wish | None] = []
    async with steered(app, (80, 24)) as pilot:
        sheet = PlanSheet("quick", PRESETS["quick"], None)
        await app.push_screen(sheet, results.append)
        sheet.query_one("#threads", Input).value = "0"
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "threads must be at least 1" in str(sheet.query_one("#problem", Static).render())
        assert not results
        await pilot.click("#defaults")
        assert sheet.query_one("#threads", Input).value == ""
        await pilot.press("ctrl+s")
        await until(pilot, lambda: results)
    assert results == [Wish(None)]


async def test_the_pick_sheet_returns_what_is_hidden() -> None:
    app = App[int]()
    results: list[frozenset[Choice] | None] = []
    choices = [Choice("figure", "prefill"), Choice("figure", "decode"), Choice("model", "Pocket 5M")]
    async with steered(app, (80, 24)) as pilot:
        await app.push_screen(PickSheet(choices, frozenset({choices[2]})), results.append)
        await pilot.pause()
        await pilot.press("space", "enter")
        await until(pilot, lambda: results)
    assert results == [frozenset({choices[0], choices[2]})]
