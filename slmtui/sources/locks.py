"""Locks between processes, so that no two of them write one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_S = 10.0
"""How long a small file may be in another process's hands."""


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file at `path` as huggingface_hub does; the system gives it back when a process is killed.

    Raises:
        TimeoutError: another process, or another transfer of this one, holds it.
        OSError: the lock file can't be made.
    """
    from filelock import FileLock, SoftFileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock: FileLock | SoftFileLock = FileLock(path, timeout=timeout_s, mode=0o664)
    try:
        lock.acquire()
    except NotImplementedError:  # a file system without locks
        lock = SoftFileLock(path, timeout=timeout_s)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Be the only process of the program that changes the file at `path`; what others wrote before is to be read here.

    Raises:
        OSError: its folder can't be written, or another process does not let go of it.
    """
    with locked(path.with_name(f".{path.name}.lock"), _PATIENCE_S):
        yield
