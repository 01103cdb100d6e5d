"""An answer being written: token bytes to text, stop strings, one timestamp a token, few events."""

from __future__ import annotations

import codecs
import time

from slmtui.core.events import AnyEvent, Timing, Tokens
from slmtui.core.stopping import StopMatcher
from slmtui.engine.backends import Emit
from slmtui.engine.protocol import EMIT_EVERY_S


class Preceded:
    """Passes events on; the first that comes is preceded by another that is ready before it.

    An event wakes the app, which then takes a core from a prefill that has just begun. Held back until the first batch
    has been evaluated, it comes with the prefill's own event.
    """

    def __init__(self, emit: Emit, first: AnyEvent) -> None:
        self._emit = emit
        self._first: AnyEvent | None = first

    def emit(self, event: AnyEvent) -> None:
        """Pass on, after the event that is held back."""
        self.release()
        self._emit(event)

    def release(self) -> None:
        """Emit the event that is held back, unless it was."""
        first, self._first = self._first, None
        if first is not None:
            self._emit(first)


class AnswerWriter:
    """Takes the bytes of each token when it is ready and emits `Tokens` events, at most one in `every_s`."""

    def __init__(self, emit: Emit, accepted_s: float, stops: StopMatcher, every_s: float = EMIT_EVERY_S) -> None:
        self._emit = emit
        self._accepted_s = accepted_s
        self._stops = stops
        self._every_s = every_s
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at: list[float] = []
        self._ended_s: float | None = None
        self._text = ""
        self._said = 0
        self._said_s = 0.0

    @property
    def count(self) -> int:
        """Tokens of the answer so far."""
        return len(self._at)

    @property
    def stopped(self) -> bool:
        """Whether a stop string came."""
        return self._stops.hit

    def token(self, piece: bytes) -> None:
        """Take the next token's bytes; what they complete is emitted now or with the next ones."""
        self._text += self._stops.feed(self._decoder.decode(piece))
        now = time.perf_counter()
        self._at.append(now - self._accepted_s)
        if now - self._said_s >= self._every_s:
            self._say(now)

    def end_token(self) -> None:
        """Note when the token that ended the answer was ready; it is a decode step but no part of the text."""
        self._ended_s = time.perf_counter() - self._accepted_s

    def finish(self) -> None:
        """Emit what is left, an incomplete character as U+FFFD."""
        self._text += self._stops.feed(self._decoder.decode(b"", final=True)) + self._stops.rest()
        if self._text or self._said < len(self._at):
            self._say(time.perf_counter())

    def timing(self, cached_tokens: int, evaluated_tokens: int, prefill_s: float | None) -> Timing:
        """The clock readings of the whole request; times are seconds since the request was accepted."""
        ready = [*self._at, self._ended_s] if self._ended_s is not None else self._at
        return Timing(
            depth=cached_tokens,
            prompt_tokens=evaluated_tokens,
            prefill_s=prefill_s,
            generated_tokens=len(self._at),
            decode_steps=max(0, len(ready) - 1),
            decode_s=ready[-1] - ready[0] if len(ready) > 1 else None,
            ttft_s=self._at[0] if self._at else None,
            token_at_s=tuple(self._at),
        )

    def _say(self, now: float) -> None:
        self._emit(Tokens(text=self._text, count=len(self._at) - self._said, at_s=tuple(self._at[self._said :])))
        self._text, self._said, self._said_s = "", len(self._at), now
