"""Measures a checkpoint or GGUF file: loss by kind of document, and accuracy against shots."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from corpus import GENERATORS
from model import token_loss
from probes import PROBES, SHOTS, Reader, operation_questions, probe_questions
from tokens import DEFAULT_TOKENIZER, END_OF_TEXT, IGNORED, Encoder, load_tokenizer
from weights import load_model
from words import HELD_OUT, NEW_LABELS, TRAINING, Pool

POOLS = {"new-labels": NEW_LABELS, "held-out": HELD_OUT, "training": TRAINING}


@torch.no_grad()
def held_out_loss(reader: Reader, kind: str, pool: Pool, documents: int, length: int = 512) -> float:
    """Mean cross-entropy in nats per learned token over documents of one kind."""
    rng = random.Random(f"held-out:{kind}")
    device = reader.model.token_embd.weight.device
    total, count = 0.0, 0
    for _ in range(documents):
        encoded = reader.encoder.encode_document(GENERATORS[kind](pool, rng))
        inputs = torch.tensor([[END_OF_TEXT, *encoded.ids][:length]], device=device)
        targets = torch.tensor([encoded.targets[:length]], device=device)
        learned = int((targets != IGNORED).sum())
        if learned:
            total += token_loss(reader.model(inputs[:, : targets.shape[1]]), targets).item() * learned
        count += learned
    return total / count


def main() -> None:
    """Evaluate from the command line."""
    parser = argparse.ArgumentParser(description="Loss and in-context accuracy of a Pocket model.")
    parser.add_argument("checkpoint", type=Path, help="checkpoint or GGUF file")
    parser.add_argument("--pool", choices=POOLS, default="new-labels", help="words (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=150, help="per accuracy (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=100, help="per loss (default: %(default)s)")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="examples in the prompt")
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_TOKENIZER, help="tokenizer.json")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    arguments = parser.parse_args()
    reader = Reader(load_model(arguments.checkpoint, arguments.device), Encoder(load_tokenizer(arguments.tokenizer)))
    pool = POOLS[arguments.pool]
    for kind in GENERATORS if arguments.documents else ():
        print(f"loss on {kind}: {held_out_loss(reader, kind, pool, arguments.documents):.4f}", flush=True)
    for shots in arguments.shots:
        for name, probe in PROBES.items():
            accuracy = reader.accuracy(probe_questions(probe, pool, shots, arguments.questions))
            print(f"{name}, {shots} shots: {accuracy} chance {1 / probe.labels:.2f}", flush=True)
        operations = operation_questions(pool, shots, arguments.questions)
        print(f"operations, {shots} shots: {reader.greedy_accuracy(operations)}", flush=True)


if __name__ == "__main__":
    main()
