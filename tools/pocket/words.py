"""Word lists, and which of them training never uses as labels, categories or operations."""

from __future__ import annotations

import random
from dataclasses import dataclass


def _words(text: str) -> list[str]:
    """Words of ``text``."""
    return text.split()


CATEGORIES: dict[str, list[str]] = {
    "animal": _words("""
        cat dog horse cow sheep goat lion tiger bear wolf fox rabbit mouse frog duck goose owl eagle whale
        shark camel zebra monkey snake spider turtle pig donkey otter seal
    """),
    "fruit": _words("""
        apple banana pear plum grape lemon lime mango peach cherry melon orange kiwi fig papaya apricot
        berry coconut guava lychee
    """),
    "colour": _words("""
        red blue green yellow black white brown pink purple grey silver gold violet teal beige crimson
    """),
    "tool": _words("""
        hammer saw drill wrench pliers chisel axe shovel rake ladder screwdriver spade clamp file knife
        scissors
    """),
    "vehicle": _words("""
        car bus train truck bike boat ship plane tram van scooter tractor ferry canoe rocket taxi
    """),
    "city": _words("""
        London Paris Rome Madrid Berlin Oslo Cairo Tokyo Delhi Lima Quito Dublin Athens Vienna Prague
        Lisbon
    """),
    "body part": _words("""
        hand foot arm leg head nose ear eye mouth knee elbow finger toe shoulder neck back
    """),
    "garment": _words("""
        shirt coat hat sock shoe glove scarf dress skirt jacket belt boot cap sweater trousers tie
    """),
    "food": _words("""
        bread rice soup cheese pasta pizza salad cake egg butter honey sugar salt pepper stew pie
    """),
    "job": _words("""
        doctor nurse teacher farmer baker driver pilot singer painter writer lawyer cook miner sailor
        soldier judge
    """),
    "number": _words("""
        one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    """),
    "kind of weather": _words("""
        rain snow wind storm fog hail sun cloud thunder frost ice heat breeze drizzle mist sleet
    """),
}
HELD_OUT_CATEGORIES = ("garment", "job", "kind of weather", "vehicle")

POSITIVE = _words("""
    great good lovely superb happy bright warm kind clean fresh fast calm sweet fine strong brilliant
    pleasant cheerful perfect charming
""")
NEGATIVE = _words("""
    bad awful terrible sad dark cold rude dirty stale slow noisy bitter poor weak dull broken horrible
    gloomy nasty ugly
""")
THINGS = _words("""
    film book meal room song game phone hotel trip show lamp chair class story garden walk team plan shop
    park
""")
OPPOSITES = [
    pair.split("/")
    for pair in _words("""
        hot/cold big/small up/down fast/slow day/night old/young rich/poor hard/soft wet/dry open/closed
        early/late high/low light/dark loud/quiet full/empty happy/sad strong/weak clean/dirty near/far
        thick/thin true/false left/right first/last
    """)
]
EVERY_WORD = sorted({word for words in CATEGORIES.values() for word in words} | {*THINGS, *POSITIVE, *NEGATIVE})

LABELS = _words("""
    foo bar baz qux red blue cat dog yes no up down A B C D one two left right hot cold sun moon alpha
    beta gamma delta zig zag tik tok
""")
HELD_OUT_LABELS = _words("lamp tree river stone north south lion wolf E F G H seven nine rose oak")
OPERATIONS = _words("copy first last reverse upper opposite repeat count plural successor longer add")
HELD_OUT_OPERATIONS = _words("second swap double")

NAMES = _words("Lily Tom Anna Ben Mia Sam Zoe Max Ella Leo Nina Jack Ruby Finn Eva Hugo")
PLACES = _words("park garden forest beach school market farm river house library")


@dataclass(frozen=True)
class Pool:
    """What in-context tasks are made of; training and evaluation draw from pools that share none of it."""

    labels: tuple[str, ...]
    categories: tuple[str, ...]
    operations: tuple[str, ...]
    onsets: str
    """First letters of pseudo-words."""

    def pseudo_word(self, rng: random.Random) -> str:
        """A word of two or three open syllables that means nothing, such as ``tamiko``."""
        syllables = [rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3)))]
        return rng.choice(self.onsets) + "".join(syllables)[1:]


TRAINING = Pool(
    labels=tuple(LABELS),
    categories=tuple(name for name in CATEGORIES if name not in HELD_OUT_CATEGORIES),
    operations=tuple(OPERATIONS),
    onsets="bdfgklmnprst",
)
HELD_OUT = Pool(
    labels=tuple(HELD_OUT_LABELS),
    categories=HELD_OUT_CATEGORIES,
    operations=tuple(HELD_OUT_OPERATIONS),
    onsets="vz",
)
