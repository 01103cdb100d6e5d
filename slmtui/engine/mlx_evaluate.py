"""Evaluating tokens in an open MLX model: batches, steps, the prompt cache.

Nothing is timed before it is evaluated: MLX only notes what to do until somebody asks for a result.
"""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from slmtui.core.events import Prefilled
from slmtui.core.sampling import Sampling
from slmtui.engine import evaluator
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.evaluator import damaged
from slmtui.engine.mlx_checks import evaluation_failure
from slmtui.engine.mlx_model import RAISED_BY_MODELS, OpenModel
from slmtui.engine.mlx_sampler import Sampler

if TYPE_CHECKING:
    import numpy as np

_TIDY_TOKENS = 256
"""Tokens after which freed buffers go back to the system, as mlx-lm does; MLX keeps them otherwise."""


class Evaluator(evaluator.Evaluator):
    """The one context of an open model in MLX."""

    def __init__(self, opened: OpenModel, stop: Event) -> None:
        self._model: Any = opened.model
        self.stop = stop
        self.size = opened.context_size
        self.batch = min(opened.request.batch, self.size)
        self.micro_batch = min(opened.request.micro_batch, self.batch)
        self.trained_size = opened.trained_context
        self.cached: list[int] = []
        self._together = opened.together
        self._ahead = opened.device != "cpu"
        """Whether a step is begun before the one before it is read. A processor is not idle in between, and MLX comes
        back from beginning a step there when it is nearly done, so that a token would be read a whole step late."""
        self._cache: Any = make_prompt_cache(self._model)
        self._logits: Any = None
        """After the last token of a prefill, or of steps that nothing is drawn from."""
        self._sound = False
        """Whether the model's output was looked at once."""

    def use_threads(self, threads: int | None) -> None:
        """See `evaluator.Evaluator.use_threads`; how many MLX uses cannot be set."""

    # -- the cache

    def shorten(self, length: int) -> None:
        """See `evaluator.Evaluator.shorten`."""
        surplus = len(self.cached) - length
        if length and surplus and can_trim_prompt_cache(self._cache):
            trim_prompt_cache(self._cache, surplus)
            self.cached = self.cached[:length]
        elif surplus or not length:
            self.clear()

    def clear(self) -> None:
        """See `evaluator.Evaluator.clear`."""
        self._cache, self._logits, self.cached = make_prompt_cache(self._model), None, []

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Come back to the tokens that are cached now, whatever the block evaluates."""
        cached = list(self.cached)
        forgets = all(type(cache) is KVCache for cache in self._cache)
        kept = None if forgets else copy.deepcopy(self._cache)
        try:
            yield
        finally:
            if kept is not None:
                self._cache, self.cached = kept, cached
            elif len(self.cached) > len(cached):  # a failure has emptied it
                self.shorten(len(cached))

    # -- evaluating

    def prefill(self, tokens: list[int], batch: int, emit: Emit | None, *, filling: bool = False) -> float:
        """See `evaluator.Evaluator.prefill`."""
        clock, total = time.perf_counter, len(tokens)
        started = clock()
        elapsed_s = 0.0
        for done in range(0, total, batch):
            self._take(tokens[done : done + batch], logits=done + batch >= total)
            elapsed_s = clock() - started  # read before anything is said, which takes time too
            if emit is not None:
                emit(Prefilled(done=min(done + batch, total), total=total, elapsed_s=elapsed_s, filling=filling))
            mx.clear_cache()
            self.check_stop()
        return elapsed_s

    def check_logits(self) -> None:
        """See `evaluator.Evaluator.check_logits`."""
        if not self._sound and bool(mx.isnan(self._logits).any()):
            raise damaged()
        self._sound = True

    def sampled(self, sampling: Sampling) -> Generator[int]:
        """See `evaluator.Evaluator.sampled`; from the second token on, a GPU works one step ahead."""
        sampler = Sampler(sampling)
        with self._failing():
            token = sampler(self._logits)
            value = int(token)
        yield value
        most = min(self.size - len(self.cached), sampling.max_tokens - 1)
        coming: Any = None
        try:
            for left in reversed(range(most)):
                token = self._step(token, sampler) if coming is None else coming
                self.cached.append(value)
                coming = self._step(token, sampler) if left and self._ahead else None
                with self._failing():
                    value = int(token)
                if left % _TIDY_TOKENS == 0:
                    mx.clear_cache()
                self.check_stop()
                yield value
        finally:
            if coming is not None and self.cached:
                self.cached.append(value)
                mx.synchronize()

    def stepped(self, tokens: Sequence[int]) -> Generator[float]:
        """See `evaluator.Evaluator.stepped`; a GPU works one step ahead, and for a processor the next one is noted."""
        coming: Any = None
        try:
            for token in tokens:
                with self._failing():
                    logits = self._model(mx.array([[token]]), cache=self._cache)
                    if self._ahead:
                        mx.async_eval(logits)
                    self.cached.append(token)
                    if coming is not None:
                        mx.eval(coming)
                if coming is not None:
                    self.check_stop()
                    yield time.perf_counter()
                coming = logits
                if not self._ahead:
                    with self._failing():
                        mx.async_eval(coming)
            if coming is not None:
                with self._failing():
                    mx.eval(coming)
                self._logits = coming[0, -1]
                yield time.perf_counter()
        finally:
            mx.synchronize()

    def rows(self, tokens: list[int], wanted: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Evaluate the tokens after the cached ones and return the logits after each of the last `wanted`.

        Raises:
            CancelledError: the person stopped it.
            EngineError: the engine could not.
        """
        import numpy as np

        together = max(wanted, self._together)  # others than those wanted are computed too
        self.hold([*self.cached, *tokens[:-together]])
        self.check_stop()
        with self._failing():
            logits = self._model(mx.array([tokens[-together:]]), cache=self._cache)[0, -wanted:].astype(mx.float32)
            mx.eval(logits)
        self.cached = [*self.cached, *tokens[-together:]]
        return np.array(logits)

    def _take(self, tokens: list[int], *, logits: bool) -> None:
        """Evaluate the tokens and wait for it; the logits after the last one are kept, others are never computed."""
        for first in range(0, len(tokens), self._together):
            self.check_stop()
            end = first + self._together
            self._evaluate(tokens[first:end], logits=logits and end >= len(tokens))

    def _evaluate(self, tokens: list[int], *, logits: bool) -> None:
        before = tokens[:-1] if logits else tokens
        with self._failing():
            if before:
                self._model(mx.array([before]), cache=self._cache)
            self._logits = self._model(mx.array([tokens[-1:]]), cache=self._cache)[0, -1] if logits else None
            mx.eval([cache.state for cache in self._cache], self._logits)
        self.cached = [*self.cached, *tokens]

    def _step(self, token: Any, sampler: Sampler) -> Any:
        """Have one token evaluated and the next one drawn, and wait for neither."""
        with self._failing():
            following = sampler(self._model(token.reshape(1, 1), cache=self._cache)[0, -1])
            mx.async_eval(following)
        return following

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn what MLX raises into what a person can act on; the cache is empty then.

        Raises:
            EngineError: MLX could not.
        """
        try:
            yield
        except RAISED_BY_MODELS as error:
            self.clear()
            raise EngineError(*evaluation_failure(error)) from error

    def close(self) -> None:
        """Give the memory of model and cache back."""
        self._model = self._cache = self._logits = None
        gc.collect()
        mx.clear_cache()

    # -- the engine's own clocks

    def reset_counted(self) -> None:
        """See `evaluator.Evaluator.reset_counted`; MLX counts nothing."""

    def counted_s(self) -> float | None:
        """See `evaluator.Evaluator.counted_s`."""
        return None
