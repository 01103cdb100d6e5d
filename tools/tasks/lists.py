"""Items of `lists-and-strings`: fourteen operations on a list of words or on a word, nine of each."""

from __future__ import annotations

import random
from collections.abc import Callable

from made import Draw, Made, draw_each, words

_WORDS = words("""
    apple anchor basket bridge candle carpet dragon eagle engine falcon feather garden ginger hammer honey island
    jacket jungle kettle ladder lemon magnet marble needle nettle ocean orange parrot pepper pillow puzzle rabbit
    ribbon river rocket saddle silver spoon summer table temple tiger tunnel turtle umbrella valley velvet violin
    walnut window winter wizard yellow zebra
""")


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    kinds = {
        "first": _on_list("Give the first word", lambda listed: listed[0]),
        "last": _on_list("Give the last word", lambda listed: listed[-1]),
        "second": _on_list("Give the second word", lambda listed: listed[1]),
        "reversed": _on_list("Reverse the order", lambda listed: ", ".join(reversed(listed))),
        "sorted": _on_list("Sort alphabetically", lambda listed: ", ".join(sorted(listed))),
        "without the first": _on_list("Leave out the first word", lambda listed: ", ".join(listed[1:])),
        "number of words": _on_list("Count the words", lambda listed: str(len(listed))),
        "longest": _longest,
        "capital letters": _on_word("Write in capital letters", str.upper),
        "backwards": _on_word("Spell backwards", lambda word: word[::-1]),
        "first letter": _on_word("Give the first letter", lambda word: word[0]),
        "number of letters": _on_word("Count the letters", lambda word: str(len(word))),
        "without vowels": _on_word("Leave out the vowels", lambda word: "".join(c for c in word if c not in "aeiou")),
        "spelled out": _on_word("Put hyphens between the letters", "-".join),
    }
    return draw_each(rng, kinds, 9)


def _on_list(what: str, answer: Callable[[list[str]], str]) -> Draw:
    def draw(rng: random.Random) -> tuple[str, str]:
        drawn = rng.sample(_WORDS, rng.randint(3, 5))
        return f"{what}: {', '.join(drawn)}", answer(drawn)

    return draw


def _on_word(what: str, answer: Callable[[str], str]) -> Draw:
    def draw(rng: random.Random) -> tuple[str, str]:
        word = rng.choice(_WORDS)
        return f"{what}: {word}", answer(word)

    return draw


def _longest(rng: random.Random) -> tuple[str, str]:
    drawn = rng.sample(_WORDS, 3)
    while len(drawn[0]) <= max(len(drawn[1]), len(drawn[2])):
        drawn = rng.sample(_WORDS, 3)
    return f"Give the longest word: {', '.join(rng.sample(drawn, 3))}", drawn[0]
