"""What reading a whole file, or a long header, came to: found out once for each size and time of change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from slmtui.sources.atomic import write_atomically

_LIMIT = 500
_T = TypeVar("_T")


class _Entry(msgspec.Struct, frozen=True):
    size_bytes: int
    mtime_ns: int
    value: msgspec.Raw


class Remembered(Generic[_T]):
    """Values of one kind about files, kept in a JSON file; one that is damaged or can't be written is ignored."""

    def __init__(self, cache: Path, kind: type[_T]) -> None:
        """`kind` is what a value is decoded as."""
        self._cache, self._kind = cache, kind

    def of(self, path: Path, find_out: Callable[[Path], _T]) -> _T:
        """The value about a file, from the cache or else from `find_out`.

        Raises:
            OSError: the file at `path` can't be read.
            Exception: whatever `find_out` raises.
        """
        path = path.resolve()
        before = path.stat()
        entry = self._read().get(str(path))
        if entry is not None and (entry.size_bytes, entry.mtime_ns) == (before.st_size, before.st_mtime_ns):
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(entry.value, type=self._kind)
        value = find_out(path)
        after = path.stat()
        if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            self.learn(path, value)
        return value

    def learn(self, path: Path, value: _T) -> None:
        """Keep what is known about a file as it is now."""
        with contextlib.suppress(OSError, UnicodeEncodeError):
            path = path.resolve()
            status = path.stat()
            entry = _Entry(status.st_size, status.st_mtime_ns, msgspec.Raw(msgspec.json.encode(value)))
            entries = self._read()
            entries.pop(str(path), None)
            newest = list(entries.items())[-(_LIMIT - 1) :]
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._cache, msgspec.json.encode({**dict(newest), str(path): entry}))

    def _read(self) -> dict[str, _Entry]:
        try:
            return msgspec.json.decode(self._cache.read_bytes(), type=dict[str, _Entry])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
