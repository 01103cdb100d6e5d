"""SHA-256 of files, computed once for each size and time of change."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import msgspec

from slmtui.sources.atomic import write_atomically

_HASHES_LIMIT = 500


class _Hash(msgspec.Struct, frozen=True):
    size_bytes: int
    mtime_ns: int
    sha256: str


def file_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file in lower-case hexadecimal, computed once for each size and time of change.

    `cache` is the JSON file that remembers it; one that is damaged or can't be written is ignored.

    Raises:
        OSError: the file at `path` can't be read.
    """
    path = path.resolve()
    before = path.stat()
    known = _read_hashes(cache).get(str(path))
    if known is not None and (known.size_bytes, known.mtime_ns) == (before.st_size, before.st_mtime_ns):
        return known.sha256
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
        _remember(cache, str(path), _Hash(after.st_size, after.st_mtime_ns, digest))
    return digest


def _read_hashes(cache: Path) -> dict[str, _Hash]:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, _Hash])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _remember(cache: Path, path: str, entry: _Hash) -> None:
    hashes = _read_hashes(cache)
    hashes.pop(path, None)
    newest = list(hashes.items())[-(_HASHES_LIMIT - 1) :]
    with contextlib.suppress(OSError, UnicodeEncodeError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, msgspec.json.encode({**dict(newest), path: entry}))
