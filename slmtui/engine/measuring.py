"""Repetitions of a benchmark in any engine: batches, tokens and synchronization are those of llama-bench."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from slmtui.core.events import Done, Energy, FailureKind, Repeated, StopReason, Timing, Tokens
from slmtui.core.sampling import Sampling
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.evaluator import CancelledError, Evaluator
from slmtui.engine.meter import Meter
from slmtui.engine.protocol import Measure
from slmtui.engine.vocabulary import TokenSource, Vocabulary

_EMIT_EVERY_S = 0.25


def measure(evaluator: Evaluator, vocabulary: Vocabulary, meter: Meter | None, request: Measure, emit: Emit) -> Done:
    """See `backends.Backend.measure`; the cache is empty afterwards."""
    _check_shape(request, evaluator.size)
    repetition = _Repetition(evaluator, vocabulary, meter, request, emit)
    try:
        for _ in range(request.repetitions):
            timing = repetition.run()
            if request.prompt_tokens or request.generated_tokens:
                evaluator.check_logits()
            emit(Repeated(timing=timing, warmup=request.warmup))
    except CancelledError:
        return Done(reason=StopReason.CANCELLED)
    finally:
        evaluator.clear()
    return Done(reason=StopReason.COMPLETED)


class _Repetition:
    """Brings the context to its depth, times prefill, goes back to the depth unless told otherwise, times decode."""

    def __init__(
        self, evaluator: Evaluator, vocabulary: Vocabulary, meter: Meter | None, request: Measure, emit: Emit
    ) -> None:
        self._evaluator = evaluator
        self._vocabulary = vocabulary
        self._meter = meter
        self._request = request
        self._emit = emit
        self._draw = TokenSource(vocabulary, request.seed)
        self._accepted = 0.0
        self._filled = False

    def run(self) -> Timing:
        """One repetition with new tokens."""
        request, evaluator = self._request, self._evaluator
        self._accepted = time.perf_counter()
        depth_s = self._deepen()
        prefill_s = ttft_s = prefill_counted_s = prefill_j = None
        if request.prompt_tokens:
            prompt = self._draw.tokens(request.prompt_tokens, first=not request.depth)
            self._begin()
            started = time.perf_counter()
            prefill_s = evaluator.prefill(prompt, evaluator.batch, self._emit)
            ttft_s = self._first_token(started)
            prefill_counted_s, prefill_j = self._end()
            if request.generated_tokens and not request.after_prompt:
                depth_s += self._rewind()
        decode_s = decode_counted_s = decode_j = None
        at: list[float] = []
        if request.generated_tokens:
            tokens = self._draw.tokens(request.generated_tokens, first=not evaluator.cached)
            self._begin()
            at, decode_s = self._decode(tokens)
            decode_counted_s, decode_j = self._end()
        return Timing(
            depth=request.depth,
            prompt_tokens=request.prompt_tokens,
            prefill_s=prefill_s,
            generated_tokens=request.generated_tokens,
            decode_steps=request.generated_tokens,
            decode_s=decode_s,
            ttft_s=ttft_s,
            token_at_s=tuple(at),
            depth_s=depth_s if request.depth else None,
            engine_prefill_s=prefill_counted_s,
            engine_decode_s=decode_counted_s,
            energy=self._energy(prefill_j, decode_j),
        )

    def _deepen(self) -> float:
        """Bring the context to its depth, as llama-bench does: filled once, then gone back to; returns seconds."""
        if self._filled:
            return self._rewind()
        self._evaluator.clear()
        filled_s = self._fill()
        self._filled = self._request.depth > 0
        return filled_s

    def _fill(self) -> float:
        """Bring an empty context to its depth, in small batches to be seen and stopped; returns seconds."""
        started = time.perf_counter()
        tokens = self._draw.tokens(self._request.depth, first=True)
        self._evaluator.prefill(tokens, self._evaluator.micro_batch, self._emit, filling=True)
        return time.perf_counter() - started

    def _rewind(self) -> float:
        """Go back to the depth and return the seconds it took; what cannot forget a part is filled anew."""
        started = time.perf_counter()
        self._evaluator.shorten(self._request.depth)
        if len(self._evaluator.cached) < self._request.depth:
            self._fill()
        return time.perf_counter() - started

    def _first_token(self, started: float) -> float:
        """Seconds from submitting the prompt to the first token's text, as a greedy chat would have it."""
        with closing(self._evaluator.sampled(Sampling(temperature=0))) as tokens:
            self._vocabulary.piece(next(tokens))
            return time.perf_counter() - started

    def _decode(self, tokens: Sequence[int]) -> tuple[list[float], float]:
        """Evaluate single tokens, one timestamp each; nothing is sampled and little is said meanwhile."""
        accepted, at, said = self._accepted, list[float](), 0
        with closing(self._evaluator.stepped(tokens)) as steps:
            started = last_said = now = time.perf_counter()
            for now in steps:
                at.append(now - accepted)
                if now - last_said >= _EMIT_EVERY_S:
                    self._emit(Tokens(text="", count=len(at) - said, at_s=tuple(at[said:])))
                    said, last_said = len(at), now
            return at, now - started

    # -- what else counts a phase

    def _begin(self) -> None:
        if self._meter is not None:
            self._meter.start()
        self._evaluator.reset_counted()

    def _end(self) -> tuple[float | None, float | None]:
        """Seconds by the engine's counters and joules by the meter since the phase began."""
        counted_s = self._evaluator.counted_s()
        return counted_s, self._meter.joules() if self._meter is not None else None

    def _energy(self, prefill_j: float | None, decode_j: float | None) -> Energy | None:
        if self._meter is None or (prefill_j is None and decode_j is None):
            return None
        return Energy(meter=self._meter.name, prefill_j=prefill_j, decode_j=decode_j)


def _check_shape(request: Measure, size: int) -> None:
    """Refuse what does not fit into a context of `size` tokens.

    Raises:
        EngineError: names the figure.
    """
    for name in ("prompt_tokens", "generated_tokens", "depth", "repetitions"):
        if getattr(request, name) < 0:
            raise EngineError(FailureKind.BAD_REQUEST, f"{name} is {getattr(request, name)}; it must be 0 or more.")
    needed = request.context_needed
    if needed > size:
        raise EngineError(
            FailureKind.CONTEXT_FULL,
            f"This shape needs a context of {needed:,} tokens and the model was loaded with {size:,}. "
            "Load it with a larger context, or measure less.",
        )
