"""Evaluating tokens in the context of an open model: batches, single tokens, the cache, the engine's own clocks."""

from __future__ import annotations

import time

from slmtui.core.events import FailureKind, Prefilled
from slmtui.engine import llama_library
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.llama_model import OpenModel

_ABORTED = 2


class CancelledError(Exception):
    """The person stopped the request."""


class Evaluator:
    """The one context of an open model; `cached` are the tokens that are in it."""

    def __init__(self, opened: OpenModel, stop: llama_library.StopCell) -> None:
        self.bindings = opened.bindings
        self.context = opened.context
        self.cached: list[int] = []
        self.size = int(self.bindings.llama_n_ctx(self.context))
        self.batch = int(self.bindings.llama_n_batch(self.context))
        self.micro_batch = int(self.bindings.llama_n_ubatch(self.context))
        self._stop = stop
        self._memory = self.bindings.llama_get_memory(self.context)
        self._window = int(self.bindings.llama_model_n_swa(opened.model))
        self._threads = self.bindings.llama_n_threads(self.context), self.bindings.llama_n_threads_batch(self.context)
        self._one = (self.bindings.llama_token * 1)()
        self._one_batch = self.bindings.llama_batch_get_one(self._one, 1)
        stop.attach(self.context)

    def use_threads(self, threads: int | None) -> None:
        """Evaluate with so many threads from now on; None goes back to those that the model was loaded with."""
        decode, batch = self._threads if threads is None else (threads, threads)
        self.bindings.llama_set_n_threads(self.context, decode, batch)

    # -- the cache

    def keep_prefix(self, tokens: list[int]) -> None:
        """Keep what the cache shares with a new prompt; the last token is always evaluated for its logits."""
        shared = 0
        limit = min(len(self.cached), len(tokens) - 1)
        while shared < limit and self.cached[shared] == tokens[shared]:
            shared += 1
        self.shorten(shared)

    def shorten(self, length: int) -> None:
        """Keep the first `length` tokens of the cache, or none."""
        if length and self._reaches(length) and self.bindings.llama_memory_seq_rm(self._memory, 0, length, -1):
            self.cached = self.cached[:length]
        else:
            self.clear()  # recurrent models cannot forget a part

    def _reaches(self, length: int) -> bool:
        """Whether the sliding window before that place is still in the cache, which keeps little more than one."""
        first = self.bindings.llama_memory_seq_pos_min(self._memory, 0)
        return self._window == 0 or 0 <= first <= max(0, length + 1 - self._window)

    def clear(self) -> None:
        """Empty the cache."""
        self.bindings.llama_memory_clear(self._memory, False)
        self.cached = []

    # -- evaluating

    def prefill(self, tokens: list[int], batch: int, emit: Emit | None, *, filling: bool = False) -> float:
        """Evaluate the tokens in batches and return the seconds until the engine is idle again.

        `filling` marks the progress as that of bringing the context to a depth.

        Raises:
            CancelledError: the person stopped it.
            EngineError: the engine could not.
        """
        clock, total = time.perf_counter, len(tokens)
        started = clock()
        elapsed_s = 0.0
        for done in range(0, total, batch):
            self._evaluate(tokens[done : done + batch])
            last = done + batch >= total
            if last:
                self.bindings.llama_synchronize(self.context)
            elapsed_s = clock() - started  # read before anything is said, which takes time too
            if emit is not None:
                emit(Prefilled(done=min(done + batch, total), total=total, elapsed_s=elapsed_s, filling=filling))
        return elapsed_s

    def evaluate_one(self, token: int) -> None:
        """Evaluate a single token; the engine may still be at it afterwards.

        Raises:
            CancelledError: the person stopped it.
            EngineError: the engine could not.
        """
        self._one[0] = token
        code = self.bindings.llama_decode(self.context, self._one_batch)
        if code == 0 and not self._stop.is_set:
            self.cached.append(token)
        else:
            self._after(code, [token])

    def _evaluate(self, tokens: list[int]) -> None:
        ids = (self.bindings.llama_token * len(tokens))(*tokens)  # must live until the call returns
        code = self.bindings.llama_decode(self.context, self.bindings.llama_batch_get_one(ids, len(ids)))
        self._after(code, tokens)

    def _after(self, code: int, tokens: list[int]) -> None:
        """Note what is in the cache now, and turn llama_decode's return code into what happened."""
        if code == 0:
            self.cached += tokens
            if self._stop.is_set:
                raise CancelledError
            return
        if code == _ABORTED:
            self.shorten(len(self.cached))  # how much of an aborted batch is in the cache is unknown
            raise CancelledError
        if code == 1:
            raise EngineError(FailureKind.CONTEXT_FULL, "The context is full. Load the model with a larger one.")
        self.clear()
        why = llama_library.LOG.errors() or f"code {code}"
        raise EngineError(FailureKind.INTERNAL, f"llama.cpp could not evaluate a batch ({why}). Load the model again.")

    # -- the engine's own clocks

    def reset_counted(self) -> None:
        """Set the engine's counters of time to zero."""
        self.bindings.llama_perf_context_reset(self.context)

    def counted_s(self) -> float:
        """Seconds that the engine itself has counted in evaluations since the reset.

        llama.cpp keeps two counters, one of single tokens and one of longer batches, and a prompt of one token is in
        the first; the sum is what one phase took.
        """
        counted = self.bindings.llama_perf_context(self.context)
        return float(counted.t_p_eval_ms + counted.t_eval_ms) / 1000
