"""Reads and writes GGUF files byte by byte, to build odd and damaged ones from a good one.

Follows the format's description (ggml/docs/gguf.md), version 3, little endian.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STRING, ARRAY = 8, 9
UINT32, INT32, FLOAT32 = 4, 5, 6
F32, F16, Q4_0 = 0, 1, 2
"""Numbers of ggml's tensor types."""
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ALIGNMENT = 32
HOSTILE = b"\xff\x1b[31m[b]"
"""Invalid UTF-8, an escape sequence and markup."""
_BLANK, _HOSTILE_LETTERS = "\u0120", "\u00ff\u011b[31m[b]"
"""A blank and `HOSTILE` in the letters of byte-level BPE, which stand for bytes."""


@dataclass
class Tensor:
    """Shape with the fastest dimension first, ggml's type number, and the bytes."""

    shape: tuple[int, ...]
    kind: int
    data: bytes


@dataclass
class Gguf:
    """A whole file: metadata as name to (type, value), arrays as (ARRAY, (element type, values))."""

    metadata: dict[str, tuple[int, object]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Gguf:
        """Parse a good file."""
        cursor = _Cursor(path.read_bytes())
        magic, version, tensors, pairs = cursor.take("4sIQQ")
        assert (magic, version) == (b"GGUF", 3)
        found = cls()
        for _ in range(pairs):
            name = cursor.string()
            (kind,) = cursor.take("I")
            found.metadata[name] = (kind, cursor.value(kind))
        heads: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(tensors):
            name = cursor.string()
            (dimensions,) = cursor.take("I")
            shape = cursor.take(f"{dimensions}Q")
            kind, offset = cursor.take("IQ")
            heads.append((name, shape, kind, offset))
        start = _aligned(cursor.at)
        ends = sorted(offset for *_, offset in heads)
        for name, shape, kind, offset in heads:
            end = next((start + later for later in ends if later > offset), len(cursor.data))
            found.tensors[name] = Tensor(shape, kind, cursor.data[start + offset : end])
        return found

    def write(self, path: Path) -> Path:
        """Write the file and return its path; tensors of zeros become holes."""
        head = [b"GGUF", struct.pack("<IQQ", 3, len(self.tensors), len(self.metadata))]
        for name, (kind, value) in self.metadata.items():
            head += [_string(name), struct.pack("<I", kind), _value(kind, value)]
        offsets = [0]
        for name, tensor in self.tensors.items():
            form = f"<I{len(tensor.shape)}QIQ"
            head += [_string(name), struct.pack(form, len(tensor.shape), *tensor.shape, tensor.kind, offsets[-1])]
            offsets.append(_aligned(offsets[-1] + len(tensor.data)))
        start = _aligned(sum(map(len, head)))
        with path.open("wb") as file:
            file.write(b"".join(head))
            for tensor, offset in zip(self.tensors.values(), offsets, strict=False):
                if tensor.data.count(0) < len(tensor.data):
                    file.seek(start + offset)
                    file.write(tensor.data)
            file.truncate(start + offsets[-1])
        return path

    def set(self, name: str, value: object, kind: int | None = None) -> Gguf:
        """Change a value and keep its type, or add one of type `kind`."""
        self.metadata[name] = (self.metadata[name][0] if kind is None else kind, value)
        return self

    def with_template(self, template: str) -> Gguf:
        """Put a chat template in."""
        return self.set("tokenizer.chat_template", template, STRING)

    def with_random_weights(self, seed: int = 1) -> Gguf:
        """Draw every F16 matrix anew, with the spread of the old one: the same model, knowing nothing."""
        import numpy as np

        generator = np.random.default_rng(seed)
        for tensor in self.tensors.values():
            if tensor.kind == F16:
                old = np.frombuffer(tensor.data, np.float16)[: math.prod(tensor.shape)].astype(np.float32)
                drawn = generator.standard_normal(len(old), dtype=np.float32) * old.std()
                tensor.data = drawn.astype(np.float16).tobytes()
        return self

    def with_hostile_blanks(self) -> Gguf:
        """Let a model whose tokenizer is byte-level BPE say `HOSTILE` where it said a blank."""
        for name in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
            self.array(name)[:] = [text.replace(_BLANK, _HOSTILE_LETTERS) for text in self.array(name)]
        return self

    def array(self, name: str) -> list[Any]:
        """The values of an array, to be changed in place."""
        value = self.metadata[name][1]
        assert isinstance(value, tuple)
        assert isinstance(value[1], list)
        return value[1]


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def string(self) -> str:
        (length,) = self.take("Q")
        (data,) = self.take(f"{length}s")
        return str(data, "utf-8")

    def value(self, kind: int) -> object:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            of, length = self.take("IQ")
            return of, [self.value(of) for _ in range(length)]
        (value,) = self.take(_FORMS[kind])
        return value


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: object) -> bytes:
    if kind == STRING:
        return _string(str(value))
    if kind == ARRAY:
        assert isinstance(value, tuple)
        of, values = value
        return struct.pack("<IQ", of, len(values)) + b"".join(_value(of, one) for one in values)
    return struct.pack(f"<{_FORMS[kind]}", value)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
