"""Items of the Pocket tasks, in the words and in the form that the bundled models were trained on.

Their labels are words that occur nowhere in training, so nothing but examples can tell which is which.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from made import Draw, Made, draw_each

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pocket"))

from words import CATEGORIES, EVERY_WORD, HELD_OUT, HELD_OUT_CATEGORIES, NEGATIVE, POSITIVE, THINGS

_SENTENCES = ("the {0} was {1}", "a {1} {0}", "what a {1} {0}", "this {0} is {1}", "i found the {0} {1}")
_FRAMES = ("{}", "the {}", "my {}")
_LABELS = ("walnut", "thistle", "cedar", "velvet")
"""Of `words.HELD_OUT_LABELS`: three tokens each, and with them pocket-5m is near chance before the first example.

Not with all: how likely a word is that was never learned depends on the question by accident, so that before the first
example any two of them answer 0.2 to 0.8 of the categories and 0.03 to 0.97 of the judgements rightly, 0.5 on average.
"""


def judgements(rng: random.Random) -> list[Made]:
    """Eighty good and eighty bad judgements."""

    def drawer(label: str, words: Sequence[str]) -> Draw:
        return lambda rng: (rng.choice(_SENTENCES).format(rng.choice(THINGS), rng.choice(words)), label)

    good, bad = _LABELS[1:3]
    return draw_each(rng, {"good": drawer(good, POSITIVE), "bad": drawer(bad, NEGATIVE)}, 80)


def two_categories(rng: random.Random) -> list[Made]:
    """Twenty animals and twenty fruits, each alone and after two other words."""
    return _categories(("animal", "fruit"), _LABELS[1::2], 20, _FRAMES, rng)


def four_categories(rng: random.Random) -> list[Made]:
    """Sixteen words of each of four categories, each alone and after another word."""
    return _categories(("tool", "city", "colour", "food"), _LABELS, 16, _FRAMES[:2], rng)


def new_categories(rng: random.Random) -> list[Made]:
    """The same of the categories that in-context training leaves out."""
    return _categories(HELD_OUT_CATEGORIES, _LABELS, 16, _FRAMES[:2], rng)


def look_up(rng: random.Random) -> list[Made]:
    """A hundred and twenty tables of three pairs, each with one of its keys asked for."""
    made = []
    for target in rng.sample(_LABELS * 30, 120):
        keys = _different(3, lambda: HELD_OUT.pseudo_word(rng))
        others = rng.sample([label for label in _LABELS if label != target], 2)
        values = rng.sample([target, *others], 3)
        table = "\n".join(f"{key} -> {value}" for key, value in zip(keys, values, strict=True))
        made.append({"input": f"{table}\n{keys[values.index(target)]}", "target": target, "options": values})
    return made


def first_words(rng: random.Random) -> list[Made]:
    """A hundred and twenty lists of three words, and their first word."""
    lists = _different(120, lambda: " ".join(rng.sample(EVERY_WORD, 3)))
    return [{"input": words, "target": words.split()[0]} for words in lists]


def _categories(
    names: Sequence[str], labels: Sequence[str], count: int, frames: Sequence[str], rng: random.Random
) -> list[Made]:
    made = [
        {"input": frame.format(word), "target": label, "category": name}
        for name, label in zip(names, labels, strict=True)
        for word in rng.sample(CATEGORIES[name], count)
        for frame in frames
    ]
    return rng.sample(made, len(made))


def _different(count: int, draw: Callable[[], str]) -> list[str]:
    """`count` different texts, in the order in which they are drawn."""
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn[draw()] = None
    return list(drawn)
