"""SHA-256 of files, computed once for each size and time of change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from slmtui.sources.remembered import Remembered

_OF_A_MODEL = (".json", ".jinja", ".safetensors")
"""Endings of the files of an MLX folder that say what the model does."""
_READ_BYTES = 1 << 20
Told = Callable[[int], object]
"""Hears of so many bytes more that were read; an `OSError` that it raises ends the reading."""


def file_sha256(path: Path, cache: Path, told: Told | None = None) -> str:
    """SHA-256 of a file in lower-case hexadecimal; `cache` is the JSON file that remembers it.

    Raises:
        OSError: the file at `path` can't be read.
    """
    return Remembered(cache, str).of(path, lambda read: _digest(read, told))


def model_sha256(path: Path, cache: Path, told: Told | None = None) -> str:
    """SHA-256 of a model: of its file, or of the hashes and names of an MLX folder's configs and weights, by name.

    Raises:
        OSError: a file can't be read.
    """
    if not path.is_dir():
        return file_sha256(path, cache, told)
    files = sorted(file for file in path.iterdir() if file.suffix in _OF_A_MODEL and file.is_file())
    listed = "".join(f"{file_sha256(file, cache, told)}  {file.name}\n" for file in files)
    return hashlib.sha256(listed.encode("utf-8", "surrogatepass")).hexdigest()


def learn_sha256(path: Path, cache: Path, sha256: str) -> None:
    """Remember a hash that was verified just now, so that the file need not be read for it."""
    Remembered(cache, str).learn(path, sha256)


def _digest(path: Path, told: Told | None) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            if told is not None:
                told(count)
    return digest.hexdigest()
