"""What every engine evaluates with: tokens in, the cache, tokens drawn, steps that are timed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from slmtui.core.events import FailureKind
from slmtui.core.openings import shared
from slmtui.core.sampling import Sampling
from slmtui.engine.backends import Emit, EngineError


class CancelledError(Exception):
    """The person stopped the request."""


class Stop(Protocol):
    """A mark that the running request shall end."""

    def set(self) -> None:
        """Make it; callable from any thread."""
        ...

    def clear(self) -> None:
        """Take it away."""
        ...

    def is_set(self) -> bool:
        """Whether it is there."""
        ...


class Evaluator(Protocol):
    """The one context of an open model; engines inherit what they have in common.

    What evaluates raises `CancelledError` when the person stopped it, and `EngineError` when the engine could not.
    """

    cached: list[int]
    """The tokens that are in the cache."""
    size: int
    """Tokens that the context holds."""
    batch: int
    """Tokens that a benchmark's prefill submits at once."""
    micro_batch: int
    """Tokens between two looks at whether to stop."""
    stop: Stop

    def use_threads(self, threads: int | None) -> None:
        """Evaluate with so many threads from now on; None goes back to those that the model was loaded with."""
        ...

    def keep_prefix(self, tokens: list[int]) -> None:
        """Keep what the cache shares with a new prompt; the last token is always evaluated for its logits."""
        self.shorten(min(shared(self.cached, tokens), len(tokens) - 1))

    def hold(self, tokens: list[int]) -> int:
        """Have exactly these tokens in the cache and return how many of them had to be evaluated."""
        kept = shared(self.cached, tokens)
        if kept < len(self.cached):
            self.shorten(kept)
        missing = tokens[len(self.cached) :]
        self.prefill(missing, self.micro_batch, None)
        return len(missing)

    def shorten(self, length: int) -> None:
        """Keep the first `length` tokens of the cache, or none where the model cannot forget a part."""
        ...

    def clear(self) -> None:
        """Empty the cache."""
        ...

    def prefill(self, tokens: list[int], batch: int, emit: Emit | None, *, filling: bool = False) -> float:
        """Evaluate the tokens in batches and return the seconds until the engine is idle again.

        `filling` marks the progress as that of bringing the context to a depth.
        """
        ...

    def check_logits(self) -> None:
        """Look once at what a loaded model says after the tokens that were evaluated last.

        Raises:
            EngineError: it says nothing, or nothing that is a number.
        """
        ...

    def sampled(self, sampling: Sampling) -> Generator[int]:
        """Tokens drawn one after another, each put into the cache before the next one; they end with the context."""
        ...

    def stepped(self, tokens: Sequence[int]) -> Generator[float]:
        """Evaluate single tokens; yields when the engine had each one's logits, by `time.perf_counter`."""
        ...

    def check_stop(self) -> None:
        """Do nothing unless the request shall end."""
        if self.stop.is_set():
            raise CancelledError

    def reset_counted(self) -> None:
        """Set the engine's counters of time to zero."""
        ...

    def counted_s(self) -> float | None:
        """Seconds that the engine itself has counted in evaluations since the reset; None where it counts none."""
        ...


def damaged() -> EngineError:
    """What to say of a model whose logits are not numbers."""
    return EngineError(
        FailureKind.BAD_FILE,
        "The model's output is not a number: its weights are damaged. Download or copy the file again.",
    )
