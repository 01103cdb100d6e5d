"""Scoring options in any engine: what is asked of each row of logits, and what a question's answer is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from slmtui.core.events import FailureKind, OptionScore, Scored
from slmtui.engine.backends import EngineError
from slmtui.engine.evaluator import damaged
from slmtui.engine.seams import Seam

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 1 << 20
"""Logits that become 64-bit numbers at once."""
_IMPOSSIBLE = -1e6
"""Stands for the logarithm of 0, which JSON has no number for."""


class OpenQuestion:
    """One question and what is known of its options so far."""

    def __init__(self, number: int, seam: Seam) -> None:
        self.number = number
        self.seam = seam
        self.left = len(seam.tokens)
        """Options that are not evaluated yet."""
        self.logprobs = [0.0] * self.left
        self.greedy = [True] * self.left

    def follows(self, trunk: Sequence[int]) -> bool:
        """Whether it begins with the trunk, and something is left to be evaluated before the options."""
        return len(trunk) < self.seam.start and all(each[: len(trunk)] == trunk for each in self.seam.tokens)

    def check_length(self, trained: int | None) -> None:
        """Refuse what is longer than the texts that the model was trained with; None where that is not known.

        Raises:
            EngineError: says by how much.
        """
        longest = max(map(len, self.seam.tokens))
        if trained and longest > trained:
            raise self.too_long(longest, f"the model was trained with {trained:,}")

    def too_long(self, tokens: int, limit: str) -> EngineError:
        """What to say when it takes so many tokens; `limit` says how many there may be."""
        return EngineError(
            FailureKind.CONTEXT_FULL,
            f"Question {self.number + 1} takes {tokens:,} tokens with its examples and options, and {limit}. "
            "Give fewer examples, or choose another model.",
        )

    def scored(self) -> Scored:
        """The event that tells of it."""
        seam = self.seam
        lengths = (len(tokens) - seam.start for tokens in seam.tokens)
        sizes = (len(option.strip().encode("utf-8", "replace")) for option in seam.options)
        options = map(OptionScore, self.logprobs, lengths, sizes, self.greedy)
        return Scored(index=self.number, prompt=seam.prompt, prompt_tokens=seam.start, options=tuple(options))


Asked: TypeAlias = tuple[OpenQuestion, int, int]
"""A question, one of its options, and a token of it whose probability a row of logits gives."""


def read_logits(logits: np.ndarray[tuple[int, int], np.dtype[np.float32]], asked: Sequence[Sequence[Asked]]) -> None:
    """Add what each row of logits says of what is asked of it.

    Raises:
        EngineError: the model's output is not a number.
    """
    import numpy as np

    step = max(1, _BLOCK // logits.shape[1])
    for first in range(0, len(asked), step):
        block = logits[first : first + step].astype(np.float64)
        best, top = block.argmax(axis=1), block.max(axis=1)
        total = top + np.log(np.exp(block - top[:, None]).sum(axis=1))
        if not np.isfinite(total).all():
            raise damaged()
        for row, each in enumerate(asked[first : first + step]):
            for question, option, token in each:
                question.logprobs[option] += max(_IMPOSSIBLE, float(block[row, token] - total[row]))
                question.greedy[option] &= bool(best[row] == token)
