from __future__ import annotations

import msgspec
import pytest
from textual.app import App, ComposeResult

from slmtui.core.events import EngineMemory, MemoryPart, MemorySampled, Prefilled, ProcessMemory, Prompted, Tokens
from slmtui.core.live import Live
from slmtui.ui.widgets.bars import bar
from slmtui.ui.widgets.meter import Meter, Phase, Reading, StopSign, activity, figures, memory_words
from tests.ui.steps import steered

MIB = 1024**2
RUNNING = (
    Live()
    .after(Prompted(text="x", tokens=64, cached_tokens=0))
    .after(Prefilled(done=64, total=64, elapsed_s=0.05))
    .after(Tokens(text="abc", count=3, at_s=(0.06, 0.08, 0.10)))
    .after(MemorySampled(at_s=0.1, memory=ProcessMemory(pss_bytes=40 * MIB, rss_bytes=55 * MIB)))
)


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.meter = Meter()
        self.stopped = 0

    def compose(self) -> ComposeResult:
        yield self.meter

    def on_meter_stop_clicked(self) -> None:
        self.stopped += 1


@pytest.mark.parametrize("width", [36, 44, 58, 120])
def test_figures_fit_their_width(width: int) -> None:
    for live in (Live(), RUNNING):
        lines = figures(live, width).plain.split("\n")
        assert len(lines) == 2
        assert all(len(line) <= width for line in lines)


def test_figures_show_all_four() -> None:
    text = figures(RUNNING, 36).plain
    for figure in ("1,280 tok/s", "60 ms", "50.0 tok/s", "40 MiB"):
        assert figure in text


@pytest.mark.parametrize("width", [36, 44, 58, 120])
def test_video_memory_stands_beside_main_memory_where_there_is_room(width: int) -> None:
    memory = ProcessMemory(pss_bytes=40 * MIB, gpu_bytes=1200 * MIB)
    shown = figures(msgspec.structs.replace(RUNNING, memory=memory), width).plain
    assert all(len(line) <= width for line in shown.split("\n"))
    assert ("40 MiB + 1.17 GiB GPU" in shown) == (width >= 66)


def test_what_is_not_known_is_a_dash() -> None:
    assert figures(Live(), 60).plain.count("—") == 4


def test_first_token_counts_up_while_the_prompt_is_read() -> None:
    live = Live().after(Prefilled(done=8, total=64, elapsed_s=0.5))
    assert "> 0.5 s" in figures(live, 60).plain
    assert "16.0 tok/s" in figures(live, 60).plain


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("loading", "25 %"),
        ("ready", "loaded in 30 ms"),
        ("prefill", "64 of 64"),
        ("decoding", "3 tok"),
        ("stopped", "3 tok"),
        ("failed", "loaded in 30 ms"),
    ],
)
@pytest.mark.parametrize("width", [28, 60])
def test_activity_says_what_happens(phase: Phase, words: str, width: int) -> None:
    line = activity(Reading(phase=phase, live=RUNNING, fraction=0.25, note="loaded in 30 ms"), width).plain
    assert line.startswith(phase)
    assert words in line
    assert len(line) <= width


def test_contended_answers_say_so() -> None:
    assert "contended" in activity(Reading(phase="decoding", live=RUNNING, contended=True), 60).plain


def test_memory_keeps_process_and_engine_apart() -> None:
    words = memory_words(RUNNING, (MemoryPart("weights", "CPU", 5 * MIB), MemoryPart("KV cache", "CPU", 3 * MIB)))
    process, engine = words.split("Allocated by the engine")
    assert "PSS" in process
    assert "55 MiB" in process
    assert "weights" in engine
    assert "8 MiB" in engine
    assert "on CPU" not in engine, "there is only one device"
    assert "not sampled yet" in memory_words(Live(), ())


def test_memory_has_the_engine_s_own_account_where_there_is_one() -> None:
    own = EngineMemory(active_bytes=10 * MIB, cache_bytes=2 * MIB, peak_bytes=14 * MIB)
    live = RUNNING.after(MemorySampled(at_s=0.2, memory=ProcessMemory(rss_bytes=9 * MIB), engine=own))
    words = memory_words(live, ())
    assert "own account\n  in use       10 MiB\n  kept          2 MiB\n  peak         14 MiB\n" in words
    assert "own account" not in memory_words(RUNNING, ())


def test_memory_says_what_lies_on_each_device() -> None:
    parts = (MemoryPart("weights", "CUDA0", 5 * MIB), MemoryPart("KV cache", "CPU", 3 * MIB))
    live = msgspec.structs.replace(RUNNING, memory=ProcessMemory(pss_bytes=MIB, gpu_bytes=500 * MIB))
    process, engine = memory_words(live, parts).split("Allocated by the engine")
    assert "on GPUs     500 MiB" in process
    assert "on CPU        3 MiB" in engine
    assert "on CUDA0      5 MiB" in engine


@pytest.mark.parametrize(("fraction", "full"), [(0, 0), (0.5, 5), (1, 10), (2, 10), (-1, 0)])
def test_bars_are_as_long_as_their_fraction(fraction: float, full: int) -> None:
    drawn = bar(fraction, 10)
    assert len(drawn.plain) == 10
    first = drawn.spans[0] if fraction > 0 else None
    assert (first.end if first else 0) == full


async def test_the_stop_sign_is_there_only_while_something_runs() -> None:
    app = Host()
    async with steered(app, (60, 6)) as pilot:
        assert not app.query_one(StopSign).display
        app.meter.reading = Reading(phase="decoding", live=RUNNING)
        await pilot.pause()
        assert app.query_one(StopSign).display
        await pilot.click(StopSign)
        assert app.stopped == 1
        app.meter.reading = Reading(phase="done", live=RUNNING)
        await pilot.pause()
        assert not app.query_one(StopSign).display
