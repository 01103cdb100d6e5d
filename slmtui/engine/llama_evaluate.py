"""Evaluating tokens in the context of an open model: batches, single tokens, the cache, the engine's own clocks."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Sequence
from typing import TYPE_CHECKING

from slmtui.core.events import FailureKind, Prefilled
from slmtui.core.sampling import Sampling
from slmtui.engine import evaluator, llama_library, llama_steps
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.evaluator import CancelledError, damaged
from slmtui.engine.llama_branches import Branches
from slmtui.engine.llama_model import OpenModel
from slmtui.engine.llama_sampler import sampler_chain

if TYPE_CHECKING:
    import numpy as np

_ABORTED = 2
_TELL_EVERY_S = 0.1
"""How often it is told which single tokens were evaluated."""


class Evaluator(evaluator.Evaluator):
    """The one context of an open model in llama.cpp."""

    def __init__(self, opened: OpenModel, stop: llama_library.StopCell) -> None:
        self.bindings = opened.bindings
        self.context = opened.context
        self.cached: list[int] = []
        self.size = int(self.bindings.llama_n_ctx(self.context))
        self.batch = int(self.bindings.llama_n_batch(self.context))
        self.micro_batch = int(self.bindings.llama_n_ubatch(self.context))
        self.outputs = opened.outputs
        self._sound = False
        """Whether the model's output was looked at once."""
        self.branches = int(self.bindings.llama_n_seq_max(self.context)) - 1
        """Sequences beside the one of `cached`."""
        self.couples = not self.bindings.llama_model_is_recurrent(opened.model)
        """Whether a token may belong to several sequences."""
        self.trained_size = int(self.bindings.llama_model_n_ctx_train(opened.model)) or None
        self._words = int(self.bindings.llama_vocab_n_tokens(opened.vocabulary))
        self.stop = stop
        self._memory = self.bindings.llama_get_memory(self.context)
        self._window = int(self.bindings.llama_model_n_swa(opened.model))
        self._threads = self.bindings.llama_n_threads(self.context), self.bindings.llama_n_threads_batch(self.context)
        self._one = (self.bindings.llama_token * 1)()
        self._one_batch = self.bindings.llama_batch_get_one(self._one, 1)
        self._steps = llama_steps.compiled(self.bindings)
        stop.attach(self.context)

    def use_threads(self, threads: int | None) -> None:
        """See `evaluator.Evaluator.use_threads`."""
        decode, batch = self._threads if threads is None else (threads, threads)
        self.bindings.llama_set_n_threads(self.context, decode, batch)

    # -- the cache

    def shorten(self, length: int) -> None:
        """See `evaluator.Evaluator.shorten`."""
        if length and self._reaches(length) and self.bindings.llama_memory_seq_rm(self._memory, 0, length, -1):
            self.cached = self.cached[:length]
        else:
            self.clear()  # recurrent models cannot forget a part

    def _reaches(self, length: int) -> bool:
        """Whether the sliding window before that place is still in the cache, which keeps little more than one."""
        first = self.bindings.llama_memory_seq_pos_min(self._memory, 0)
        return self._window == 0 or 0 <= first <= max(0, length + 1 - self._window)

    def clear(self) -> None:
        """See `evaluator.Evaluator.clear`."""
        self.bindings.llama_memory_clear(self._memory, False)
        self.cached = []

    def branch(self, sequences: int, trunk: int) -> None:
        """Let sequences 1 to `sequences` go on from the cached tokens, or begin anew where `trunk` is 0."""
        for sequence in range(1, sequences + 1) if trunk else ():
            self.bindings.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)

    def unbranch(self, sequences: int) -> None:
        """Forget sequences 1 to `sequences`."""
        for sequence in range(1, sequences + 1):
            self.bindings.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    # -- evaluating

    def prefill(self, tokens: list[int], batch: int, emit: Emit | None, *, filling: bool = False) -> float:
        """See `evaluator.Evaluator.prefill`."""
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
        if code == 0 and not self.stop.is_set():
            self.cached.append(token)
        else:
            self._after(code, [token])

    def sampled(self, sampling: Sampling) -> Generator[int]:
        """See `evaluator.Evaluator.sampled`."""
        chain = sampler_chain(self.bindings, sampling, self._words)
        sample, context = self.bindings.llama_sampler_sample, self.context
        room = self.size - len(self.cached)
        try:
            while True:
                token = sample(chain, context, -1)
                yield token
                if room <= 0:
                    return
                room -= 1
                self.evaluate_one(token)
        finally:
            self.bindings.llama_sampler_free(chain)

    def stepped(self, tokens: Sequence[int]) -> Generator[float]:
        """See `evaluator.Evaluator.stepped`; where it can be, tokens are evaluated for a while and told then."""
        if self._steps is None:
            yield from self._stepped_by_python(tokens)
            return
        ids = (self.bindings.llama_token * len(tokens))(*tokens)
        done = 0
        while done < len(tokens):
            at, code = self._steps.run(self.context, ids, done, time.perf_counter() + _TELL_EVERY_S)
            self.cached += tokens[done : done + len(at)]
            done += len(at)
            yield from at
            if code != 0 or self.stop.is_set():
                self._after(code, [])

    def _stepped_by_python(self, tokens: Sequence[int]) -> Generator[float]:
        synchronize, context, clock = self.bindings.llama_synchronize, self.context, time.perf_counter
        for token in tokens:
            self.evaluate_one(token)
            synchronize(context)
            yield clock()

    def check_logits(self) -> None:
        """See `evaluator.Evaluator.check_logits`; every sampler draws nonsense from NaN, or aborts."""
        import numpy as np

        if self._sound:
            return
        pointer = self.bindings.llama_get_logits_ith(self.context, -1)
        if not pointer:
            raise EngineError(
                FailureKind.UNSUPPORTED_ARCHITECTURE,
                "This model does not say which token comes next, so it cannot continue a text. Choose another model.",
            )
        if np.isnan(np.ctypeslib.as_array(pointer, shape=(self._words,))).any():
            raise damaged()
        self._sound = True

    def evaluate_branches(self, branches: Branches, rows: range, wanted: Collection[int]) -> None:
        """Evaluate these rows until the engine is idle again, with the logits of those `wanted`.

        Raises:
            CancelledError: the person stopped it; the cache is empty then.
            EngineError: the engine could not.
        """
        batch, owner = branches.batch(self.bindings, rows, wanted)  # the owner must live until the call returns
        code = self.bindings.llama_decode(self.context, batch)
        del owner
        if code != 0 or self.stop.is_set():
            self.clear()
            self._after(code, [])
        self.bindings.llama_synchronize(self.context)

    def logits(self, rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """The logits of the last batch, one row for each that was wanted; they live until the next one."""
        import numpy as np

        pointer = self.bindings.llama_get_logits(self.context)
        return np.ctypeslib.as_array(pointer, shape=(rows, self._words))

    def _evaluate(self, tokens: list[int]) -> None:
        ids = (self.bindings.llama_token * len(tokens))(*tokens)  # must live until the call returns
        code = self.bindings.llama_decode(self.context, self.bindings.llama_batch_get_one(ids, len(ids)))
        self._after(code, tokens)

    def _after(self, code: int, tokens: list[int]) -> None:
        """Note what is in the cache now, and turn llama_decode's return code into what happened."""
        if code == 0:
            self.cached += tokens
            self.check_stop()
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
        """See `evaluator.Evaluator.reset_counted`."""
        self.bindings.llama_perf_context_reset(self.context)

    def counted_s(self) -> float:
        """See `evaluator.Evaluator.counted_s`.

        llama.cpp keeps two counters, one of single tokens and one of longer batches, and a prompt of one token is in
        the first; the sum is what one phase took.
        """
        counted = self.bindings.llama_perf_context(self.context)
        return float(counted.t_p_eval_ms + counted.t_eval_ms) / 1000
