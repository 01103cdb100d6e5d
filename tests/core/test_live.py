from __future__ import annotations

import pytest

from slmtui.core.events import (
    AnyEvent,
    Done,
    Loading,
    MemorySampled,
    Prefilled,
    ProcessMemory,
    Prompted,
    Repeated,
    StopReason,
    Timing,
    Tokens,
)
from slmtui.core.live import RECENT_TOKENS, Live


def after(*events: AnyEvent) -> Live:
    live = Live()
    for event in events:
        live = live.after(event)
    return live


def test_nothing_is_known_before_the_first_event() -> None:
    live = Live()
    assert (live.prefill_tps, live.ttft_s, live.decode_tps, live.memory) == (None, None, None, None)
    assert live.speeds(10) == []


def test_prefill_speed_follows_progress() -> None:
    live = after(Prompted(text="x", tokens=100, cached_tokens=36), Prefilled(done=16, total=64, elapsed_s=0.5))
    assert live.prefill_tps == 32
    assert (live.prefill_done, live.prefill_total, live.cached_tokens) == (16, 64, 36)
    assert live.ttft_s is None


def test_filling_a_depth_is_no_prefill() -> None:
    live = after(Prefilled(done=4096, total=8192, elapsed_s=2.0, filling=True))
    assert live == Live()
    assert live.after(Prefilled(done=64, total=64, elapsed_s=0.5)).prefill_tps == 128


def test_the_first_token_belongs_to_prefill() -> None:
    first = after(Tokens(text="a", count=1, at_s=(0.2,)))
    assert first.ttft_s == 0.2
    assert first.decode_tps is None
    third = first.after(Tokens(text="bc", count=2, at_s=(0.3, 0.4)))
    assert third.tokens == 3
    assert third.decode_tps == pytest.approx(10)


def test_the_measured_times_replace_the_live_ones() -> None:
    timing = Timing(prompt_tokens=10, prefill_s=0.1, decode_steps=9, decode_s=0.3, ttft_s=0.15)
    tokens = Tokens(text="a", count=1, at_s=(0.2,))
    completed = Done(reason=StopReason.COMPLETED)
    for ending in ((Done(reason=StopReason.END, timing=timing),), (Repeated(timing=timing), completed)):
        live = after(tokens, *ending)
        assert live.prefill_tps == pytest.approx(100)
        assert live.decode_tps == pytest.approx(30)
        assert live.ttft_s == 0.15


def test_memory_is_the_newest_sample() -> None:
    live = after(
        MemorySampled(at_s=0.1, memory=ProcessMemory(pss_bytes=1)),
        MemorySampled(at_s=0.3, memory=ProcessMemory(pss_bytes=2), peak_rss_bytes=9),
        Loading(fraction=0.5),
    )
    assert live.memory == ProcessMemory(pss_bytes=2)
    assert live.peak_rss_bytes == 9


def test_speeds_are_grouped_to_the_bars_there_is_room_for() -> None:
    slow = tuple(index * 0.1 for index in range(11))
    fast = tuple(1.0 + index * 0.01 for index in range(1, 11))
    live = after(Tokens(text="", count=21, at_s=slow + fast))
    assert live.speeds(2) == pytest.approx([10, 100])
    assert len(live.speeds(20)) == 20
    assert live.speeds(0) == []


def test_the_curve_looks_back_only_so_far() -> None:
    live = Live()
    for index in range(3 * RECENT_TOKENS):
        live = live.after(Tokens(text="a", count=1, at_s=(index * 0.01,)))
    assert len(live.recent_at_s) == RECENT_TOKENS
    assert live.tokens == 3 * RECENT_TOKENS
