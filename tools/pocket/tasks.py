"""In-context tasks: what to answer can only be told from the examples before it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from documents import Document, DocumentBuilder
from words import CATEGORIES, EVERY_WORD, NEGATIVE, OPPOSITES, POSITIVE, THINGS, Pool

KINDS = tuple(CATEGORIES)
Example = tuple[str, str]
"""Input and output."""


@dataclass(frozen=True)
class Task:
    """A source of examples; ``labels`` are all possible outputs where there are few, else empty."""

    draw: Callable[[], Example]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How an example is written: before the input, before the output, and between examples."""

    before_input: str
    before_output: str
    separator: str = "\n"

    def prompt(self, text: str) -> str:
        """Everything up to where the output begins; the output follows a blank or a line break."""
        return f"{self.before_input}{text}{self.before_output}"


PLAIN_LAYOUT = Layout("", " -> ")
LAYOUTS = (
    PLAIN_LAYOUT,
    Layout("", " -> ", "\n\n"),
    Layout("", ": "),
    Layout("", " = "),
    Layout("Input: ", "\nOutput: "),
    Layout("Input: ", "\nOutput: ", "\n\n"),
    Layout("Q: ", "\nA: "),
    Layout("Q: ", "\nA: ", "\n\n"),
    Layout("Question: ", "\nAnswer: ", "\n\n"),
    Layout("Text: ", "\nLabel: "),
    Layout("Text: ", "\nLabel: ", "\n\n"),
    Layout("Word: ", "\nAnswer: "),
    Layout("Example: ", "\nResult: ", "\n\n"),
)
PAIR_LAYOUTS = (Layout("", " "), Layout("", ": "), PLAIN_LAYOUT, Layout("", " = "))
CHAT_LAYOUTS = (
    Layout("<|im_start|>user\n", " -><|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"),
    Layout("<|im_start|>user\nInput: ", "\nOutput:<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"),
)
"""Never a bare word: that is small talk, and "hello" was answered by "Hello" or "cold"."""
INSTRUCTIONS = (
    "Give each word its label.",
    "Label each line.",
    "What comes after the arrow?",
    "Learn from the examples.",
)


def draw_labels(pool: Pool, rng: random.Random, count: int) -> list[str]:
    """Distinct labels of one kind: words of the pool, pseudo-words or, where the pool has them, other styles."""
    kind = rng.random()
    if kind < 0.4:
        return rng.sample(pool.labels, count)
    draw = rng.choice(pool.styles) if pool.styles and kind > 0.65 else Pool.pseudo_word
    labels: set[str] = set()
    while len(labels) < count:
        labels.add(draw(pool, rng))
    return rng.sample(sorted(labels), count)


def lookup_task(pool: Pool, rng: random.Random, pairs: int | None = None) -> Task:
    """A table of ``pairs`` (default: two to six) arbitrary pairs, asked for again and again."""
    count = pairs or rng.choice((2, 2, 3, 3, 4, 6))
    pseudo_words = [pool.pseudo_word(rng) for _ in range(count)]
    keys = pseudo_words if rng.random() < 0.5 else rng.sample(EVERY_WORD, count)
    values = draw_labels(pool, rng, count)
    table = list(zip(keys, values, strict=True))
    return Task(lambda: rng.choice(table), tuple(values))


def category_task(pool: Pool, rng: random.Random, classes: int | None = None) -> Task:
    """``classes`` (default: two to four) categories of words, each with an arbitrary label."""
    categories = rng.sample(pool.categories, classes or rng.choice((2, 2, 2, 3, 4)))
    labels = dict(zip(categories, draw_labels(pool, rng, len(categories)), strict=True))

    def draw() -> Example:
        category = rng.choice(categories)
        return rng.choice(CATEGORIES[category]), labels[category]

    return Task(draw, tuple(labels.values()))


def framed(task: Task, rng: random.Random) -> Task:
    """``task`` with some words around its inputs."""
    frame = rng.choice(("the {}", "my {}", "this is a {}", "i like the {}", "one {} and no more", "a {} for you"))

    def draw() -> Example:
        text, output = task.draw()
        return frame.format(text), output

    return Task(draw, task.labels)


def sentiment_task(pool: Pool, rng: random.Random) -> Task:
    """Short judgements, positive or negative, with two arbitrary labels."""
    labels = draw_labels(pool, rng, 2)
    sentences = ("the {0} was {1}", "a {1} {0}", "what a {1} {0}", "this {0} is {1}", "i found the {0} {1}")

    def draw() -> Example:
        negative = rng.random() < 0.5
        sentence = rng.choice(sentences).format(rng.choice(THINGS), rng.choice(NEGATIVE if negative else POSITIVE))
        return sentence, labels[negative]

    return Task(draw, tuple(labels))


def draw_words(rng: random.Random, least: int, most: int) -> list[str]:
    """Between ``least`` and ``most`` random words."""
    return [rng.choice(EVERY_WORD) for _ in range(rng.randint(least, most))]


def on_words(least: int, most: int, answer: Callable[[list[str]], str]) -> Callable[[random.Random], Example]:
    """Operation that applies ``answer`` to between ``least`` and ``most`` random words."""

    def draw(rng: random.Random) -> Example:
        words = draw_words(rng, least, most)
        return " ".join(words), answer(words)

    return draw


def draw_opposite(rng: random.Random) -> Example:
    """A word and its opposite."""
    first, second = rng.sample(rng.choice(OPPOSITES), 2)
    return first, second


