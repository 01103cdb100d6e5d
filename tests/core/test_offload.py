"""Wishes for the GPU as they are typed and said, and the search for the most layers that fit."""

from __future__ import annotations

import pytest

from slmtui.core.offload import (
    ALL,
    FIT,
    layers_of,
    layers_word,
    layers_words,
    most_layers,
    partly,
    shares_of,
    shares_words,
)


@pytest.mark.parametrize(
    ("typed", "wish", "words"),
    [
        ("all", ALL, "all layers"),
        (" FIT ", FIT, "as many layers as fit"),
        ("-1", ALL, "all layers"),
        ("0", 0, "0 layers"),
        ("1", 1, "1 layer"),
        ("24", 24, "24 layers"),
    ],
)
def test_layers_as_typed_and_said(typed: str, wish: int, words: str) -> None:
    assert layers_of(typed) == wish
    assert layers_words(wish) == words
    assert layers_of(layers_word(wish)) == wish


@pytest.mark.parametrize("typed", ["", "most", "1.5", "alle"])
def test_what_is_no_wish(typed: str) -> None:
    with pytest.raises(ValueError, match=r"int|float|shares"):
        layers_of(typed)


def test_a_model_that_is_partly_on_the_gpu_says_how_much() -> None:
    assert partly(12, 32) == " 12/33 layers"
    assert [partly(*known) for known in ((33, 32), (0, 32), (None, None), (5, None))] == ["", "", "", ""]


def test_shares_as_typed_and_said() -> None:
    assert shares_of("3/1") == (3.0, 1.0)
    assert shares_of("0/1.5/2") == (0.0, 1.5, 2.0)
    assert shares_words(shares_of("3/1.5")) == "3/1.5"
    assert shares_words(()) == ""


@pytest.mark.parametrize("typed", ["", "3", "3,1", "0/0", "-1/2", "a/b", "nan/1", "inf/1"])
def test_what_are_no_shares(typed: str) -> None:
    with pytest.raises(ValueError, match=r"int|float|shares"):
        shares_of(typed)


@pytest.mark.parametrize("room", range(12))
def test_the_most_layers_that_fit(room: int) -> None:
    asked: list[int] = []

    def fits(count: int) -> bool:
        asked.append(count)
        return count <= room

    assert most_layers(10, fits) == min(10, room)
    assert asked[0] == 10, "the usual case first"
    assert len(asked) <= 5
