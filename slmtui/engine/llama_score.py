"""Scoring options in llama.cpp: what questions share is evaluated once, the rest as branches of it in few batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from slmtui.core.events import Done, FailureKind
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.llama_branches import Branches, Path, leaves, tree_size
from slmtui.engine.llama_evaluate import Evaluator
from slmtui.engine.protocol import Score
from slmtui.engine.scoring import Asked, OpenQuestion, Scoring, read_logits
from slmtui.engine.template import Renderer
from slmtui.engine.vocabulary import Vocabulary


def score(evaluator: Evaluator, vocabulary: Vocabulary, renderer: Renderer | None, request: Score, emit: Emit) -> Done:
    """See `backends.Backend.score`."""
    if not evaluator.branches:
        raise EngineError(FailureKind.BAD_REQUEST, "Scoring needs a model that was loaded with several sequences.")
    return _Scoring(evaluator, emit).run(vocabulary, renderer, request)


@dataclass(frozen=True)
class _Part:
    """Options of one question that are evaluated together."""

    question: OpenQuestion
    options: Sequence[int]
    paths: Sequence[Path]
    """Of each option: its tokens after the trunk but the last, which nothing follows."""
    size: int
    """Tokens to evaluate."""
    sequences: int


class _Scoring(Scoring[Evaluator]):
    """A request as waves of branches of its trunk."""

    def _score(self, trunk: list[int], on: Sequence[OpenQuestion], off: Sequence[OpenQuestion]) -> None:
        evaluator = self._evaluator
        self._room = evaluator.size - len(trunk)  # tokens that the cache can hold beside the trunk
        waves = [(begin, wave) for begin, some in ((len(trunk), on), (0, off)) for wave in self._waves(some, begin)]
        self._total = len(trunk) - self._reused + sum(part.size for _, wave in waves for part in wave)
        self._timed(partial(evaluator.hold, trunk), len(trunk) - self._reused)
        for begin, wave in waves:
            self._evaluate(begin, wave)

    # -- planning

    def _waves(self, questions: Sequence[OpenQuestion], trunk: int) -> Iterator[list[_Part]]:
        """Parts to evaluate together: as many as one micro-batch, the cache and the sequences have room for."""
        evaluator, wave = self._evaluator, list[_Part]()
        for part in (part for question in questions for part in self._parts(question, trunk)):
            size = sum(one.size for one in wave) + part.size
            sequences = sum(one.sequences for one in wave) + part.sequences
            if wave and (size > min(evaluator.micro_batch, self._room) or sequences > evaluator.branches):
                yield wave
                wave = []
            wave.append(part)
        if wave:
            yield wave

    def _parts(self, question: OpenQuestion, trunk: int) -> Iterator[_Part]:
        """The question's options, as many at a time as there are sequences for.

        Raises:
            EngineError: it is longer than the texts that the model was trained with, or than the context.
        """
        evaluator, tokens = self._evaluator, question.seam.tokens
        question.check_length(evaluator.trained_size)
        for first in range(0, len(tokens), evaluator.branches):
            options = range(first, min(first + evaluator.branches, len(tokens)))
            paths = [tuple(tokens[option][trunk:-1]) for option in options]
            size = tree_size(paths) if evaluator.couples else sum(map(len, leaves(paths)))
            if size > self._room:
                needed = evaluator.size - self._room + size
                raise question.too_long(needed, f"the model was loaded with a context of {evaluator.size:,}")
            yield _Part(question, options, paths, size, len(leaves(paths)))

    # -- evaluating

    def _evaluate(self, trunk: int, wave: Sequence[_Part]) -> None:
        """Evaluate one wave and emit the questions that it completes."""
        evaluator = self._evaluator
        branches = Branches(trunk, coupled=evaluator.couples)
        asked: dict[int, list[Asked]] = {}
        for part in wave:
            question, start = part.question, part.question.seam.start
            for option, places in zip(part.options, branches.add(part.paths), strict=True):
                for row, token in zip(places[start - 1 - trunk :], question.seam.tokens[option][start:], strict=True):
                    asked.setdefault(row, []).append((question, option, token))
        evaluator.branch(branches.sequences, trunk)
        for rows in _batches(len(branches.tokens), asked, evaluator.batch, evaluator.outputs):
            self._timed(partial(evaluator.evaluate_branches, branches, rows, asked.keys()), len(rows))
            if wanted := [asked[row] for row in rows if row in asked]:
                read_logits(evaluator.logits(len(wanted)), wanted)
        evaluator.unbranch(branches.sequences)
        for part in wave:
            part.question.left -= len(part.options)
            if not part.question.left:
                self._emit(part.question.scored())

    def _timed(self, evaluate: Callable[[], object], tokens: int) -> None:
        started = time.perf_counter()
        evaluate()
        self._note(tokens, time.perf_counter() - started)


def _batches(count: int, asked: Collection[int], most: int, outputs: int) -> Iterator[range]:
    """Rows in their order, cut so that none has more than `most` rows or more than `outputs` that are asked for."""
    first = wanted = 0
    for row in range(count):
        if row - first == most or (row in asked and wanted == outputs):
            yield range(first, row)
            first, wanted = row, 0
        wanted += row in asked
    if first < count:
        yield range(first, count)