def draw_plural(rng: random.Random) -> Example:
    """A noun and its regular plural."""
    noun = rng.choice(THINGS + CATEGORIES["animal"][:6])
    return noun, f"{noun}s"


def draw_sum(rng: random.Random, step: int = 1) -> Example:
    """A number and the one ``step`` after it."""
    number = rng.randint(0, 30)
    return str(number), str(number + step)


def draw_kind(rng: random.Random) -> Example:
    """A word and the category it belongs to."""
    category = rng.choice(KINDS)
    return rng.choice(CATEGORIES[category]), category


OPERATIONS: dict[str, Callable[[random.Random], Example]] = {
    "copy": on_words(1, 4, " ".join),
    "first": on_words(3, 3, lambda words: words[0]),
    "second": on_words(3, 3, lambda words: words[1]),
    "last": on_words(3, 3, lambda words: words[-1]),
    "reverse": on_words(2, 3, lambda words: " ".join(reversed(words))),
    "swap": on_words(2, 2, lambda words: f"{words[1]} {words[0]}"),
    "upper": on_words(1, 1, lambda words: words[0].upper()),
    "repeat": on_words(1, 1, lambda words: f"{words[0]} {words[0]}"),
    "double": on_words(2, 2, lambda words: " ".join(words * 2)),
    "count": on_words(1, 5, lambda words: str(len(words))),
    "longer": on_words(2, 2, lambda words: max(words, key=len)),
    "opposite": draw_opposite,
    "plural": draw_plural,
    "successor": draw_sum,
    "kind": draw_kind,
}


def operation_task(pool: Pool, rng: random.Random) -> Task:
    """One of the pool's operations on words or numbers."""
    name = rng.choice(pool.operations)
    if name == "add":
        step = rng.randint(2, 9)
        return Task(lambda: draw_sum(rng, step))
    operation = OPERATIONS[name]
    return Task(lambda: operation(rng))


def draw_layout(rng: random.Random) -> Layout:
    """A way to write examples: mostly the plain one, one time in six as turns of a chat."""
    kind = rng.random()
    if kind < 0.35:
        return PLAIN_LAYOUT
    return rng.choice(LAYOUTS if kind < 0.83 else CHAT_LAYOUTS)


def draw_count(rng: random.Random) -> int:
    """How many examples a document has: often few, as in prompts."""
    return rng.choice((2, 3, 4, 6, 8, 10, 12, 16, 20, 28))


def task_document(task: Task, layout: Layout, rng: random.Random, count: int) -> Document:
    """``count`` examples; outputs that can be told, the blank before and the break after them are learned.

    A label cannot be told before it has been shown: learning it all the same would only teach which labels there are.
    """
    document = DocumentBuilder()
    if rng.random() < 0.15:
        document.add(f"{rng.choice(INSTRUCTIONS)}\n\n")
    shown: set[str] = set()
    for _ in range(count):
        text, output = task.draw()
        prompt = layout.prompt(text)
        # BPE joins a blank with the word after it, so the blank is part of the answer.
        blank = prompt.endswith(" ")
        document.add(prompt.removesuffix(" "))
        known = output in shown if task.labels else bool(shown)
        document.add(f"{' ' if blank else ''}{output}{layout.separator}", learn=known)
        shown.add(output)
    return document.build()


def one_turn_document(task: Task, rng: random.Random, count: int) -> Document:
    """``count`` examples and a question in one message of a chat; only the answer is learned, if it can be told."""
    document = DocumentBuilder()
    shown: set[str] = set()
    document.add("<|im_start|>user\n")
    for _ in range(count):
        text, output = task.draw()
        document.add(f"{PLAIN_LAYOUT.prompt(text)}{output}\n")
        shown.add(output)
    text, output = task.draw()
    document.add(f"{PLAIN_LAYOUT.prompt(text).removesuffix(' ')}<|im_end|>\n<|im_start|>assistant\n")
    # After a blank, as in the examples: the tokens of a word without one are others, and copying them is much harder.
    document.add(f" {output}<|im_end|>", learn=output in shown or not task.labels)
    document.add("\n")
    return document.build()


def repeated_list(words: Sequence[str], rng: random.Random, least_characters: int = 500) -> Document:
    """``words`` said again and again; only what can be told by looking back is learned."""
    document = DocumentBuilder()
    document.add(" ".join(words))
    while len(document) < least_characters:
        # A list that goes on from some other place cannot be followed by counting, only by looking back.
        start = 0 if rng.random() < 0.5 else rng.randrange(len(words))
        document.add(f" {words[start]}")
        if rest := words[start + 1 :]:
            document.add(f" {' '.join(rest)}", learn=True)
    return document.build()


def list_document(pool: Pool, rng: random.Random) -> Document:
    """A random list of words and pseudo-words, said again and again."""

    def draw_word() -> str:
        kind = rng.random()
        if kind < 0.4:
            return rng.choice(EVERY_WORD)
        return rng.choice(pool.labels) if kind < 0.7 else pool.pseudo_word(rng)

    return repeated_list([draw_word() for _ in range(rng.randint(3, 24))], rng)


def plain_list_document(pool: Pool, rng: random.Random) -> Document:
    """A list of different words, each known and mostly one token: the plainest lesson in looking back."""
    # As long as a row: the words of another list before it would be false leads.
    return repeated_list(rng.sample(EVERY_WORD, rng.randint(4, 24)), rng, 1000)


def pair_document(pool: Pool, rng: random.Random) -> Document:
    """A look-up table with next to nothing between key and value."""
    return task_document(lookup_task(pool, rng), rng.choice(PAIR_LAYOUTS), rng, 24)
