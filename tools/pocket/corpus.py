"""Which documents training sees when: mixtures, curricula of mixtures, and batches drawn from them."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields

import torch
from chats import chat_document, story_document
from documents import Document
from tasks import (
    category_task,
    draw_layout,
    list_document,
    lookup_task,
    operation_task,
    pair_document,
    plain_list_document,
    sentiment_task,
    task_document,
)
from tokenizers import Tokenizer
from tokens import END_OF_TEXT, IGNORED, encode_document
from torch import Tensor
from torch.utils.data import Dataset
from words import TRAINING, Pool


@dataclass(frozen=True)
class Mixture:
    """Relative frequency of each kind of document."""

    chats: float = 0.0
    stories: float = 0.0
    lists: float = 0.0
    lookups: float = 0.0
    mappings: float = 0.0
    operations: float = 0.0
    plain_lists: float = 0.0
    pairs: float = 0.0


@dataclass(frozen=True)
class Stage:
    """What holds until ``until``, a fraction of the training steps."""

    until: float
    mixture: Mixture
    look_back: bool = False
    """Whether the previous token is to be told as well (see ``model.Learner``)."""


CURRICULA: dict[str, tuple[Stage, ...]] = {
    "chat": (Stage(1.0, Mixture(chats=0.88, stories=0.03, lists=0.04, lookups=0.02, mappings=0.01, operations=0.02)),),
    "in-context": (
        Stage(0.20, Mixture(chats=0.15, plain_lists=0.70, lists=0.15), look_back=True),
        Stage(0.30, Mixture(chats=0.20, plain_lists=0.20, lists=0.15, pairs=0.45), look_back=True),
        Stage(0.50, Mixture(chats=0.25, plain_lists=0.05, lists=0.10, pairs=0.20, lookups=0.40)),
        Stage(0.75, Mixture(chats=0.25, lists=0.05, pairs=0.05, lookups=0.25, mappings=0.35, operations=0.05)),
        Stage(1.00, Mixture(chats=0.35, stories=0.03, lists=0.05, lookups=0.15, mappings=0.30, operations=0.12)),
    ),
}
"""Looking back is learned on lists first: without them accuracy stayed at chance for 10 M tokens."""


def stage_at(stages: tuple[Stage, ...], progress: float) -> Stage:
    """The stage that ``progress`` (0 to 1) falls into."""
    return next((stage for stage in stages if progress < stage.until), stages[-1])


def mapping_document(pool: Pool, rng: random.Random) -> Document:
    """Examples of words or judgements with arbitrary labels."""
    make_task = category_task if rng.random() < 0.65 else sentiment_task
    return task_document(make_task(pool, rng), draw_layout(rng), rng)


GENERATORS: dict[str, Callable[[Pool, random.Random], Document]] = {
    "chats": lambda pool, rng: chat_document(rng),
    "stories": lambda pool, rng: story_document(rng),
    "lists": list_document,
    "lookups": lambda pool, rng: task_document(lookup_task(pool, rng), draw_layout(rng), rng),
    "mappings": mapping_document,
    "operations": lambda pool, rng: task_document(operation_task(pool, rng), draw_layout(rng), rng),
    "plain_lists": plain_list_document,
    "pairs": pair_document,
}


def draw_document(mixture: Mixture, rng: random.Random, pool: Pool = TRAINING) -> Document:
    """A random document of a kind that ``mixture`` chooses."""
    kinds = [field.name for field in fields(mixture)]
    (kind,) = rng.choices(kinds, weights=astuple(mixture))
    return GENERATORS[kind](pool, rng)


class PackedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batch number ``n`` of training, a function of seed and ``n`` alone, so that training resumes exactly.

    A batch is inputs and targets, both of shape [rows, length]; rows are documents packed end to end.
    """

    def __init__(
        self, tokenizer: Tokenizer, stages: tuple[Stage, ...], batches: int, shape: tuple[int, int], seed: int
    ) -> None:
        """``batches`` is the length of the whole training, ``shape`` is (rows, length)."""
        self.tokenizer = tokenizer
        self.stages = stages
        self.batches = batches
        self.rows, self.length = shape
        self.seed = seed

    def __len__(self) -> int:
        """Batches in the whole training."""
        return self.batches

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of batch ``index``."""
        mixture = stage_at(self.stages, index / self.batches).mixture
        rng = random.Random(f"{self.seed}:{index}")
        rows = [self._pack(mixture, rng) for _ in range(self.rows)]
        ids, targets = (torch.tensor(part) for part in zip(*rows, strict=True))
        return ids[:, :-1], targets[:, 1:]

    def _pack(self, mixture: Mixture, rng: random.Random) -> tuple[list[int], list[int]]:
        """One row of ``length`` + 1 ids and targets."""
        ids, targets = [END_OF_TEXT], [IGNORED]
        while len(ids) <= self.length:
            encoded = encode_document(self.tokenizer, draw_document(mixture, rng))
            ids += encoded.ids
            targets += encoded.targets
        return ids[: self.length + 1], targets[: self.length + 1]


def main() -> None:
    """Print documents of a curriculum."""
    parser = argparse.ArgumentParser(description="Print some documents of the Pocket corpus.")
    parser.add_argument("--curriculum", choices=CURRICULA, default="chat", help="(default: %(default)s)")
    parser.add_argument("--progress", type=float, default=0.9, help="fraction of training (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=8, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    mixture = stage_at(CURRICULA[arguments.curriculum], arguments.progress).mixture
    for _ in range(arguments.documents):
        print(f"{draw_document(mixture, rng).text}\n{'-' * 40}")


if __name__ == "__main__":
    main()
