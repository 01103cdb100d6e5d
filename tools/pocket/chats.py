"""Short chats in ChatML about small language models, with tiny stories, small sums and is-a questions."""

from __future__ import annotations

import random

from documents import Document, DocumentBuilder
from facts import (
    SMALL_TALK,
    SYSTEM_PROMPTS,
    TOPIC_QUESTIONS,
    TOPICS,
    UNKNOWN_QUESTIONS,
    UNKNOWN_REPLY,
    UNKNOWN_SUBJECTS,
)
from words import CATEGORIES, EVERY_WORD, NAMES, PLACES, POSITIVE, TRAINING

Turn = tuple[str, str]
"""What the user says and what the assistant replies."""

QUESTION_WORDS = frozenset(
    [
        "what",
        "what's",
        "why",
        "which",
        "how",
        "who",
        "where",
        "when",
        "is",
        "are",
        "can",
        "do",
        "should",
        "would",
    ]
)
STORY_REQUESTS = (
    "tell me a story",
    "tell me a tiny story",
    "write a short story",
    "story please",
    "can you tell me a story",
    "a story",
    "please tell me a story",
    "tell me another story",
    "i want to hear a story",
)
STORY_REQUESTS_ABOUT = (
    "tell me a story about {}",
    "write a story about {}",
    "tell me a tiny story about {}",
    "a story about {} please",
)


