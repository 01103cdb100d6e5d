"""Reads the header of a GGUF file, versions 2 and 3, without an engine: what does not make sense is refused in words.

The format is that of ggml/docs/gguf.md, and what is refused is what llama.cpp's reader (gguf.cpp) refuses. A file is
never trusted: counts and lengths are held against the bytes that are there before anything is kept, and long arrays
(a vocabulary) are passed over.
"""

from __future__ import annotations

import stat
import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

from slmtui.core.gguf import TENSOR_TYPES, GgufHeader, LongArray, Value
from slmtui.core.text import one_line
from slmtui.core.work import Tensor

MAGIC = b"GGUF"
HEADER_LIMIT_BYTES = 256 * 1024 * 1024
"""Ten times the longest header there is: half a million tokens and merges."""
_WINDOW_BYTES = 256 * 1024
_KEPT = 1024
"""Arrays with more entries are passed over."""
_MOST = 65_536
"""Keys, and tensors, that a header may have: ten times as many as the largest models."""
_LONGEST_TEXT_BYTES = 16 * 1024 * 1024
_LONGEST_NAME_BYTES = 63
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct`'s letters by the numbers of `enum gguf_type`."""


class GgufError(ValueError):
    """This is no GGUF file, or not a whole one; the message names the file and says what to do."""


def read_header(path: Path) -> GgufHeader:
    """The header of a file on this machine, all of whose tensors are there.

    Raises:
        GgufError: no file, no GGUF, damaged or incomplete.
    """
    shown = one_line(str(path))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            raise GgufError(f"{shown} is not a file. Name a .gguf file.")
        size = status.st_size
        with path.open("rb") as file:
            header = parse_header(file, size, shown)
    except GgufError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise GgufError(f"{shown} cannot be read: {why}. Check the path.") from None
    end = max((at + one.bytes for at, one in zip(header.places, header.tensors, strict=True)), default=0)
    if end > size:
        raise GgufError(
            f"{shown} is incomplete: {size:,} of {end:,} bytes are there. Download it again, or finish the download."
        )
    return header


def parse_header(file: BinaryIO, size: int, shown: str) -> GgufHeader:
    """The header at the beginning of a file of `size` bytes, of which `file` may hold less; `shown` is its name.

    Raises:
        GgufError: no GGUF, or damaged.
        OSError: it cannot be read.
    """
    try:
        return _header(_Cursor(file, size), size)
    except _DamagedError as error:
        raise GgufError(f"{shown} {error}") from None


class _DamagedError(Exception):
    """What is wrong, as the end of a sentence that begins with the file's name."""

    def __init__(self, why: str, advice: str = "Download or copy it again.") -> None:
        super().__init__(f"{why}. {advice}")


class _Cursor:
    """A place in the file's header, and numbers and texts from there on."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._limit = min(size, HEADER_LIMIT_BYTES)
        self._window, self._begin = b"", 0
        self.at = 0
        self.order = "<"

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if self.at + count > self._begin + len(self._window):
            self._fill(count)
        start = self.at - self._begin
        self.at += count
        return self._window[start : start + count]

    def number(self, form: str) -> int:
        """The next whole number."""
        (value,) = self.numbers(form)
        return int(value)

    def numbers(self, form: str) -> tuple[bool | int | float, ...]:
        """The next numbers, by `struct`'s letters."""
        form = self.order + form
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self, longest: int = _LONGEST_TEXT_BYTES) -> str:
        """The next text, of at most so many bytes."""
        length = self.number("Q")
        if length > longest:
            raise _DamagedError(f"is damaged: a text in its header claims to be {length:,} bytes long")
        return self.take(length).decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        self._check(count)
        self.at += count

    def skip_texts(self, count: int) -> None:
        """Pass over texts: 0.1 s for half a million."""
        length_of = struct.Struct(self.order + "Q").unpack_from
        while count:
            if self.at + 8 > self._begin + len(self._window):
                self._fill(8)
            window, place, last = self._window, self.at - self._begin, len(self._window) - 8
            while count and place <= last:
                place += 8 + length_of(window, place)[0]
                count -= 1
            self.at = self._begin + place
            self._check(0)

    def _fill(self, count: int) -> None:
        self._check(count)
        self._file.seek(self.at)
        self._window, self._begin = self._file.read(max(count, _WINDOW_BYTES)), self.at
        if len(self._window) < count:
            raise _DamagedError("ends in the middle of its header")

    def _check(self, count: int) -> None:
        if self.at + count > self._limit:
            if self._limit == HEADER_LIMIT_BYTES:
                raise _DamagedError(f"is damaged: its header claims more than {HEADER_LIMIT_BYTES >> 20} MiB")
            raise _DamagedError("ends in the middle of its header")


def _header(cursor: _Cursor, size: int) -> GgufHeader:
    version = _version(cursor)
    tensor_count, pair_count = cursor.number("Q"), cursor.number("Q")
    if max(tensor_count, pair_count) > _MOST:
        raise _DamagedError(f"is damaged: it claims {tensor_count:,} tensors and {pair_count:,} keys")
    metadata: dict[str, Value] = {}
    for _ in range(pair_count):
        key = cursor.text()
        if not key or key in metadata:
            raise _DamagedError(f"is damaged: the key {one_line(key)!r} of its header is empty or there twice")
        metadata[key] = _value(cursor, key, cursor.number("I"))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise _DamagedError("is damaged: its alignment is no power of two")
    tensors: dict[str, Tensor] = {}
    places: list[int] = []
    end = 0
    for _ in range(tensor_count):
        tensor, offset = _tensor(cursor)
        if tensor.name in tensors or offset != end:
            raise _DamagedError(f"is damaged: the tensor {one_line(tensor.name)!r} is there twice or out of place")
        tensors[tensor.name] = tensor
        places.append(offset)
        end = _aligned(offset + tensor.bytes, alignment)
    data = _aligned(cursor.at, alignment)
    return GgufHeader(
        version=version,
        big_endian=cursor.order == ">",
        metadata=metadata,
        tensors=tuple(tensors.values()),
        places=tuple(data + place for place in places),
        file_bytes=size,
    )


def _version(cursor: _Cursor) -> int:
    """Version of the format; sets the order of bytes, which shows in it."""
    if cursor.take(4) != MAGIC:
        raise _DamagedError(
            "is not a GGUF file: it does not begin with the letters GGUF",
            "Choose a .gguf file, or download it again if it should be one.",
        )
    first = cursor.take(4)
    if not any(first[:2]):
        cursor.order = ">"
    version = int.from_bytes(first, "big" if cursor.order == ">" else "little")
    if version not in (2, 3):
        raise _DamagedError(
            f"has version {version:,} of the GGUF format; this program reads 2 and 3",
            "Convert it again." if version == 1 else "Update slmtui, or download the file again.",
        )
    return version


def _value(cursor: _Cursor, key: str, kind: int) -> Value:
    if kind == _STRING:
        return cursor.text()
    if kind == _ARRAY:
        return _array(cursor, key, cursor.number("I"), cursor.number("Q"))
    (value,) = cursor.numbers(_form(key, kind))
    return value


def _array(cursor: _Cursor, key: str, kind: int, count: int) -> Value:
    begin = cursor.at
    if kind == _STRING:
        if count <= _KEPT:
            return tuple(cursor.text() for _ in range(count))
        cursor.skip_texts(count)
    else:
        form = _form(key, kind)
        if count <= _KEPT:
            return cursor.numbers(form * count)
        cursor.skip(count * struct.calcsize(f"<{form}"))
    return LongArray(count, cursor.at - begin)


def _form(key: str, kind: int) -> str:
    if kind not in _FORMS:
        raise _DamagedError(f"is damaged: the key {one_line(key)!r} has the unknown type {kind}")
    return _FORMS[kind]


def _tensor(cursor: _Cursor) -> tuple[Tensor, int]:
    """The next tensor, and where it begins among the data."""
    name = cursor.text(_LONGEST_NAME_BYTES)
    shown = one_line(name)
    dimensions = cursor.number("I")
    if dimensions > 4:
        raise _DamagedError(f"is damaged: the tensor {shown!r} has {dimensions:,} dimensions")
    shape = tuple(int(length) for length in (*cursor.numbers("Q" * dimensions), 1, 1, 1, 1)[:4])
    number, offset = cursor.number("I"), cursor.number("Q")
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise _DamagedError(
            f"has weights of type {number:,} ({shown}), which this version of slmtui does not know",
            "Update slmtui, or choose another variant.",
        )
    if prod(shape) >= 2**63 or shape[0] % kind.block:
        raise _DamagedError(f"is damaged: the tensor {shown!r} of type {kind.name} cannot have the shape {shape}")
    return Tensor(name, kind.name, shape, kind.size(prod(shape))), offset


def _aligned(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment
