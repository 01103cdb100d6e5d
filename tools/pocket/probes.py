"""In-context accuracy of a model in training or trained: questions, batched scoring, and the line about them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from model import PocketModel
from tasks import PLAIN_LAYOUT, Example, Layout, Task, category_task, lookup_task, operation_task, sentiment_task
from tokens import END_OF_TEXT, Encoder
from torch import Tensor
from words import Pool

SHOTS = (0, 1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Probe:
    """A family of tasks whose answers are chosen among few labels."""

    make_task: Callable[[Pool, random.Random], Task]
    labels: int
    repeats: bool = False
    """Whether the question is one of the examples (a look-up) or a new input."""


PROBES: dict[str, Probe] = {
    "look-up, 3 pairs": Probe(lambda pool, rng: lookup_task(pool, rng, 3), 3, repeats=True),
    "categories, 2 labels": Probe(lambda pool, rng: category_task(pool, rng, 2), 2),
    "categories, 4 labels": Probe(lambda pool, rng: category_task(pool, rng, 4), 4),
    "sentiment, 2 labels": Probe(sentiment_task, 2),
}


@dataclass(frozen=True)
class Accuracy:
    """Right answers among ``questions``."""

    right: int
    questions: int

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the proportion (Wilson 1927)."""
        z, n = 1.96, self.questions
        centre = (self.right + z * z / 2) / (n + z * z)
        half = z / (n + z * z) * math.sqrt(self.right * (n - self.right) / n + z * z / 4)
        return centre - half, centre + half

    def __str__(self) -> str:
        """Proportion and interval."""
        low, high = self.interval()
        return f"{self.right / self.questions:.2f} [{low:.2f} {high:.2f}]"


@dataclass(frozen=True)
class Question:
    """A prompt, what can be answered, and which of that is right."""

    prompt: str
    options: tuple[str, ...]
    answer: int


def draw_shots(task: Task, shots: int, rng: random.Random) -> list[Example]:
    """``shots`` examples in random order, labels (where the task has some) equally often."""
    wanted = [task.labels[i % len(task.labels)] if task.labels else None for i in range(shots)]
    rng.shuffle(wanted)
    examples = []
    for label in wanted:
        example = task.draw()
        while label is not None and example[1] != label:
            example = task.draw()
        examples.append(example)
    return examples


def draw_question(task: Task, shown: Sequence[Example], *, repeats: bool) -> Example:
    """A question, which is not among the examples ``shown`` unless ``repeats``."""
    question = task.draw()
    while not repeats and question in shown:
        question = task.draw()
    return question


def few_shot_prompt(layout: Layout, shown: Sequence[Example], question: str) -> str:
    """Examples and the question, up to the blank before the answer."""
    examples = [f"{layout.prompt(text)}{output}{layout.separator}" for text, output in shown]
    return "".join(examples) + layout.prompt(question).removesuffix(" ")


def probe_questions(probe: Probe, pool: Pool, shots: int, count: int, layout: Layout = PLAIN_LAYOUT) -> list[Question]:
    """``count`` questions, each of a task of its own; the same ones for every model."""
    questions = []
    for index in range(count):
        rng = random.Random(f"{probe.labels}:{shots}:{index}")
        task = probe.make_task(pool, rng)
        shown = draw_shots(task, shots, rng)
        text, answer = draw_question(task, shown, repeats=probe.repeats)
        options = tuple(f" {label}" for label in task.labels)
        questions.append(Question(few_shot_prompt(layout, shown, text), options, task.labels.index(answer)))
    return questions


def operation_questions(pool: Pool, shots: int, count: int, layout: Layout = PLAIN_LAYOUT) -> list[Question]:
    """``count`` operations with their output, line break included, as the only option."""
    questions = []
    for index in range(count):
        rng = random.Random(f"operation:{shots}:{index}")
        task = operation_task(pool, rng)
        shown = draw_shots(task, shots, rng)
        text, answer = draw_question(task, shown, repeats=False)
        questions.append(Question(few_shot_prompt(layout, shown, text), (f" {answer}\n",), 0))
    return questions


@dataclass(frozen=True)
class Reader:
    """A model with its encoder."""

    model: PocketModel
    encoder: Encoder
    rows: int = 256
    """Rows in a batch."""

    def accuracy(self, questions: Sequence[Question]) -> Accuracy:
        """How often the likeliest option is right."""
        right = 0
        scores = self.scores(questions)
        for question in questions:
            sums = [next(scores)[0] for _ in question.options]
            right += max(range(len(sums)), key=sums.__getitem__) == question.answer
        return Accuracy(right, len(questions))

    def greedy_accuracy(self, questions: Sequence[Question]) -> Accuracy:
        """How often greedy decoding gives the first option."""
        return Accuracy(sum(greedy for _, greedy in self.scores(questions)), len(questions))

    def scores(self, questions: Sequence[Question]) -> Iterator[tuple[float, bool]]:
        """Log-probability (nats) of each option in turn, and whether greedy decoding gives it."""
        rows = []
        for question in questions:
            prompt = [END_OF_TEXT, *self.encoder.encode(question.prompt)]
            rows += [(prompt, self.encoder.encode(option)) for option in question.options]
        for start in range(0, len(rows), self.rows):
            yield from self._score_rows(rows[start : start + self.rows])

    @torch.no_grad()
    def _score_rows(self, rows: list[tuple[list[int], list[int]]]) -> Iterator[tuple[float, bool]]:
        """Scores of prompts with an option each, in one batch."""
        device = self.model.token_embd.weight.device
        longest = max(len(prompt) + len(option) for prompt, option in rows)
        filled = [prompt + option + [END_OF_TEXT] * (longest - len(prompt) - len(option)) for prompt, option in rows]
        state = self.model.states(torch.tensor(filled, device=device)[:, :-1])[-1]
        places = [(row, len(prompt) - 1 + i) for row, (prompt, option) in enumerate(rows) for i in range(len(option))]
        row, position = torch.tensor(places, device=device).T
        options = torch.tensor([token for _, option in rows for token in option], device=device)
        logits = self.model.project(state[row, position]).float()
        log_probabilities = torch.log_softmax(logits, -1).gather(1, options[:, None])[:, 0].cpu()
        greedy = (logits.argmax(-1) == options).cpu()
        lengths = [len(option) for _, option in rows]
        yield from zip(map(_total, log_probabilities.split(lengths)), map(_every, greedy.split(lengths)), strict=True)


def _total(part: Tensor) -> float:
    """Sum of ``part``."""
    return part.sum().item()


def _every(part: Tensor) -> bool:
    """Whether all of ``part`` holds."""
    return bool(part.all())


class Examination:
    """The same few questions at each time that training asks how far the model is."""

    SHOTS = (0, 1, 2, 4, 8)

    def __init__(self, encoder: Encoder, pool: Pool, count: int) -> None:
        """Write ``count`` questions for each probe and number of shots."""
        self._encoder = encoder
        self._questions = {
            name: [probe_questions(probe, pool, shots, count) for shots in self.SHOTS]
            for name, probe in PROBES.items()
            if count
        }

    def line(self, model: PocketModel) -> str:
        """Accuracies at 0, 1, 2, 4 and 8 shots."""
        reader = Reader(model, self._encoder)
        parts = []
        with torch.compiler.set_stance("force_eager"):
            for name, by_shots in self._questions.items():
                accuracies = [reader.accuracy(questions) for questions in by_shots]
                parts.append(f"{name}: {' '.join(f'{a.right / a.questions:.2f}' for a in accuracies)}")
        return f"accuracy at {' '.join(map(str, self.SHOTS))} shots | {' | '.join(parts)}"
