"""Measures a checkpoint on what training never used: loss by kind of document, and accuracy against shots."""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from corpus import GENERATORS
from model import PocketModel
from tasks import LAYOUTS, Example, Layout, Task, category_task, lookup_task, operation_task, sentiment_task
from tokenizers import Tokenizer
from tokens import DEFAULT_TOKENIZER, END_OF_TEXT, IGNORED, encode_document, load_tokenizer
from torch import Tensor
from train import load_model, token_loss
from words import HELD_OUT, TRAINING, Pool

POOLS = {"held-out": HELD_OUT, "training": TRAINING}
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
class Reader:
    """A model with its tokenizer and device."""

    model: PocketModel
    tokenizer: Tokenizer
    device: str

    @torch.no_grad()
    def answer_scores(self, prompt: str, answers: Sequence[str]) -> list[tuple[float, bool]]:
        """Log-probability (nats) of each answer after ``prompt``, and whether greedy decoding gives it."""
        start = 1 + len(self.tokenizer.encode(prompt).ids)
        rows = [[END_OF_TEXT, *self.tokenizer.encode(prompt + answer).ids] for answer in answers]
        longest = max(map(len, rows))
        padded = torch.tensor([row + [END_OF_TEXT] * (longest - len(row)) for row in rows], device=self.device)
        log_probabilities = torch.log_softmax(self.model(padded[:, :-1]).float(), -1)
        return [
            self._score(scores, torch.tensor(row[start:], device=self.device), start)
            for scores, row in zip(log_probabilities, rows, strict=True)
        ]

    @staticmethod
    def _score(scores: Tensor, answer: Tensor, start: int) -> tuple[float, bool]:
        """Score of one answer that begins at position ``start``; ``scores`` is [positions, vocabulary]."""
        at_answer = scores[start - 1 : start - 1 + len(answer)]
        total = at_answer.gather(1, answer[:, None]).sum().item()
        return total, bool((at_answer.argmax(-1) == answer).all())


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


def probe_accuracy(reader: Reader, probe: Probe, pool: Pool, shots: int, questions: int) -> Accuracy:
    """How often the likeliest label is right; the questions are the same for every model."""
    right = 0
    for index in range(questions):
        rng = random.Random(f"{probe.labels}:{shots}:{index}")
        task = probe.make_task(pool, rng)
        shown = draw_shots(task, shots, rng)
        text, answer = draw_question(task, shown, repeats=probe.repeats)
        scores = reader.answer_scores(few_shot_prompt(LAYOUTS[0], shown, text), [f" {label}" for label in task.labels])
        best = max(range(len(scores)), key=lambda i: scores[i][0])
        right += task.labels[best] == answer
    return Accuracy(right, questions)


def operation_accuracy(reader: Reader, pool: Pool, shots: int, questions: int) -> Accuracy:
    """How often greedy decoding gives exactly the output of an operation."""
    right = 0
    for index in range(questions):
        rng = random.Random(f"operation:{shots}:{index}")
        task = operation_task(pool, rng)
        shown = draw_shots(task, shots, rng)
        text, answer = draw_question(task, shown, repeats=False)
        ((_, greedy),) = reader.answer_scores(few_shot_prompt(LAYOUTS[0], shown, text), [f" {answer}\n"])
        right += greedy
    return Accuracy(right, questions)


def held_out_loss(reader: Reader, kind: str, pool: Pool, documents: int, length: int = 512) -> float:
    """Mean cross-entropy in nats per learned token over documents of one kind."""
    rng = random.Random(f"held-out:{kind}")
    total, count = 0.0, 0
    for _ in range(documents):
        encoded = encode_document(reader.tokenizer, GENERATORS[kind](pool, rng))
        inputs = torch.tensor([[END_OF_TEXT, *encoded.ids][:length]], device=reader.device)
        targets = torch.tensor([encoded.targets[:length]], device=reader.device)
        learned = int((targets != IGNORED).sum())
        if learned:
            with torch.no_grad():
                logits = reader.model(inputs[:, : targets.shape[1]])
                total += token_loss(logits, targets).item() * learned
            count += learned
    return total / count


def main() -> None:
    """Evaluate from the command line."""
    parser = argparse.ArgumentParser(description="Loss and in-context accuracy of a Pocket checkpoint.")
    parser.add_argument("checkpoint", type=Path, help="checkpoint that train.py wrote")
    parser.add_argument("--pool", choices=POOLS, default="held-out", help="words (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=150, help="per accuracy (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=100, help="per loss (default: %(default)s)")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="examples in the prompt")
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_TOKENIZER, help="tokenizer.json")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    arguments = parser.parse_args()
    model = load_model(arguments.checkpoint, arguments.device)
    reader = Reader(model, load_tokenizer(arguments.tokenizer), arguments.device)
    pool = POOLS[arguments.pool]
    for kind in GENERATORS:
        print(f"loss on {kind}: {held_out_loss(reader, kind, pool, arguments.documents):.4f}", flush=True)
    for shots in arguments.shots:
        for name, probe in PROBES.items():
            accuracy = probe_accuracy(reader, probe, pool, shots, arguments.questions)
            print(f"{name}, {shots} shots: {accuracy} chance {1 / probe.labels:.2f}", flush=True)
        print(
            f"operations, {shots} shots: {operation_accuracy(reader, pool, shots, arguments.questions)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
