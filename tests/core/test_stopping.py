from __future__ import annotations

import itertools

import pytest

from slmtui.core.stopping import StopMatcher


def passed(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    matcher = StopMatcher(stops)
    shown = "".join(matcher.feed(piece) for piece in pieces)
    return shown + matcher.rest(), matcher.hit


@pytest.mark.parametrize(
    ("stops", "pieces", "shown", "hit"),
    [
        ([], ["all ", "of it"], "all of it", False),
        ([""], ["all"], "all", False),
        (["###"], ["a###b"], "a", True),
        (["###"], ["a#", "##", "b"], "a", True),
        (["###"], ["a#", "#b"], "a##b", False),
        (["###"], ["###"], "", True),
        (["###"], ["a##"], "a##", False),
        (["User:", "\n\n"], ["Hi\n", "User", ": x"], "Hi\n", True),
        (["User:", "\n\n"], ["Hi\n", "\nUser:"], "Hi", True),
        (["abc", "bcd"], ["xab", "cd"], "x", True),
        (["bcd", "abcde"], ["xab", "cd", "e"], "xa", True),
        (["aab"], ["aaa", "ab"], "aa", True),
        (["abab"], ["aba", "cabab"], "abac", True),
        (["ü😀"], ["ü", "ü", "😀"], "ü", True),
    ],
)
def test_what_passes(stops: list[str], pieces: list[str], shown: str, hit: bool) -> None:
    assert passed(stops, pieces) == (shown, hit)


@pytest.mark.parametrize("stops", [["aab"], ["ab", "ba"], ["aaa", "b"], ["abab", "bb"]])
def test_how_text_is_cut_into_pieces_does_not_matter(stops: list[str]) -> None:
    for letters in itertools.product("ab", repeat=6):
        text = "".join(letters)
        whole = passed(stops, [text])
        first = min((text.find(stop) for stop in stops if stop in text), default=None)
        assert whole == ((text, False) if first is None else (text[:first], True))
        assert passed(stops, list(text))[1] == whole[1]
        for cut in range(1, 6):
            assert passed(stops, [text[:cut], text[cut:]])[1] == whole[1]


def test_one_letter_at_a_time_stops_where_the_first_match_is_complete() -> None:
    """Of two stop strings that overlap, the one that is complete first wins."""
    assert passed(["abcde", "cd"], list("abcdef")) == ("ab", True)


def test_text_that_cannot_begin_a_stop_string_is_not_held_back() -> None:
    matcher = StopMatcher(["<|end|>"])
    assert matcher.feed("Hello") == "Hello"
    assert matcher.feed(" <|e") == " "
    assert matcher.feed("x") == "<|ex"
    assert matcher.rest() == ""


def test_nothing_passes_after_a_hit() -> None:
    matcher = StopMatcher(["."])
    assert matcher.feed("a.b") == "a"
    assert matcher.feed("c") == matcher.rest() == ""
