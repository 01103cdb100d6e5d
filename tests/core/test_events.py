from __future__ import annotations

import math

import pytest

from slmtui.core.events import MemoryPart, ProcessMemory, Timing, total_bytes


def test_speeds_are_steps_over_time() -> None:
    timing = Timing(prompt_tokens=512, prefill_s=0.5, generated_tokens=129, decode_steps=128, decode_s=2.0)
    assert timing.prefill_tps == 1024
    assert timing.decode_tps == 64


@pytest.mark.parametrize(
    "timing",
    [
        Timing(),
        Timing(prompt_tokens=5, decode_steps=5),
        Timing(prompt_tokens=5, prefill_s=0.0, decode_steps=5, decode_s=0.0),
        Timing(prompt_tokens=0, prefill_s=1.0, decode_steps=0, decode_s=1.0),
        Timing(prompt_tokens=5, prefill_s=-1.0, decode_steps=5, decode_s=-1.0),
        Timing(prompt_tokens=5, prefill_s=math.nan, decode_steps=5, decode_s=math.inf),
    ],
)
def test_a_speed_that_was_not_measured_is_none(timing: Timing) -> None:
    assert timing.prefill_tps is None
    assert timing.decode_tps is None


def test_latencies_are_the_times_between_tokens() -> None:
    assert Timing(token_at_s=(1.0, 1.5, 3.5)).itl_s == (0.5, 2.0)
    assert Timing(token_at_s=(1.0,)).itl_s == Timing().itl_s == ()


@pytest.mark.parametrize(
    ("memory", "charged"),
    [
        (ProcessMemory(rss_bytes=4, pss_bytes=3, uss_bytes=2, footprint_bytes=1), 1),
        (ProcessMemory(rss_bytes=4, pss_bytes=3, uss_bytes=2), 3),
        (ProcessMemory(rss_bytes=4, uss_bytes=2), 2),
        (ProcessMemory(rss_bytes=4), 4),
        (ProcessMemory(rss_bytes=4, footprint_bytes=0), 0),
        (ProcessMemory(), None),
    ],
)
def test_the_charged_memory_is_the_fairest_figure(memory: ProcessMemory, charged: int | None) -> None:
    assert memory.charged_bytes == charged


def test_parts_are_summed_by_kind() -> None:
    parts = (MemoryPart("weights", "CPU", 5), MemoryPart("weights", "CUDA0", 7), MemoryPart("compute", "CPU", 11))
    assert total_bytes(parts) == 23
    assert total_bytes(parts, "weights") == 12
    assert total_bytes(parts, "KV cache") == 0
    assert total_bytes(()) == 0


def test_the_larger_of_each_figure() -> None:
    first = ProcessMemory(rss_bytes=5, pss_bytes=1, gpu_bytes=0)
    second = ProcessMemory(rss_bytes=4, pss_bytes=3, uss_bytes=2)
    both = ProcessMemory(rss_bytes=5, pss_bytes=3, uss_bytes=2, gpu_bytes=0)
    assert first.at_least(second) == second.at_least(first) == both
    assert ProcessMemory().at_least(ProcessMemory()) == ProcessMemory()
