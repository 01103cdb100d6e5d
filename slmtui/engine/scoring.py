"""Scoring options in any engine: what questions share, what is asked of each row of logits, and what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from slmtui.core.events import Done, FailureKind, OptionScore, Prefilled, Scored, StopReason, Timing
from slmtui.core.openings import shared, usual
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.evaluator import CancelledError, Evaluator, damaged
from slmtui.engine.protocol import Score
from slmtui.engine.seams import Seam, seams
from slmtui.engine.template import Renderer
from slmtui.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np

AnyEvaluator = TypeVar("AnyEvaluator", bound=Evaluator)
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


class Scoring(ABC, Generic[AnyEvaluator]):
    """One request: its trunk, its questions, and the clock over all evaluations."""

    def __init__(self, evaluator: AnyEvaluator, emit: Emit) -> None:
        self._evaluator = evaluator
        self._emit = emit
        self._reused = self._total = self._done = 0
        self._evaluated_s = 0.0

    def run(self, vocabulary: Vocabulary, renderer: Renderer | None, request: Score) -> Done:
        """See `backends.Backend.score`; the cache keeps what the questions share, for the next request."""
        evaluator, reason = self._evaluator, StopReason.COMPLETED
        try:
            found = seams(vocabulary, renderer, request.questions, evaluator.check_stop)
            questions = [OpenQuestion(number, seam) for number, seam in enumerate(found)]
            trunk = usual([seam.opening for seam in found]) if found else []
            self._reused = shared(evaluator.cached, trunk)
            evaluator.reset_counted()
            on = [question for question in questions if question.follows(trunk)]
            self._score(trunk, on, [question for question in questions if not question.follows(trunk)])
        except CancelledError:
            reason = StopReason.CANCELLED
        return Done(reason=reason, timing=self._timing())

    @abstractmethod
    def _score(self, trunk: list[int], on: Sequence[OpenQuestion], off: Sequence[OpenQuestion]) -> None:
        """Evaluate the trunk, the questions that go on from it, and those that leave it before its end.

        Raises:
            CancelledError: the person stopped it.
            EngineError: a question does not fit, or the engine could not.
        """

    def _note(self, evaluated: int, elapsed_s: float) -> None:
        """Count tokens that were evaluated in so many seconds, and say how far it is."""
        self._evaluated_s += elapsed_s
        self._done += evaluated
        if evaluated:
            self._emit(Prefilled(done=self._done, total=self._total, elapsed_s=self._evaluated_s))

    def _timing(self) -> Timing:
        """Tokens that were evaluated and the seconds that it took; no tokenizing, no reading of logits."""
        return Timing(
            depth=self._reused,
            prompt_tokens=self._done,
            prefill_s=self._evaluated_s if self._done else None,
            engine_prefill_s=self._evaluator.counted_s() if self._done else None,
        )
