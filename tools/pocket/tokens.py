"""Byte-level BPE of 2,048 tokens: loading and training it, and turning documents into ids and targets."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from documents import Document, Span
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT, TURN_START, TURN_END = 0, 1, 2
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
IGNORED = -100
"""Target that the loss skips (torch's default ``ignore_index``)."""

DEFAULT_TOKENIZER = Path(__file__).with_name("tokenizer.json")


@dataclass(frozen=True)
class EncodedDocument:
    """Token ids with, for each, the id to be learned there or ``IGNORED``."""

    ids: list[int]
    targets: list[int]


def load_tokenizer(path: Path = DEFAULT_TOKENIZER) -> Tokenizer:
    """Tokenizer in the file ``path`` (Hugging Face's tokenizer.json)."""
    return Tokenizer.from_file(str(path))


def learned_targets(ids: Sequence[int], offsets: Sequence[Span], learned: Sequence[Span] | None) -> list[int]:
    """Targets for ``ids``: those that touch a learned character span keep their id; None learns them all."""
    if learned is None:
        return list(ids)
    targets, index = [], 0
    for token, (start, end) in zip(ids, offsets, strict=True):
        while index < len(learned) and learned[index][1] <= start:
            index += 1
        targets.append(token if index < len(learned) and end > learned[index][0] else IGNORED)
    return targets


def encode_document(tokenizer: Tokenizer, document: Document) -> EncodedDocument:
    """Ids and targets of ``document``, closed by the end-of-text token."""
    encoding = tokenizer.encode(document.text)
    targets = learned_targets(encoding.ids, encoding.offsets, document.learned)
    # A document of which only parts are learned ends wherever its generator stopped: nothing to learn there.
    end = END_OF_TEXT if document.learned is None else IGNORED
    return EncodedDocument([*encoding.ids, END_OF_TEXT], [*targets, end])


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE with ``vocabulary`` entries, learned from ``texts``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    """Train a tokenizer on the corpus and write it."""
    from corpus import CURRICULA, draw_document, stage_at  # the corpus needs this module's constants

    parser = argparse.ArgumentParser(description="Train a byte-level BPE tokenizer on the Pocket corpus.")
    parser.add_argument("output", type=Path, help="tokenizer.json to write")
    parser.add_argument("--vocabulary", type=int, default=2048, help="entries (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=20_000, help="documents to read (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the documents (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    mixture = stage_at(CURRICULA["in-context"], 1.0).mixture
    texts = [draw_document(mixture, rng).text for _ in range(arguments.documents)]
    train_tokenizer(texts, arguments.vocabulary).save(str(arguments.output))


if __name__ == "__main__":
    main()
