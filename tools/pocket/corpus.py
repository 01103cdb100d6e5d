"""Which documents training sees when: mixtures, curricula of mixtures, and batches drawn from them."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from chats import chat_document, story_document
from documents import Document
from tasks import (
    Task,
    category_task,
    draw_count,
    draw_layout,
    framed,
    list_document,
    lookup_task,
    one_turn_document,
    operation_task,
    pair_document,
    plain_list_document,
    sentiment_task,
    task_document,
)
from tokenizers import Tokenizer
from tokens import END_OF_TEXT, IGNORED, Encoder
from torch import Tensor
from torch.utils.data import Dataset
from words import TRAINING, Pool

Row = np.ndarray[tuple[int], np.dtype[np.int16]]


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
    one_turns: float = 0.0


KINDS = tuple(field.name for field in fields(Mixture))


@dataclass(frozen=True)
class Stage:
    """What holds until ``until``, a fraction of the training steps."""

    until: float
    mixture: Mixture
    look_back: bool = False
    """Whether the previous token is to be told as well (see ``model.Learner``)."""


LAST_MIXTURE = Mixture(
    chats=0.32, stories=0.03, lists=0.02, lookups=0.10, mappings=0.25, operations=0.08, one_turns=0.20
)
CURRICULA: dict[str, tuple[Stage, ...]] = {
    "chat": (Stage(1.0, Mixture(chats=0.88, stories=0.03, lists=0.04, lookups=0.02, mappings=0.01, operations=0.02)),),
    "in-context": (
        Stage(0.10, Mixture(chats=0.15, plain_lists=0.70, lists=0.15), look_back=True),
        Stage(0.18, Mixture(chats=0.20, plain_lists=0.20, lists=0.15, pairs=0.45), look_back=True),
        Stage(0.30, Mixture(chats=0.20, lists=0.10, pairs=0.20, lookups=0.40, mappings=0.10)),
        Stage(
            0.70,
            replace(LAST_MIXTURE, lists=0.05, pairs=0.05, lookups=0.15, mappings=0.30, one_turns=0.05),
        ),
        Stage(1.00, LAST_MIXTURE),
    ),
    "finish": (Stage(1.0, LAST_MIXTURE),),
}
"""Looking back is learned on lists first: without them accuracy stayed at chance for 10 M tokens."""


def stage_at(stages: tuple[Stage, ...], progress: float) -> Stage:
    """The stage that ``progress`` (0 to 1) falls into."""
    return next((stage for stage in stages if progress < stage.until), stages[-1])


def mapping_task(pool: Pool, rng: random.Random) -> Task:
    """Words or judgements with arbitrary labels."""
    task = category_task(pool, rng) if rng.random() < 0.75 else sentiment_task(pool, rng)
    return framed(task, rng) if rng.random() < 0.15 else task


def example_document(make_task: Callable[[Pool, random.Random], Task], pool: Pool, rng: random.Random) -> Document:
    """Examples of one task in one of the ways to write them."""
    return task_document(make_task(pool, rng), draw_layout(rng), rng, draw_count(rng))


def message_document(pool: Pool, rng: random.Random) -> Document:
    """A few examples and a question in one message of a chat."""
    make_task = mapping_task if rng.random() < 0.8 else lookup_task
    return one_turn_document(make_task(pool, rng), rng, rng.choice((2, 2, 2, 3, 3, 4, 4, 5, 6, 8)))


GENERATORS: dict[str, Callable[[Pool, random.Random], Document]] = {
    "chats": lambda pool, rng: chat_document(rng),
    "stories": lambda pool, rng: story_document(rng),
    "lists": list_document,
    "lookups": partial(example_document, lookup_task),
    "mappings": partial(example_document, mapping_task),
    "operations": partial(example_document, operation_task),
    "plain_lists": plain_list_document,
    "pairs": pair_document,
    "one_turns": message_document,
}


def draw_document(mixture: Mixture, rng: random.Random, pool: Pool = TRAINING) -> Document:
    """A random document of a kind that ``mixture`` chooses."""
    (kind,) = rng.choices(KINDS, weights=astuple(mixture))
    return GENERATORS[kind](pool, rng)


class PackedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batch number ``n`` of training, a function of seed and ``n`` alone, so that training resumes exactly.

    A batch is inputs and targets, both int16 of shape [rows, length]; rows are documents packed end to end.
    """

    def __init__(
        self, tokenizer: Tokenizer, stages: tuple[Stage, ...], batches: int, shape: tuple[int, int], seed: int
    ) -> None:
        """``batches`` is the length of the whole training, ``shape`` is (rows, length)."""
        self.encoder = Encoder(tokenizer)
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
        inputs, targets = zip(*(self._pack(mixture, rng) for _ in range(self.rows)), strict=True)
        return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))

    def _pack(self, mixture: Mixture, rng: random.Random) -> tuple[Row, Row]:
        """Inputs and targets of one row."""
        ids, targets = [END_OF_TEXT], [IGNORED]
        while len(ids) <= self.length:
            encoded = self.encoder.encode_document(draw_document(mixture, rng))
            ids += encoded.ids
            targets += encoded.targets
        return np.array(ids[: self.length], np.int16), np.array(targets[1 : self.length + 1], np.int16)


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
