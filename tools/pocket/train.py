"""Trains a Pocket model on a CPU or GPU; a pause does no harm, a kill costs what is not saved yet."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from corpus import CURRICULA, PackedBatches, stage_at
from model import SHAPES, Learner, ModelShape, PocketModel
from muon import StackedMuon
from probes import Examination
from tokens import DEFAULT_TOKENIZER, Encoder, load_tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from words import NEW_LABELS

WARM_UP_STEPS = 100
DECAY_FRACTION = 0.4
"""Last part of training, in which the learning rate falls linearly to ``FINAL_RATE`` of its value."""
FINAL_RATE = 0.02
LOOK_BACK_WEIGHT = 0.5
"""Weight of the loss on the previous token, in the stages that have it."""


Batch = tuple[Tensor, Tensor]
"""Inputs and targets."""


@dataclass(frozen=True)
class Settings:
    """What determines a training run; progress is counted in steps, never in time."""

    steps: int
    rows: int
    length: int
    curriculum: str
    seed: int
    muon_rate: float
    adam_rate: float

    @property
    def tokens_per_step(self) -> int:
        """Positions in a batch, learned or not."""
        return self.rows * self.length


class Progress:
    """Losses and speed since the last line that was printed."""

    def __init__(self, settings: Settings, step: int) -> None:
        """Begin at ``step``."""
        self._settings = settings
        self._step = step
        self._since = time.monotonic()
        self._losses: list[Tensor] = []

    def note(self, loss: Tensor) -> None:
        """Remember the loss of one step, without waiting for the device to know it."""
        self._losses.append(loss)

    def line(self, step: int) -> str:
        """Where training is, and the mean loss and speed since the last line."""
        loss = torch.stack(self._losses).mean().item()
        now = time.monotonic()
        speed = (step - self._step) * self._settings.tokens_per_step / (now - self._since)
        self._step, self._since, self._losses = step, now, []
        tokens = step * self._settings.tokens_per_step / 1e6
        return f"step {step}/{self._settings.steps} {tokens:.1f} M tokens loss {loss:.4f} {speed:.0f} tokens/s"


@dataclass
class Trainee:
    """A model in training, with its optimizers and the number of steps taken."""

    learner: Learner
    optimizers: list[torch.optim.Optimizer]
    step: int = 0


def make_optimizers(learner: Learner, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for hidden matrices, AdamW for the rest: AdamW alone needed 2.5 times the tokens."""
    hidden = [p for name, p in learner.named_parameters() if p.dim() > 1 and "blk" in name]
    chosen = {id(p) for p in hidden}
    others = [p for p in learner.parameters() if id(p) not in chosen]
    return [
        StackedMuon(hidden, lr=settings.muon_rate, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=settings.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def rate_factor(step: int, steps: int) -> float:
    """Learning rate at ``step`` as a share of its peak: linear warm-up, constant, linear decay."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    decay = min(1.0, (1 - step / steps) / DECAY_FRACTION)
    return warm_up * max(FINAL_RATE, decay)


def save_checkpoint(path: Path, trainee: Trainee, settings: Settings) -> None:
    """Write everything that going on needs; a kill while writing leaves the old file whole."""
    state = {
        "shape": asdict(trainee.learner.model.shape),
        "settings": asdict(settings),
        "step": trainee.step,
        "model": trainee.learner.model.state_dict(),
        "previous": trainee.learner.previous.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainee.optimizers],
        "random": torch.get_rng_state(),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def export_weights(path: Path, model: PocketModel) -> None:
    """Write ``model`` alone, its matrices as F16, as they are in the GGUF: a fifth of a checkpoint."""
    weights = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in model.state_dict().items()}
    partial = path.with_suffix(".partial")
    torch.save({"shape": asdict(model.shape), "model": weights}, partial)
    partial.replace(path)


def load_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Contents of a checkpoint: shape, settings, step, model, optimizers and torch's random state."""
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def start(shape: ModelShape, settings: Settings, device: str, weights: Path | None) -> Trainee:
    """A new trainee, with random weights or those of the checkpoint ``weights``."""
    torch.manual_seed(settings.seed)
    model = PocketModel(shape).to(device)
    if weights:
        model.load_state_dict(load_checkpoint(weights, device)["model"])
    learner = Learner(model).to(device)
    return Trainee(learner, make_optimizers(learner, settings))


def resume(path: Path, settings: Settings, device: str) -> Trainee:
    """The trainee that ``save_checkpoint`` wrote to ``path``."""
    state = load_checkpoint(path, device)
    model = PocketModel(ModelShape(**state["shape"])).to(device)
    model.load_state_dict(state["model"])
    learner = Learner(model).to(device)
    learner.previous.load_state_dict(state["previous"])
    trainee = Trainee(learner, make_optimizers(learner, settings), state["step"])
    for optimizer, saved in zip(trainee.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    torch.set_rng_state(state["random"].cpu())
    return trainee


def take_step(trainee: Trainee, inputs: Tensor, targets: Tensor, *, look_back: bool) -> Tensor:
    """Update the weights once; returns the loss on the next token in nats, on the device."""
    with torch.autocast(inputs.device.type, torch.bfloat16):
        loss, previous = trainee.learner(inputs, targets, look_back)
    total = loss if previous is None else loss + LOOK_BACK_WEIGHT * previous
    trainee.learner.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(trainee.learner.parameters(), 1.0)
    for optimizer in trainee.optimizers:
        optimizer.step()
    trainee.step += 1
    return loss.detach()


def train_steps(trainee: Trainee, settings: Settings, batches: Iterable[Batch], device: str) -> Iterator[Tensor]:
    """Train on ``batches``, giving the loss after each step."""
    trainee.learner.compile()  # halves the time of a step on a CPU
    peaks = (settings.muon_rate, settings.adam_rate)
    for batch in batches:
        factor = rate_factor(trainee.step, settings.steps)
        for optimizer, peak in zip(trainee.optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
        stage = stage_at(CURRICULA[settings.curriculum], trainee.step / settings.steps)
        inputs, targets = (part.to(device, non_blocking=True).long() for part in batch)
        yield take_step(trainee, inputs, targets, look_back=stage.look_back)


def load_batches(trainee: Trainee, settings: Settings, arguments: argparse.Namespace) -> Iterable[Batch]:
    """The batches that are still to come."""
    shape = (settings.rows, settings.length)
    stages = CURRICULA[settings.curriculum]
    dataset = PackedBatches(load_tokenizer(arguments.tokenizer), stages, settings.steps, shape, settings.seed)
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=range(trainee.step, settings.steps),
        num_workers=arguments.workers,
        pin_memory=arguments.device == "cuda",
    )


def run(trainee: Trainee, settings: Settings, arguments: argparse.Namespace) -> None:
    """Train until the last step, printing losses and accuracies and writing checkpoints."""
    progress = Progress(settings, trainee.step)
    examination = Examination(Encoder(load_tokenizer(arguments.tokenizer)), NEW_LABELS, arguments.questions)
    for loss in train_steps(trainee, settings, load_batches(trainee, settings, arguments), arguments.device):
        progress.note(loss)
        last = trainee.step == settings.steps
        if trainee.step % arguments.print_every == 0 or last:
            print(progress.line(trainee.step), flush=True)
        if arguments.questions and (trainee.step % arguments.examine_every == 0 or last):
            print(examination.line(trainee.learner.model), flush=True)
        if trainee.step % arguments.save_every == 0 or last:
            save_checkpoint(arguments.checkpoint, trainee, settings)
            if arguments.export:
                export_weights(arguments.export, trainee.learner.model)


def parse_arguments() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description="Train a Pocket model, or go on where CHECKPOINT stopped.")
    parser.add_argument("model", choices=SHAPES, help="size of a new training")
    parser.add_argument("checkpoint", type=Path, help="file to write, and to go on from if it exists")
    parser.add_argument("--curriculum", choices=CURRICULA, default="chat", help="documents (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4000, help="length of the whole training (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=8, help="rows in a batch (default: %(default)s)")
    parser.add_argument("--length", type=int, default=512, help="tokens in a row (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and documents (default: %(default)s)")
    parser.add_argument("--muon-rate", type=float, default=0.02, help="peak learning rate (default: %(default)s)")
    parser.add_argument("--adam-rate", type=float, default=3e-3, help="peak learning rate (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="checkpoint whose weights a new training starts from")
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_TOKENIZER, help="tokenizer.json")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches (default: %(default)s)")
    parser.add_argument("--print-every", type=int, default=50, help="steps (default: %(default)s)")
    parser.add_argument("--save-every", type=int, default=250, help="steps (default: %(default)s)")
    parser.add_argument("--export", type=Path, help="file to which the weights alone are written as well")
    parser.add_argument("--questions", type=int, default=0, help="per accuracy, in training (default: none)")
    parser.add_argument("--examine-every", type=int, default=500, help="steps (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Train from the command line."""
    arguments = parse_arguments()
    names = Settings.__dataclass_fields__
    settings = Settings(**{name: value for name, value in vars(arguments).items() if name in names})
    if arguments.checkpoint.exists():
        trainee = resume(arguments.checkpoint, settings, arguments.device)
    else:
        shape = replace(SHAPES[arguments.model], vocabulary=load_tokenizer(arguments.tokenizer).get_vocab_size())
        trainee = start(shape, settings, arguments.device, arguments.weights)
    print(f"{arguments.model}: {trainee.learner.model.parameter_count():,} parameters, step {trainee.step}", flush=True)
    run(trainee, settings, arguments)


if __name__ == "__main__":
    main()
