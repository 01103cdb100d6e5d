from __future__ import annotations

import pytest

from slmtui.core.thinking import ThinkingSplitter


def split(pieces: list[str], *, inside: bool = False) -> tuple[str, str]:
    splitter = ThinkingSplitter(inside=inside)
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.close()]
    return "".join(thought for thought, _ in parts), "".join(answer for _, answer in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>so</think>\n\nYes.", "so", "Yes."),
        ("\n<think>\na < b\n</think>No.", "\na < b\n", "No."),
        ("<think></think>Hi", "", "Hi"),
        ("Hello <think>no</think>", "", "Hello <think>no</think>"),
        ("<thinker>", "", "<thinker>"),
        ("<th", "", "<th"),
        ("<think>never closed </thi", "never closed </thi", ""),
        ("", "", ""),
    ],
)
def test_any_cut_gives_the_same_parts(size: int, text: str, thought: str, answer: str) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    found = split(pieces)
    assert (found[0], found[1].lstrip("\n")) == (thought, answer)


def test_a_prompt_may_have_opened_the_thought() -> None:
    assert split(["hm", "m</thi", "nk>ok"], inside=True) == ("hmm", "ok")


def test_it_says_whether_the_model_thinks() -> None:
    splitter = ThinkingSplitter()
    assert not splitter.thinking
    splitter.feed("<think>a")
    assert splitter.thinking
    splitter.feed("</think>")
    assert not splitter.thinking
