"""Read bandwidth of main memory: one thread a core reads its own part of memory that is larger than the caches.

A reader must be bound by memory, not by its own arithmetic, and must release the interpreter's lock. Candidates were
memcmp of the C library (two equal halves), memchr for an absent byte, and numpy's reductions; `benchmarks/ceiling.py`
prints them against a C loop. With two threads on a Xeon with AVX-512 and glibc 2.36, memcmp read 1.03 times as fast as
the loop, numpy's bitwise or and its sum 0.97 times, its maximum 0.86 times, memchr 0.65 times. How fast the library's
function is depends on the platform, so memcmp and numpy's or are both tried, and the faster one is measured. No
compiler sees the loops, so none removes them, and each reader's result is checked.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

MIB = 1024 * 1024
SMALLEST_BYTES = 256 * MIB
UNKNOWN_CACHE_BYTES = 128 * MIB
"""Taken where the system does not say how large its last cache is: none in a home computer is larger."""
_OVER_CACHE = 4
_FREE_SHARE = 0.25
_TOUCH_S = 0.4
_STEP_BYTES = 16 * MIB
_READ_S = 0.25
_FEWEST, _MOST = 5, 15
"""Passes whose median counts."""

Reader = Callable[[int], None]
"""Reads one thread's part, given its number; raises RuntimeError when memory does not hold what was written."""


class Bandwidth(NamedTuple):
    """What was measured."""

    bytes_per_s: float
    buffer_bytes: int
    """Read by all threads together in one pass."""
    reader: str
    cpu_share: float
    """Processor time that the threads got, over what their cores have."""


def buffer_bytes(cache_bytes: int | None, available_bytes: int | None) -> int:
    """How much memory to read: four times the last cache, at least 256 MiB, at most a quarter of what is free."""
    wanted = max(SMALLEST_BYTES, _OVER_CACHE * (cache_bytes or UNKNOWN_CACHE_BYTES))
    return wanted if available_bytes is None else min(wanted, int(available_bytes * _FREE_SHARE))


def read_bandwidth(threads: int, wanted_bytes: int) -> Bandwidth:
    """Measure it on up to `wanted_bytes`: less where writing them first takes longer than 0.4 s, but 256 MiB.

    Raises:
        OSError: the memory cannot be had.
        RuntimeError: memory does not hold what was written into it.
    """
    parts = _written(threads, wanted_bytes)
    length = min(part.length for part in parts)
    readers = {name: make(parts, length) for name, make in READERS.items()}
    for reader in readers.values():
        passes(reader, threads, 1)
    first = {name: min(passes(reader, threads, 2)) for name, reader in readers.items()}
    best = min(first, key=first.__getitem__)
    count = max(_FEWEST, min(_MOST, round(_READ_S / max(first[best], 1e-6))))
    began, began_cpu = time.perf_counter(), time.process_time()
    seconds = statistics.median(passes(readers[best], threads, count))
    share = (time.process_time() - began_cpu) / (time.perf_counter() - began) / threads
    return Bandwidth(length * threads / seconds, length * threads, best, share)


class Part:
    """One thread's memory; its pages are written by the thread itself, so that they lie near its core."""

    def __init__(self, size: int) -> None:
        self.memory = _private(size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.length = 0
        """Bytes written so far."""

    def write(self, least: int, until_s: float) -> None:
        """Write equal bytes to all of it, or to `least` bytes and what fits before `until_s` on `time.perf_counter`."""
        size = len(self.memory)
        while self.length < size and (self.length < least or time.perf_counter() < until_s):
            step = min(_STEP_BYTES, size - self.length)
            ctypes.memset(self.address + self.length, 1, step)
            self.length += step


def passes(reader: Reader, threads: int, count: int) -> list[float]:
    """Seconds of each of `count` passes: from the first thread's start to the last thread's end.

    Raises:
        RuntimeError: a reader found other bytes than were written.
    """
    begun, ended = ([[0.0] * threads for _ in range(count)] for _ in range(2))
    barrier = threading.Barrier(threads)
    failures: list[RuntimeError | threading.BrokenBarrierError] = []

    def read(number: int) -> None:
        try:
            for index in range(count):
                barrier.wait()
                begun[index][number] = time.perf_counter()
                reader(number)
                ended[index][number] = time.perf_counter()
        except (RuntimeError, threading.BrokenBarrierError) as error:
            failures.append(error)
            barrier.abort()

    _together(read, threads)
    if failures:
        raise RuntimeError(str(failures[0]))
    return [max(end) - min(begin) for begin, end in zip(begun, ended, strict=True)]


def comparing(parts: Sequence[Part], length: int) -> Reader:
    """Libc's memcmp of the two halves, which are equal: it reads both to their ends."""
    libc = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
    libc.memcmp.restype, libc.memcmp.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    half = length // 2

    def read(number: int) -> None:
        _expect(sound=libc.memcmp(parts[number].address, parts[number].address + half, half) == 0)

    return read


def combining(parts: Sequence[Part], length: int) -> Reader:
    """Numpy's bitwise or of all 64-bit words."""
    import numpy as np

    words = [np.frombuffer(part.memory, dtype=np.uint64, count=length // 8) for part in parts]

    def read(number: int) -> None:
        _expect(sound=int(np.bitwise_or.reduce(words[number])) == 0x0101010101010101)

    return read


READERS: dict[str, Callable[[Sequence[Part], int], Reader]] = {"memcmp": comparing, "numpy or": combining}


def _expect(*, sound: bool) -> None:
    if not sound:
        raise RuntimeError("memory does not hold what was written into it")


def _written(threads: int, wanted_bytes: int) -> list[Part]:
    each = max(MIB, wanted_bytes // threads // MIB * MIB)
    parts = [Part(each) for _ in range(threads)]
    until_s = time.perf_counter() + _TOUCH_S
    _together(lambda number: parts[number].write(min(each, SMALLEST_BYTES // threads), until_s), threads)
    return parts


def _together(work: Callable[[int], None], threads: int) -> None:
    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def _private(size: int) -> mmap.mmap:
    """Fresh memory of this process, in huge pages where the system gives them: small ones would measure page tables."""
    if os.name == "nt":
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
