"""The llama.cpp engine: load, generate, measure and cancel with the low-level API."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slmtui.core.events import (
    Done,
    FailureKind,
    Inspected,
    Loaded,
    Loading,
    Prefilled,
    Prompted,
    Repeated,
    StopReason,
    Timing,
    Tokens,
)
from slmtui.core.sampling import Sampling, SamplingError, checked
from slmtui.core.stopping import StopMatcher
from slmtui.engine import llama_library
from slmtui.engine.answer import AnswerWriter, Preceded
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.gauge import page_cache_state, read_ahead
from slmtui.engine.llama_model import LoadCancelledError, OpenModel, check_budget, check_request, open_model
from slmtui.engine.llama_sampler import sampler_chain
from slmtui.engine.llama_text import TokenSource, Vocabulary, conversation_tokens, prompt_tokens
from slmtui.engine.protocol import Generate, Load, Measure
from slmtui.engine.template import Renderer

_EMIT_EVERY_S = 0.020
_EMIT_MEASURED_EVERY_S = 0.25
_READ_SHARE = 0.8
"""Share of the progress bar for reading a file that is not in memory yet."""
_ABORTED = 2


class CancelledError(Exception):
    """The person stopped the request."""


class LlamaCpp:
    """One model in llama.cpp; implements `backends.Backend`."""

    def __init__(self) -> None:
        self._bindings = llama_library.load()
        self._open: OpenModel | None = None
        self._vocabulary: Vocabulary | None = None
        self._renderer: Renderer | None = None
        self._cached: list[int] = []
        self._sound = False
        """Whether the open model's output was looked at once."""
        self._stop = llama_library.StopCell(self._bindings)
        self._one = (self._bindings.llama_token * 1)()
        self._one_batch = self._bindings.llama_batch_get_one(self._one, 1)

    # -- loading

    def load(self, request: Load, emit: Emit) -> Loaded | Inspected | Done:
        """See `backends.Backend.load`; the first `Loading` event carries the dry run."""
        check_request(request)
        started = time.perf_counter()
        dry, planned = open_model(request, dry=True)
        facts = dry.facts()
        dry.close()
        if request.inspect_only:
            return Inspected(facts=facts, planned=planned)
        check_budget(planned, request.memory_budget_bytes)
        emit(Loading(fraction=0.0, planned=planned))
        self.close()
        path, progress = Path(request.path), self._load_progress(emit)
        page_cache = page_cache_state(path)
        share = _READ_SHARE if page_cache != "warm" and _fits(path, request.memory_budget_bytes) else 0.0
        try:
            if share and not read_ahead(path, lambda fraction: progress(share * fraction)):
                return Done(reason=StopReason.CANCELLED)
            opened, memory = open_model(request, progress=lambda fraction: progress(share + (1 - share) * fraction))
        except LoadCancelledError:
            return Done(reason=StopReason.CANCELLED)
        except OSError as error:
            raise EngineError(
                FailureKind.BAD_FILE, f"The file cannot be read to its end: {error.strerror}. Copy it again."
            ) from error
        self._adopt(opened)
        load_s = time.perf_counter() - started
        return Loaded(facts=opened.facts(), load_s=load_s, memory=memory, page_cache=page_cache)

    def _load_progress(self, emit: Emit) -> Callable[[float], bool]:
        last = 0.0

        def progress(fraction: float) -> bool:
            nonlocal last
            now = time.perf_counter()
            if now - last >= _EMIT_EVERY_S or fraction >= 1:
                last = now
                emit(Loading(fraction=fraction))
            return not self._stop.is_set

        return progress

    def _adopt(self, opened: OpenModel) -> None:
        self._open = opened
        self._vocabulary = Vocabulary(opened.vocabulary)
        self._stop.attach(opened.context)
        template = opened.template()
        if template:
            vocabulary = self._vocabulary
            self._renderer = Renderer(template, vocabulary.written(vocabulary.bos), vocabulary.written(vocabulary.eos))
            self._renderer.warm_up()

    def close(self) -> None:
        """Free the model and end the template's process."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self._open is not None:
            self._open.close()
            self._open = None
        self._cached, self._sound = [], False

    # -- cancelling

    def cancel(self) -> None:
        """Stop at the next graph node, batch or token; callable from any thread."""
        self._stop.set()

    def reset(self) -> None:
        """Forget an earlier cancel."""
        self._stop.clear()

    # -- generating

    def generate(self, request: Generate, emit: Emit, accepted_s: float) -> Done:
        """See `backends.Backend.generate`."""
        opened, vocabulary = self._ready()
        try:
            sampling = checked(request.sampling)
        except SamplingError as error:
            raise EngineError(FailureKind.BAD_REQUEST, f"Sampling: {error}.") from None
        if request.prompt is not None:
            text, tokens = request.prompt, prompt_tokens(vocabulary, request.prompt)
        else:
            text, tokens = conversation_tokens(vocabulary, self._renderer, request.messages)
        if not tokens:
            raise EngineError(FailureKind.BAD_REQUEST, "The prompt is empty; write something.")
        size = self._bindings.llama_n_ctx(opened.context)
        if len(tokens) >= size:
            raise EngineError(
                FailureKind.CONTEXT_FULL,
                f"The prompt has {len(tokens):,} tokens and the context holds {size:,}, the answer included. "
                "Shorten the conversation, or load the model with a larger context.",
            )
        self._keep_prefix(tokens)
        cached = len(self._cached)
        tell = Preceded(emit, Prompted(text=text, tokens=len(tokens), cached_tokens=cached, seed=sampling.seed))
        writer = AnswerWriter(tell.emit, accepted_s, StopMatcher(request.stop))
        prefill_s: float | None = None
        try:
            prefill_s = self._prefill(tokens[cached:], tell.emit, self._bindings.llama_n_ubatch(opened.context))
            reason = self._decode(sampling, writer, ignore_end=request.ignore_end)
        except CancelledError:
            reason = StopReason.CANCELLED
        tell.release()
        writer.finish()
        return Done(reason=reason, timing=writer.timing(cached, len(tokens) - cached, prefill_s))

    def _keep_prefix(self, tokens: list[int]) -> None:
        """Keep what the cache shares with the new prompt; the last token is always evaluated for its logits."""
        shared = 0
        limit = min(len(self._cached), len(tokens) - 1)
        while shared < limit and self._cached[shared] == tokens[shared]:
            shared += 1
        self._shorten(shared)

    def _shorten(self, length: int) -> None:
        """Keep the first `length` tokens of the cache, or none."""
        if length and self._bindings.llama_memory_seq_rm(self._memory(), 0, length, -1):
            self._cached = self._cached[:length]
        else:
            self._clear()  # recurrent and some sliding-window models cannot forget a part

    def _prefill(self, tokens: list[int], emit: Emit | None, batch: int) -> float:
        """Evaluate the tokens in batches and return the seconds until the engine is idle again."""
        clock, total = time.perf_counter, len(tokens)
        started = clock()
        elapsed_s = 0.0
        for done in range(0, total, batch):
            self._evaluate(tokens[done : done + batch])
            last = done + batch >= total
            if last:
                self._bindings.llama_synchronize(self._context())
            elapsed_s = clock() - started  # read before anything is said, which takes time too
            if emit is not None:
                emit(Prefilled(done=min(done + batch, total), total=total, elapsed_s=elapsed_s))
        return elapsed_s

    def _decode(self, sampling: Sampling, writer: AnswerWriter, *, ignore_end: bool) -> StopReason:
        """Sample and evaluate token by token until something ends the answer."""
        bindings, vocabulary, context = self._bindings, self._ready()[1], self._context()
        if not self._sound:
            self._check_logits()
        chain = sampler_chain(bindings, sampling, vocabulary.size)
        room = bindings.llama_n_ctx(context) - len(self._cached)
        sample, ends, piece = bindings.llama_sampler_sample, vocabulary.ends, vocabulary.piece
        try:
            while True:
                token = sample(chain, context, -1)
                if not ignore_end and ends(token):
                    writer.end_token()
                    return StopReason.END
                writer.token(piece(token))
                if writer.stopped:
                    return StopReason.STOP_STRING
                if writer.count >= sampling.max_tokens:
                    return StopReason.LIMIT
                if room <= 0:
                    return StopReason.CONTEXT_FULL
                room -= 1
                self._evaluate_one(token)
        finally:
            bindings.llama_sampler_free(chain)

    def _check_logits(self) -> None:
        """Damaged weights give NaN, from which every sampler draws nonsense or aborts."""
        import numpy as np

        pointer = self._bindings.llama_get_logits_ith(self._context(), -1)
        if not pointer:
            raise EngineError(
                FailureKind.UNSUPPORTED_ARCHITECTURE,
                "This model does not say which token comes next, so it cannot continue a text. Choose another model.",
            )
        if np.isnan(np.ctypeslib.as_array(pointer, shape=(self._ready()[1].size,))).any():
            raise EngineError(
                FailureKind.BAD_FILE,
                "The model's output is not a number: its weights are damaged. Download or copy the file again.",
            )
        self._sound = True

    # -- measuring

    def measure(self, request: Measure, emit: Emit) -> Done:
        """See `backends.Backend.measure`; batches, tokens and synchronization are those of llama-bench."""
        opened, vocabulary = self._ready()
        _check_shape(request, self._bindings.llama_n_ctx(opened.context))
        draw = TokenSource(vocabulary, request.seed)
        try:
            for _ in range(request.repetitions):
                timing = self._repetition(request, draw, emit)
                emit(Repeated(timing=timing, warmup=request.warmup))
        except CancelledError:
            return Done(reason=StopReason.CANCELLED)
        finally:
            self._clear()
        return Done(reason=StopReason.COMPLETED)

    def _repetition(self, request: Measure, draw: TokenSource, emit: Emit) -> Timing:
        accepted = time.perf_counter()
        batch = self._bindings.llama_n_batch(self._context())
        self._clear()
        self._prefill(draw.tokens(request.depth, first=True), None, batch)
        prefill_s = ttft_s = None
        if request.prompt_tokens:
            prompt = draw.tokens(request.prompt_tokens, first=not request.depth)
            started = time.perf_counter()
            prefill_s = self._prefill(prompt, emit, batch)
            ttft_s = self._first_token(started)
        if request.generated_tokens and request.prompt_tokens:
            self._rewind(request.depth, draw)
        at, decode_s = self._timed_decode(request, draw, emit, accepted)
        return Timing(
            depth=request.depth,
            prompt_tokens=request.prompt_tokens,
            prefill_s=prefill_s,
            generated_tokens=request.generated_tokens,
            decode_steps=request.generated_tokens,
            decode_s=decode_s,
            ttft_s=ttft_s,
            token_at_s=tuple(at),
        )

    def _first_token(self, started: float) -> float:
        """Seconds from submitting the prompt to the first token's text, as a greedy chat would have it."""
        _, vocabulary = self._ready()
        chain = sampler_chain(self._bindings, Sampling(temperature=0), vocabulary.size)
        vocabulary.piece(self._bindings.llama_sampler_sample(chain, self._context(), -1))
        elapsed = time.perf_counter() - started
        self._bindings.llama_sampler_free(chain)
        return elapsed

    def _rewind(self, depth: int, draw: TokenSource) -> None:
        """Go back to `depth` tokens in the context."""
        self._shorten(depth)
        if len(self._cached) < depth:
            self._prefill(draw.tokens(depth, first=True), None, self._bindings.llama_n_batch(self._context()))

    def _timed_decode(
        self, request: Measure, draw: TokenSource, emit: Emit, accepted: float
    ) -> tuple[list[float], float | None]:
        """Evaluate single tokens, one timestamp each; nothing is sampled and little is said meanwhile."""
        if not request.generated_tokens:
            return [], None
        clock, synchronize, context = time.perf_counter, self._bindings.llama_synchronize, self._context()
        tokens = draw.tokens(request.generated_tokens, first=not request.depth)
        at: list[float] = []
        said = 0
        started = last_said = clock()
        for token in tokens:
            self._evaluate_one(token)
            synchronize(context)
            now = clock()
            at.append(now - accepted)
            if now - last_said >= _EMIT_MEASURED_EVERY_S:
                emit(Tokens(text="", count=len(at) - said, at_s=tuple(at[said:])))
                said, last_said = len(at), now
        return at, clock() - started

    # -- evaluating

    def _evaluate(self, tokens: list[int]) -> None:
        ids = (self._bindings.llama_token * len(tokens))(*tokens)  # must live until the call returns
        code = self._bindings.llama_decode(self._context(), self._bindings.llama_batch_get_one(ids, len(ids)))
        self._after(code, tokens)

    def _evaluate_one(self, token: int) -> None:
        self._one[0] = token
        self._after(self._bindings.llama_decode(self._context(), self._one_batch), [token])

    def _after(self, code: int, tokens: list[int]) -> None:
        """Note what is in the cache now, and turn llama_decode's return code into what happened."""
        if code == 0:
            self._cached += tokens
            if self._stop.is_set:
                raise CancelledError
            return
        if code == _ABORTED:
            self._shorten(len(self._cached))  # how much of an aborted batch is in the cache is unknown
            raise CancelledError
        if code == 1:
            raise EngineError(FailureKind.CONTEXT_FULL, "The context is full. Load the model with a larger one.")
        self._clear()
        why = llama_library.LOG.errors() or f"code {code}"
        raise EngineError(FailureKind.INTERNAL, f"llama.cpp could not evaluate a batch ({why}). Load the model again.")

    def _clear(self) -> None:
        self._bindings.llama_memory_clear(self._memory(), False)
        self._cached = []

    def _ready(self) -> tuple[OpenModel, Vocabulary]:
        if self._open is None or self._vocabulary is None:
            raise EngineError(FailureKind.BAD_REQUEST, "No model is loaded; load one first.")
        return self._open, self._vocabulary

    def _context(self) -> Any:
        return self._ready()[0].context

    def _memory(self) -> Any:
        return self._bindings.llama_get_memory(self._context())


def _fits(path: Path, budget_bytes: int | None) -> bool:
    """Whether the page cache can keep the whole file; reading a larger one would only push out its beginning."""
    return budget_bytes is None or path.stat().st_size <= budget_bytes


def _check_shape(request: Measure, size: int) -> None:
    """Refuse what does not fit into a context of `size` tokens.

    Raises:
        EngineError: names the figure.
    """
    for name in ("prompt_tokens", "generated_tokens", "depth", "repetitions"):
        if getattr(request, name) < 0:
            raise EngineError(FailureKind.BAD_REQUEST, f"{name} is {getattr(request, name)}; it must be 0 or more.")
    needed = request.depth + max(request.prompt_tokens, request.generated_tokens)
    if needed > size:
        raise EngineError(
            FailureKind.CONTEXT_FULL,
            f"This shape needs a context of {needed:,} tokens and the model was loaded with {size:,}. "
            "Load it with a larger context, or measure less.",
        )
