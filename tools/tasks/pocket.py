"""Items of the Pocket tasks, in the words and forms that the bundled models were trained on."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pocket"))

from words import NEGATIVE, POSITIVE, THINGS

SENTENCES = ("the {0} was {1}", "a {1} {0}", "what a {1} {0}", "this {0} is {1}", "i found the {0} {1}")
EACH = 80


def judgements(rng: random.Random) -> list[dict[str, str]]:
    """Eighty good and eighty bad judgements, each kind with a label word that says nothing about it."""
    made: dict[str, dict[str, str]] = {}
    for label, category, words in (("river", "good", POSITIVE), ("stone", "bad", NEGATIVE)):
        before = len(made)
        while len(made) < before + EACH:
            text = rng.choice(SENTENCES).format(rng.choice(THINGS), rng.choice(words))
            made.setdefault(text, {"input": text, "target": label, "category": category})
    return rng.sample(list(made.values()), len(made))
