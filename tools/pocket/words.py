"""Word lists, and which of them training never uses as labels, categories or operations."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from facts import SMALL_TALK, TOPICS


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
    "piece of furniture": _words("""
        table desk bed sofa shelf stool bench cupboard wardrobe drawer armchair couch cradle bookcase
    """),
    "musical instrument": _words("""
        piano violin guitar flute drum trumpet harp cello organ banjo tuba oboe clarinet trombone
    """),
    "drink": _words("water milk tea coffee juice beer wine cocoa lemonade cider whisky soda"),
    "vegetable": _words("""
        carrot potato onion cabbage pea bean leek turnip spinach celery radish pumpkin garlic beetroot
    """),
    "country": _words("""
        France Spain Italy Germany Poland Norway Egypt Japan India Peru Chile Greece Brazil Canada Kenya Sweden
    """),
    "sport": _words("tennis golf hockey rugby boxing rowing fencing judo cricket skiing archery wrestling"),
    "shape": _words("circle square triangle cube cone sphere oval hexagon pyramid cylinder rectangle pentagon"),
    "metal": _words("iron copper tin lead zinc nickel steel brass bronze aluminium titanium platinum"),
    "relative": _words("mother father sister brother aunt uncle cousin nephew niece daughter son grandmother"),
    "month": _words("""
        January February March April May June July August September October November December
    """),
    "building": _words("castle church tower barn hut palace temple mill cottage hospital prison museum"),
    "flower": _words("tulip daisy lily poppy iris orchid sunflower daffodil lavender jasmine pansy lotus"),
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
    foo bar baz qux yes no up down A B C D left right hot cold moon alpha beta gamma delta zig zag tik tok
    positive negative true false high low
""")
"""Labels that people like to use; training takes any other word as a label as often."""
HELD_OUT_LABELS = _words("""
    velvet amber maple falcon marble cedar lantern comet pearl willow north south cobalt thistle walnut feather
""")
"""Words that occur nowhere in training, of two to four tokens each."""
HELD_OUT_ONSETS = "vz"
CLUSTERS = _words("bl br ch cl cr dr fl fr gl gr h j pl pr qu sc sh sl sm sn sp st str sw th tr tw w y")
ENDINGS = _words("ck ft g lt mp nd ng nk nt p rd rk rm rn rt sh sk sp ss st th x")
SPOKEN_WORDS = sorted(
    {
        word
        for _, reply in TOPICS + SMALL_TALK
        for word in re.findall("[A-Za-z]+", reply)
        if word[0].lower() not in HELD_OUT_ONSETS
    }
)
"""Words of the replies: as labels they take in most tokens of the vocabulary.

With few words as labels, long training learned those words: accuracy with others rose to 0.95 and fell again to 0.88.
"""
OPERATIONS = _words("copy first last reverse upper opposite repeat count plural successor longer add kind")
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
    styles: tuple[Callable[[Pool, random.Random], str], ...] = ()
    """Other kinds of labels: each function draws one."""

    def pseudo_word(self, rng: random.Random) -> str:
        """A word of two or three open syllables that means nothing, such as ``tamiko``."""
        syllables = [rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3)))]
        return rng.choice(self.onsets) + "".join(syllables)[1:]


def draw_place(pool: Pool, rng: random.Random) -> str:
    """A place of the stories, which look alike to a model that has met them in the same sentences only."""
    return rng.choice(PLACES)


def draw_letters(pool: Pool, rng: random.Random) -> str:
    """Two to six letters in a row, such as ``qwlt``; never a word that is held out, or its beginning."""
    word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 6)))
    held_out = word in HELD_OUT_LABELS or (word[0] in HELD_OUT_ONSETS and word[1] in "aeiou")
    return draw_letters(pool, rng) if held_out else word


def draw_blend(pool: Pool, rng: random.Random) -> str:
    """A syllable with several consonants, such as ``strock``."""
    return rng.choice(CLUSTERS) + rng.choice("aeiou") + rng.choice(ENDINGS)


def draw_capitalized(pool: Pool, rng: random.Random) -> str:
    """A label or pseudo-word with its first letter, or all of it, in capitals."""
    word = rng.choice(pool.labels) if rng.random() < 0.5 else pool.pseudo_word(rng)
    return word.capitalize() if rng.random() < 0.6 else word.upper()


def draw_closed(pool: Pool, rng: random.Random) -> str:
    """A pseudo-word that ends in a consonant."""
    return pool.pseudo_word(rng) + rng.choice("klmnprst")


def draw_number(pool: Pool, rng: random.Random) -> str:
    """A number below 100."""
    return str(rng.randrange(100))


def draw_letter(pool: Pool, rng: random.Random) -> str:
    """A capital letter."""
    return rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def draw_two_words(pool: Pool, rng: random.Random) -> str:
    """Two labels in a row."""
    return f"{rng.choice(pool.labels)} {rng.choice(pool.labels)}"


TRAINING = Pool(
    labels=tuple(sorted({*LABELS, *EVERY_WORD, *SPOKEN_WORDS, *PLACES})),
    categories=tuple(name for name in CATEGORIES if name not in HELD_OUT_CATEGORIES),
    operations=tuple(OPERATIONS),
    onsets="bdfgklmnprst",
    styles=(
        *(draw_letters, draw_blend, draw_letters, draw_blend),
        *(draw_capitalized, draw_closed, draw_number, draw_letter, draw_two_words),
        *(draw_place, draw_place, draw_place),
    ),
)
HELD_OUT = Pool(
    labels=tuple(HELD_OUT_LABELS),
    categories=HELD_OUT_CATEGORIES,
    operations=tuple(HELD_OUT_OPERATIONS),
    onsets=HELD_OUT_ONSETS,
)
NEW_LABELS = replace(HELD_OUT, categories=TRAINING.categories, operations=TRAINING.operations)
"""Labels that training leaves out for categories and operations that it has."""