def with_article(noun: str) -> str:
    """``noun`` behind its indefinite article."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def lost_plot(rng: random.Random, hero: str, animal: str) -> list[str]:
    """Middle of a story in which the animal has lost something."""
    thing = rng.choice(CATEGORIES["garment"][:12])
    where = rng.choice(["under a tree", "behind a big stone", "next to the gate", "in the tall grass"])
    return [
        f"The {animal} had lost its {thing}.",
        rng.choice([f'"Can I help you?" asked {hero}.', f"{hero} wanted to help."]),
        f"They looked everywhere and found the {thing} {where}.",
    ]


def hungry_plot(rng: random.Random, hero: str, animal: str) -> list[str]:
    """Middle of a story in which the animal wants a fruit."""
    fruit = rng.choice(CATEGORIES["fruit"][:12])
    return [
        f"The {animal} was looking for {with_article(fruit)}.",
        rng.choice([f'"I have one," said {hero}.', f"{hero} had one in a bag."]),
        f"{hero} shared the {fruit} with the {animal}.",
    ]


def afraid_plot(rng: random.Random, hero: str, animal: str) -> list[str]:
    """Middle of a story in which the animal is afraid of the weather."""
    weather = rng.choice(["rain", "snow", "wind", "storm", "thunder"])
    return [
        f"The {animal} was afraid of the {weather}.",
        rng.choice([f'"I will stay with you," said {hero}.', f"{hero} sat down next to the {animal}."]),
        f"They waited together until the {weather} was gone.",
    ]


def tell_story(rng: random.Random, animal: str | None = None) -> str:
    """Six sentences about a child who helps ``animal`` (default: any)."""
    animal = animal or rng.choice(CATEGORIES["animal"])
    hero, place, colour = rng.choice(NAMES), rng.choice(PLACES), rng.choice(CATEGORIES["colour"][:10])
    opening = rng.choice(
        [
            f"One day {hero} went to the {place}.",
            f"Once upon a time, {hero} lived near a {place}.",
            f"{hero} walked to the {place} one morning.",
        ]
    )
    meeting = rng.choice(
        [
            f"There {hero} saw a {colour} {animal}.",
            f"By the gate stood a {colour} {animal}.",
            f"A small {colour} {animal} came up to {hero}.",
        ]
    )
    middle = rng.choice([lost_plot, hungry_plot, afraid_plot])(rng, hero, animal)
    ending = rng.choice(
        [
            f"The {animal} was very happy, and {hero} felt {rng.choice(['warm', 'good', 'great', 'happy'])}.",
            "At the end of the day they were friends.",
            f"Then they both went home, and it was a {rng.choice(POSITIVE[:9])} day.",
        ]
    )
    return " ".join([opening, meeting, *middle, ending])


def phrase(rng: random.Random, words: str) -> str:
    """``words`` with the beginnings, capitals and endings that people type."""
    words = rng.choice(["", "", "", "", "", "please ", "hey, ", "so, ", "can you tell me: "]) + words
    if rng.random() < 0.5:
        words = words[0].upper() + words[1:]
    asks = words.split()[0].lower() in QUESTION_WORDS
    return words + rng.choice(["?", "?", "?", ""] if asks else ["?", "", "", ".", ".", "!"])


def topic_turn(rng: random.Random) -> Turn:
    """A question about one of the topics."""
    names, answer = rng.choice(TOPICS)
    return phrase(rng, rng.choice(TOPIC_QUESTIONS).format(rng.choice(names))), answer


def small_talk_turn(rng: random.Random) -> Turn:
    """A greeting, thanks, or a question about the model itself."""
    ways, answer = rng.choice(SMALL_TALK)
    return phrase(rng, rng.choice(ways)), answer


def story_turn(rng: random.Random) -> Turn:
    """A request for a story, sometimes about a given animal."""
    if rng.random() < 0.6:
        return phrase(rng, rng.choice(STORY_REQUESTS)), tell_story(rng)
    animal = rng.choice(CATEGORIES["animal"])
    return phrase(rng, rng.choice(STORY_REQUESTS_ABOUT).format(with_article(animal))), tell_story(rng, animal)


def sum_turn(rng: random.Random) -> Turn:
    """A sum of two numbers up to 10."""
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    question = rng.choice([f"What is {a} + {b}?", f"{a}+{b}=?", f"what is {a} plus {b}?", f"{a} + {b}"])
    return question, f"{a} + {b} = {a + b}."


def is_a_turn(rng: random.Random) -> Turn:
    """Whether a word belongs to a category; half of the answers are yes."""
    category = rng.choice(sorted(CATEGORIES))
    word = rng.choice(CATEGORIES[category])
    asked = category if rng.random() < 0.5 else rng.choice(sorted(CATEGORIES))
    pattern = rng.choice(["is {} {}", "is {} {}", "would you call {} {}"])
    question = phrase(rng, pattern.format(word, with_article(asked)))
    return question, f"{'Yes' if asked == category else 'No'}, {word} is {with_article(category)}."


def unknown_subject(rng: random.Random) -> str:
    """Something that the model is not meant to know."""
    if rng.random() < 0.5:
        return rng.choice(UNKNOWN_SUBJECTS)
    return rng.choice(EVERY_WORD) if rng.random() < 0.5 else TRAINING.pseudo_word(rng)


def unknown_turn(rng: random.Random) -> Turn:
    """A question about anything else, to which the model says that it does not know."""
    question = rng.choice(UNKNOWN_QUESTIONS)
    subjects = [unknown_subject(rng) for _ in range(question.count("{}"))]
    return phrase(rng, question.format(*subjects)), UNKNOWN_REPLY


TURNS = {
    topic_turn: 0.44,
    small_talk_turn: 0.14,
    story_turn: 0.16,
    unknown_turn: 0.12,
    sum_turn: 0.06,
    is_a_turn: 0.08,
}
"""Share of each kind of turn in a chat."""


def chat_document(rng: random.Random) -> Document:
    """A ChatML conversation of one to eight turns; only the assistant's words are learned."""
    document = DocumentBuilder()
    if rng.random() < 0.4:
        document.add(f"<|im_start|>system\n{rng.choice(SYSTEM_PROMPTS)}<|im_end|>\n")
    for _ in range(rng.choice((1, 1, 2, 3, 4, 5, 6, 8))):
        (make_turn,) = rng.choices(list(TURNS), weights=list(TURNS.values()))
        question, answer = make_turn(rng)
        document.add(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
        document.add(f"{answer}<|im_end|>", learn=True)
        document.add("\n")
    return document.build()


def story_document(rng: random.Random) -> Document:
    """Four stories, one a line."""
    return Document((("\n".join(tell_story(rng) for _ in range(4)), True),))
