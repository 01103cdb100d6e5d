"""The locks of Hugging Face's cache, so that no two programs write one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
