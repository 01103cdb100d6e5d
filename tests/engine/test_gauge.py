"""The gauge: what the system says that the worker took, how often it is asked, what is in the page cache."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from slmtui.core.events import EngineMemory, MemorySampled, ProcessMemory
from slmtui.engine import gauge
from slmtui.engine.protocol import Load
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import STORY, loaded, of, run, slow_to_load, tell, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def charged(pid: int) -> ProcessMemory:
    """What `smaps_rollup` says of a process, read from outside."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    system = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    uss_bytes = system["Private_Clean"] + system["Private_Dirty"]
    return ProcessMemory(rss_bytes=system["Rss"], pss_bytes=system["Pss"], uss_bytes=uss_bytes)


@linux
@pytest.mark.parametrize("model", ["small", "large"])
async def test_process_memory_is_exactly_what_the_system_says(tmp_path: Path, build: Build, model: str) -> None:
    """The worker idles after its last sample, so the figures are equal to the byte.

    Programs that share its libraries and start or end between the two readings change PSS and USS: then once more.
    """
    path = STORY if model == "small" else build("slow.gguf", slow_to_load(Gguf.read(STORY)))
    seen: list[tuple[ProcessMemory, ProcessMemory]] = []
    async with loaded(tmp_path / "log", Load(path=str(path), threads=1)) as client:
        for _ in range(20):
            sample = of(await run(client, tell("Once upon a time", 2)), MemorySampled)[-1]
            seen.append((sample.memory, charged(client.pid)))
            if seen[-1][0] == seen[-1][1]:
                break
    assert seen[-1][0] == seen[-1][1], seen
    rss_bytes, largest = sample.memory.rss_bytes, sample.peak_rss_bytes
    assert rss_bytes is not None
    assert model == "small" or rss_bytes > 173_000_000, "the weights are in it"
    assert largest is not None
    assert largest >= rss_bytes


@linux
async def test_peaks_outlive_what_was_freed(tmp_path: Path, build: Build) -> None:
    path = build("slow.gguf", slow_to_load(Gguf.read(STORY)))
    async with loaded(tmp_path / "log", Load(path=str(path), threads=1)) as client:
        large = of(await run(client, tell("Once", 2)), MemorySampled)[-1]
        small = of(await run(client, Load(path=str(STORY), threads=1)), MemorySampled)[-1]
    for name in ("rss_bytes", "pss_bytes", "uss_bytes"):
        assert getattr(small.memory, name) < getattr(large.memory, name) - 150_000_000
        assert getattr(small.peak, name) >= getattr(large.memory, name)
    assert small.peak is not None
    assert small.peak.rss_bytes == pytest.approx(small.peak_rss_bytes, rel=0.01)  # the kernel counts in batches


@linux
def test_the_gauge_reads_this_process() -> None:
    block = bytearray(os.urandom(1024) * 30_000)
    with_block = gauge.process_memory()
    del block
    without = gauge.process_memory()
    for name in ("rss_bytes", "pss_bytes", "uss_bytes"):
        assert getattr(with_block, name) - getattr(without, name) == pytest.approx(30_720_000, rel=0.2)
    peak = gauge.peak_rss_bytes()
    assert peak is not None
    assert with_block.rss_bytes is not None
    assert peak >= with_block.rss_bytes * 0.99


@linux
def test_a_system_without_a_rollup_still_tells_the_resident_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "ROLLUP", Path("/proc/self/nothing"))
    memory = gauge.process_memory()
    assert memory.rss_bytes is not None
    assert memory.rss_bytes > 1_000_000
    assert memory.pss_bytes is memory.uss_bytes is None


async def several(samples: list[MemorySampled]) -> None:
    await until(lambda: len(samples) >= 2)


async def test_samples_follow_each_request_and_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "pause_s", lambda _: 0.05)
    watch, other = gauge.Gauge(), gauge.Gauge()
    for _ in range(2):
        samples, later = list[MemorySampled](), list[MemorySampled]()
        with watch.watching(samples.append):
            await several(samples)
        came = len(samples)
        assert samples[0].at_s > 0.045, "a request begins its own time"
        assert isinstance(samples[-1].memory, ProcessMemory)
        with other.watching(later.append):
            await several(later)
        assert len(samples) == came, "nothing is said after the request"


def test_the_page_cache_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    assert path.read_bytes()
    assert gauge.page_cache_state(path) in ("warm", "unknown")
    assert gauge.page_cache_state(tmp_path / "missing") == "unknown"
    (tmp_path / "empty").touch()
    assert gauge.page_cache_state(tmp_path / "empty") == "unknown"


@linux
def test_a_file_that_was_dropped_from_the_page_cache_is_cold(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if gauge.page_cache_state(path) == "warm":
        pytest.skip("this file system keeps its files in memory")
    assert gauge.page_cache_state(path) == "cold"
    path.read_bytes()
    assert gauge.page_cache_state(path) == "warm"


def test_samples_ask_the_engine() -> None:
    watch, samples = gauge.Gauge(), list[MemorySampled]()
    own = EngineMemory(active_bytes=3, cache_bytes=2, peak_bytes=4)
    answers = iter((gauge.Watched(5), gauge.Watched(7, own), gauge.Watched(6), gauge.Watched()))
    for _ in range(4):
        with watch.watching(samples.append, lambda: next(answers)):
            pass
    assert [sample.memory.gpu_bytes for sample in samples] == [5, 7, 6, None]
    assert [sample.peak.gpu_bytes for sample in samples if sample.peak] == [5, 7, 7, 7]
    assert [sample.engine for sample in samples] == [None, own, None, None]


@pytest.mark.parametrize(("cost_s", "pause_s"), [(0.0, 0.25), (0.002, 0.25), (0.003, 1.5), (0.010, 5.0)])
def test_costly_samples_come_less_often(cost_s: float, pause_s: float) -> None:
    assert gauge.pause_s(cost_s) == pytest.approx(pause_s)


async def test_what_a_sample_takes_decides_when_the_next_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, costs = iter([0.0, 0.0, 0.0, 3600.0]), list[float]()

    def pause_s(cost_s: float) -> float:
        costs.append(cost_s)
        return next(pauses)

    monkeypatch.setattr(gauge, "pause_s", pause_s)
    samples: list[MemorySampled] = []
    with gauge.Gauge().watching(samples.append):
        await until(lambda: len(costs) == 4)
    assert len(samples) == 3 + 1, "one more follows the request"
    assert costs[0] == 0
    assert all(cost > 0 for cost in costs[1:])


@linux
def test_a_large_mapped_file_is_in_every_figure(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    before = gauge.process_memory()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert sum(view[start] for start in range(0, size, mmap.PAGESIZE)) > 0
        after = gauge.process_memory()
    for name in ("rss_bytes", "pss_bytes", "uss_bytes"):
        assert getattr(after, name) - getattr(before, name) == pytest.approx(size, rel=0.05)
