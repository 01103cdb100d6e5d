"""The header of a GGUF file that is still on the hub: a few megabytes of it tell whether the model will fit."""

from __future__ import annotations

import io

from slmtui.core.gguf import GgufHeader
from slmtui.core.hub_files import HubFile
from slmtui.core.text import one_line
from slmtui.sources.gguf import parse_header
from slmtui.sources.hub_errors import HubError, refusal
from slmtui.sources.ranges import BROKEN, AnswerError, ChangedError, Line, Source

_FIRST_BYTES = 256 * 1024
_MOST_BYTES = 4 * 1024 * 1024
_LIMIT_BYTES = 64 * 1024 * 1024
"""Of all that is fetched; the longest headers have 25 MB."""


def remote_header(source: Source, file: HubFile) -> GgufHeader:
    """The header, without the rest of the file.

    Raises:
        GgufError: it is no GGUF file, or damaged.
        HubError: the hub does not give it.
    """
    line = Line(source)
    try:
        return parse_header(_Remote(line, file), file.size_bytes, one_line(file.path))
    except AnswerError as error:
        raise refusal(error.status, error.code, error.host, file.path) from error
    except (*BROKEN, ChangedError) as error:
        raise HubError("unreachable", f"{source.host} does not give the header of {file.path}: {error}") from error
    finally:
        line.close()


class _Remote(io.BytesIO):
    """The beginning of the file, of which more is fetched as it is read: twice as much each time."""

    def __init__(self, line: Line, file: HubFile) -> None:
        super().__init__()
        self._line, self._file = line, file
        self._piece, self._begin = b"", 0
        self._step_bytes, self._fetched_bytes = _FIRST_BYTES, 0

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, which are asked for unless they are here."""
        at, count = self.tell(), self._file.size_bytes if size is None or size < 0 else size
        if not self._begin <= at <= at + count <= self._begin + len(self._piece):
            self._fetch(at, count)
        start = at - self._begin
        self.seek(at + count)
        return self._piece[start : start + count]

    def _fetch(self, at: int, count: int) -> None:
        end = min(self._file.size_bytes, at + max(count, self._step_bytes))
        if self._fetched_bytes + end - at > _LIMIT_BYTES:
            raise HubError("unreachable", f"{self._file.path} has a header of more than {_LIMIT_BYTES >> 20} MiB")
        body = self._line.get(at, end, None)
        buffer = bytearray(end - at)
        got = body.readinto(memoryview(buffer))
        if not body.finished:
            self._line.close()
        self._piece, self._begin = bytes(buffer[:got]), at
        self._fetched_bytes += got
        self._step_bytes = min(_MOST_BYTES, 2 * self._step_bytes)
