"""Scoring options in MLX: what questions share is evaluated once, then each question, then each option after it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from slmtui.core.events import Done
from slmtui.core.openings import shared
from slmtui.engine.backends import Emit
from slmtui.engine.mlx_evaluate import Evaluator
from slmtui.engine.protocol import Score
from slmtui.engine.scoring import Asked, OpenQuestion, Scoring, read_logits
from slmtui.engine.template import Renderer
from slmtui.engine.vocabulary import Vocabulary


def score(evaluator: Evaluator, vocabulary: Vocabulary, renderer: Renderer | None, request: Score, emit: Emit) -> Done:
    """See `backends.Backend.score`."""
    return _Scoring(evaluator, emit).run(vocabulary, renderer, request)


class _Scoring(Scoring[Evaluator]):
    """A request question by question; what each adds to the trunk is forgotten before the next."""

    def _score(self, trunk: list[int], on: Sequence[OpenQuestion], off: Sequence[OpenQuestion]) -> None:
        for question in (*on, *off):
            self._check(question)
        self._total = len(trunk) - self._reused + sum(_size(question, len(trunk)) for question in on)
        self._total += sum(_size(question, 0) for question in off)
        started = time.perf_counter()
        self._note(self._evaluator.hold(trunk), time.perf_counter() - started)
        for question in on:
            with self._evaluator.branch():
                self._ask(question)
        for question in off:
            self._evaluator.clear()
            self._ask(question)

    def _check(self, question: OpenQuestion) -> None:
        """Refuse a question that is too long for the model or for the context.

        Raises:
            EngineError: says by how much.
        """
        question.check_length(self._evaluator.trained_size)
        longest, size = max(map(len, question.seam.tokens)), self._evaluator.size
        if longest > size:
            raise question.too_long(longest, f"the model was loaded with a context of {size:,}")

    def _ask(self, question: OpenQuestion) -> None:
        """Evaluate what the options share, then each of them after it, and emit what came of it."""
        tokens, stem = question.seam.tokens, _stem(question)
        self._read(question, range(question.seam.start - 1, stem), range(len(tokens)))
        for option, each in enumerate(tokens):
            if len(each) - 1 > stem:
                with self._evaluator.branch():
                    self._read(question, range(stem, len(each) - 1), [option])
        self._emit(question.scored())

    def _read(self, question: OpenQuestion, places: range, options: Sequence[int]) -> None:
        """Evaluate up to the last of these places, where the options are alike, and read what comes after each."""
        tokens = question.seam.tokens
        missing = tokens[options[0]][len(self._evaluator.cached) : places.stop]
        started = time.perf_counter()
        rows = self._evaluator.rows(missing, len(places))
        self._note(len(missing), time.perf_counter() - started)
        asked: list[list[Asked]] = [[(question, one, tokens[one][place + 1]) for one in options] for place in places]
        read_logits(rows, asked)


def _stem(question: OpenQuestion) -> int:
    """How many tokens all options have in common, short of the last one of each."""
    tokens = question.seam.tokens
    return min(min(shared(tokens[0], each), len(each) - 1) for each in tokens)


def _size(question: OpenQuestion, trunk: int) -> int:
    """Tokens to evaluate for a question after so many of the trunk."""
    stem = _stem(question)
    return stem - trunk + sum(len(each) - 1 - stem for each in question.seam.tokens)
