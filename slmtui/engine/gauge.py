"""Memory of this process as the operating system charges it, and whether a file is in the page cache."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from slmtui.core.events import EngineMemory, MemorySampled, ProcessMemory

PERIOD_S = 0.25
CHEAP_S = 0.002
"""A sample that takes no longer may come at the usual rate."""
LARGEST_SHARE = 0.002
"""Share of one core's time that dearer samples may take: they come less often. The evaluation waits for
more than that: with 0.01 and a model of 125 million parameters decode lost 5 %."""
ROLLUP = Path("/proc/self/smaps_rollup")
_CACHE_SAMPLES = 256
_READ_BYTES = 8 * 1024 * 1024


class Watched(NamedTuple):
    """What the engine says of this process's memory, beside the operating system; None where it does not."""

    gpu_bytes: int | None = None
    """Video memory of this process."""
    engine: EngineMemory | None = None


def process_memory() -> ProcessMemory:
    """What the system charges this process now.

    Linux: `/proc/self/smaps_rollup`. macOS: `phys_footprint` of `proc_pid_rusage`. Windows: the private working set,
    which is psutil's USS there (its `private` is what was committed, in memory or not).
    """
    if sys.platform == "linux":
        return _linux_memory()
    import psutil

    info = psutil.Process().memory_full_info()
    uss_bytes = getattr(info, "uss", None)
    footprint = _macos_footprint() if sys.platform == "darwin" else uss_bytes
    return ProcessMemory(rss_bytes=info.rss, uss_bytes=uss_bytes, footprint_bytes=footprint)


def peak_rss_bytes() -> int | None:
    """The largest resident size that this process ever had."""
    if sys.platform == "linux":
        return _status_bytes("VmHWM")
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    import psutil

    return getattr(psutil.Process().memory_info(), "peak_wset", None)


def pause_s(cost_s: float) -> float:
    """Seconds between two samples when one takes so many of a core."""
    return PERIOD_S if cost_s <= CHEAP_S else max(PERIOD_S, cost_s / LARGEST_SHARE)


class Gauge:
    """Samples memory on one thread while requests run; a last sample follows each request.

    There are four samples a second unless one takes over `CHEAP_S`, then no more than `LARGEST_SHARE` of a core: the
    kernel walks through every mapped page, so one costs 0.1-0.3 ms for a small model and 2 ms more for each GiB of a
    mapped file. The thread lives as long as the process: starting one for each request would delay the first token by
    0.3 ms.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._emit: Callable[[MemorySampled], None] | None = None
        self._watched: Callable[[], Watched] = Watched
        self._started_s = 0.0
        self._peak = ProcessMemory()
        self._thread = threading.Thread(target=self._run, name="gauge", daemon=True)

    @contextmanager
    def watching(
        self, emit: Callable[[MemorySampled], None], watched: Callable[[], Watched] = Watched
    ) -> Iterator[None]:
        """Emit samples until the block ends, and one more then; nothing is emitted after it.

        `watched` is asked with each sample for what only the engine knows.
        """
        with self._lock:
            self._emit, self._watched, self._started_s = emit, watched, time.perf_counter()
            if self._thread.ident is None:
                self._thread.start()
            self._lock.notify()
        try:
            yield
        finally:
            with self._lock:
                self._emit = None
            emit(self._sample())

    def _sample(self) -> MemorySampled:
        at_s = time.perf_counter() - self._started_s
        watched = self._watched()
        memory = replace(process_memory(), gpu_bytes=watched.gpu_bytes)
        largest = peak_rss_bytes()
        self._peak = self._peak.at_least(replace(memory, rss_bytes=largest))
        return MemorySampled(at_s=at_s, memory=memory, peak_rss_bytes=largest, peak=self._peak, engine=watched.engine)

    def _run(self) -> None:
        cost_s = 0.0
        with self._lock:
            while True:
                self._lock.wait_for(lambda: self._emit is not None)
                ended = self._lock.wait_for(partial(self._over, self._started_s), pause_s(cost_s))
                if not ended and self._emit is not None:
                    busy_s = time.thread_time()
                    self._emit(self._sample())
                    cost_s = time.thread_time() - busy_s

    def _over(self, started_s: float) -> bool:
        """Whether the request that began at this time has ended, another having begun or not."""
        return self._emit is None or self._started_s != started_s


def page_cache_state(path: Path) -> Literal["cold", "warm", "unknown"]:
    """Whether the file's pages are in memory: warm from 90 %, cold up to 10 % of a sample of pages; Linux only."""
    # Linux tells only those who may write the file; to others every page looks resident.
    if sys.platform != "linux" or not os.access(path, os.W_OK):
        return "unknown"
    try:
        resident, looked_at = _resident_pages(path)
    except (OSError, ValueError):  # an empty file, or one on a file system that cannot map it
        return "unknown"
    if not looked_at:
        return "unknown"
    fraction = resident / looked_at
    return "warm" if fraction >= 0.9 else "cold" if fraction <= 0.1 else "unknown"


def read_ahead(path: Path, progress: Callable[[float], bool]) -> bool:
    """Read a file into the page cache and say how far it is; False when `progress` asked to stop.

    Mapping a file that is not there yet reads all of it in one call that can neither be watched nor stopped.
    """
    part = bytearray(_READ_BYTES)
    done, size = 0, path.stat().st_size
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(part):
            done += count
            if not progress(min(1.0, done / size)):
                return False
    return True


def _resident_pages(path: Path) -> tuple[int, int]:
    libc = ctypes.CDLL(None)
    resident = looked_at = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
        first = ctypes.c_char.from_buffer(view)
        base = ctypes.addressof(first)
        flags = (ctypes.c_ubyte * 1)()
        pages = -(-len(view) // mmap.PAGESIZE)
        for page in range(0, pages, max(1, pages // _CACHE_SAMPLES)):
            if libc.mincore(ctypes.c_void_p(base + page * mmap.PAGESIZE), ctypes.c_size_t(1), flags) == 0:
                looked_at += 1
                resident += flags[0] & 1
        del first  # an exported buffer cannot be closed
    return resident, looked_at


def _linux_memory() -> ProcessMemory:
    try:
        lines = ROLLUP.read_text(encoding="ascii").splitlines()[1:]
    except OSError:  # kernels before 4.14 and hardened ones do not have it
        return ProcessMemory(rss_bytes=_status_bytes("VmRSS"))
    fields = {name: int(value) * 1024 for name, value, *_ in (line.replace(":", " ").split() for line in lines)}
    return ProcessMemory(
        rss_bytes=fields.get("Rss"),
        pss_bytes=fields.get("Pss"),
        uss_bytes=fields.get("Private_Clean", 0) + fields.get("Private_Dirty", 0),
    )


def _status_bytes(name: str) -> int | None:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _macos_footprint() -> int | None:
    """`ri_phys_footprint` of `struct rusage_info_v2` (sys/resource.h): the eighth 64-bit field after the UUID."""
    info = (ctypes.c_uint64 * 64)()
    if ctypes.CDLL(None).proc_pid_rusage(os.getpid(), 2, ctypes.byref(info)) != 0:
        return None
    return int(info[2 + 7])
