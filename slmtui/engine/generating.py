"""An answer of any engine: prompt, prefill, tokens until something ends it, and what each phase took."""

from __future__ import annotations

from contextlib import closing

from msgspec.structs import replace

from slmtui.core.events import Done, FailureKind, Prompted, StopReason
from slmtui.core.sampling import Sampling, SamplingError, checked
from slmtui.core.stopping import StopMatcher
from slmtui.engine.answer import AnswerWriter, Preceded
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.evaluator import CancelledError, Evaluator
from slmtui.engine.prompts import check_prompt, conversation_tokens, prompt_tokens
from slmtui.engine.protocol import Generate
from slmtui.engine.template import Renderer
from slmtui.engine.vocabulary import Vocabulary


def generate(
    evaluator: Evaluator,
    vocabulary: Vocabulary,
    renderer: Renderer | None,
    request: Generate,
    emit: Emit,
    accepted_s: float,
) -> Done:
    """See `backends.Backend.generate`."""
    try:
        sampling = checked(request.sampling)
    except SamplingError as error:
        raise EngineError(FailureKind.BAD_REQUEST, f"Sampling: {error}.") from None
    if request.prompt is not None:
        text, tokens = request.prompt, prompt_tokens(vocabulary, request.prompt)
    else:
        text, tokens = conversation_tokens(vocabulary, renderer, request.messages)
    check_prompt(tokens, evaluator.size)
    evaluator.use_threads(request.threads)
    evaluator.keep_prefix(tokens)
    cached = len(evaluator.cached)
    tell = Preceded(emit, Prompted(text=text, tokens=len(tokens), cached_tokens=cached, seed=sampling.seed))
    stops = StopMatcher(request.stop, after_text=request.stop_after_text)
    writer = AnswerWriter(tell.emit, accepted_s, stops, request.emit_every_s)
    prefill_s = prefill_counted_s = None
    evaluator.reset_counted()
    try:
        prefill_s = evaluator.prefill(tokens[cached:], evaluator.micro_batch, tell.emit)
        prefill_counted_s = evaluator.counted_s()
        reason = _decode(evaluator, vocabulary, sampling, writer, ignore_end=request.ignore_end)
    except CancelledError:
        reason = StopReason.CANCELLED
    tell.release()
    writer.finish()
    timing = writer.timing(cached, len(tokens) - cached, prefill_s)
    counted_s = evaluator.counted_s()
    if prefill_counted_s is not None and counted_s is not None:
        decode_counted_s = counted_s - prefill_counted_s if timing.decode_steps else None
        timing = replace(timing, engine_prefill_s=prefill_counted_s, engine_decode_s=decode_counted_s)
    return Done(reason=reason, timing=timing)


def _decode(
    evaluator: Evaluator, vocabulary: Vocabulary, sampling: Sampling, writer: AnswerWriter, *, ignore_end: bool
) -> StopReason:
    """Take token by token until something ends the answer."""
    evaluator.check_logits()
    ends, piece, most = vocabulary.ends, vocabulary.piece, sampling.max_tokens
    with closing(evaluator.sampled(sampling)) as tokens:
        for token in tokens:
            if not ignore_end and ends(token):
                writer.end_token()
                return StopReason.END
            writer.token(piece(token))
            if writer.stopped:
                return StopReason.STOP_STRING
            if writer.count >= most:
                return StopReason.LIMIT
    return StopReason.CONTEXT_FULL
