"""SHA-256 of files, computed once for each size and time of change."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slmtui.sources.remembered import Remembered


def file_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file in lower-case hexadecimal; `cache` is the JSON file that remembers it.

    Raises:
        OSError: the file at `path` can't be read.
    """
    return Remembered(cache, str).of(path, _digest)


def learn_sha256(path: Path, cache: Path, sha256: str) -> None:
    """Remember a hash that was verified just now, so that the file need not be read for it."""
    Remembered(cache, str).learn(path, sha256)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
