"""The figures of one answer, or of one repetition, while it runs."""

from __future__ import annotations

import itertools
import math

import msgspec

from slmtui.core.events import (
    AnyEvent,
    Done,
    EngineMemory,
    MemorySampled,
    Prefilled,
    ProcessMemory,
    Prompted,
    Repeated,
    StopReason,
    Timing,
    Tokens,
)

RECENT_TOKENS = 192
"""How many of the last tokens the speed curve looks back."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What is known so far; every time is the worker's own, never the reader's.

    While it runs the speeds are computed from progress and token times; once the ending has arrived they are
    the measured ones. None means not known yet.
    """

    cached_tokens: int = 0
    """Prompt tokens that were in the context already."""
    prefill_done: int = 0
    prefill_total: int = 0
    prefill_s: float | None = None
    tokens: int = 0
    first_at_s: float | None = None
    last_at_s: float | None = None
    recent_at_s: tuple[float, ...] = ()
    """When each of the last `RECENT_TOKENS` tokens was ready."""
    memory: ProcessMemory | None = None
    allocator: EngineMemory | None = None
    """The engine's own account of its memory, where it keeps one."""
    peak_rss_bytes: int | None = None
    timing: Timing | None = None
    """The measured times; None until the ending."""
    reason: StopReason | None = None

    @property
    def prefill_tps(self) -> float | None:
        """Prompt tokens per second of prefill, as far as it came."""
        if self.timing is not None:
            return self.timing.prefill_tps
        return _rate(self.prefill_done, self.prefill_s)

    @property
    def ttft_s(self) -> float | None:
        """Seconds from accepting the request to the first token."""
        if self.timing is not None:
            return self.timing.ttft_s
        return self.first_at_s

    @property
    def decode_tps(self) -> float | None:
        """Decode steps per second over the whole answer so far; the first token is not a step."""
        if self.timing is not None:
            return self.timing.decode_tps
        if self.first_at_s is None or self.last_at_s is None:
            return None
        return _rate(self.tokens - 1, self.last_at_s - self.first_at_s)

    def after(self, event: AnyEvent) -> Live:
        """What is known once `event` is; events that say nothing about speed or memory change nothing."""
        match event:
            case Prompted():
                return msgspec.structs.replace(
                    self, cached_tokens=event.cached_tokens, prefill_total=event.tokens - event.cached_tokens
                )
            case Prefilled(filling=False):
                return msgspec.structs.replace(
                    self, prefill_done=event.done, prefill_total=event.total, prefill_s=event.elapsed_s
                )
            case Tokens():
                return self._with_tokens(event)
            case MemorySampled():
                return msgspec.structs.replace(
                    self, memory=event.memory, peak_rss_bytes=event.peak_rss_bytes, allocator=event.engine
                )
            case Repeated():
                return msgspec.structs.replace(self, timing=event.timing)
            case Done():
                timing = event.timing or self.timing  # a measurement's times came with its repetitions
                return msgspec.structs.replace(self, timing=timing, reason=event.reason)
            case _:
                return self

    def speeds(self, bars: int) -> list[float]:
        """Speeds over the last tokens in tok/s, oldest first: at most `bars` groups of equally many steps."""
        steps = len(self.recent_at_s) - 1
        if steps < 1 or bars < 1:
            return []
        stride = math.ceil(steps / bars)
        marks = self.recent_at_s[::-stride][::-1]
        pairs = itertools.pairwise(marks)
        return [stride / (later - earlier) for earlier, later in pairs if later > earlier]

    def _with_tokens(self, event: Tokens) -> Live:
        if not event.at_s:
            return msgspec.structs.replace(self, tokens=self.tokens + event.count)
        return msgspec.structs.replace(
            self,
            tokens=self.tokens + event.count,
            first_at_s=event.at_s[0] if self.first_at_s is None else self.first_at_s,
            last_at_s=event.at_s[-1],
            recent_at_s=(*self.recent_at_s, *event.at_s)[-RECENT_TOKENS:],
        )


def _rate(count: int, seconds: float | None) -> float | None:
    return count / seconds if count > 0 and seconds is not None and seconds > 0 else None
