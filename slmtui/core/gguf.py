"""A GGUF file's header as values: metadata and the list of tensors (ggml/docs/gguf.md). `sources.gguf` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple, TypeAlias

import msgspec

from slmtui.core.work import Tensor


class TensorType(NamedTuple):
    """How ggml stores numbers: so many in a block of so many bytes."""

    name: str
    block: int
    bytes: int

    def size(self, count: int) -> int:
        """Bytes of `count` numbers, which fill whole blocks."""
        return count // self.block * self.bytes


TENSOR_TYPES: Mapping[int, TensorType] = {
    number: TensorType(*fields)
    for number, fields in {
        0: ("f32", 1, 4),
        1: ("f16", 1, 2),
        2: ("q4_0", 32, 18),
        3: ("q4_1", 32, 20),
        6: ("q5_0", 32, 22),
        7: ("q5_1", 32, 24),
        8: ("q8_0", 32, 34),
        9: ("q8_1", 32, 36),
        10: ("q2_K", 256, 84),
        11: ("q3_K", 256, 110),
        12: ("q4_K", 256, 144),
        13: ("q5_K", 256, 176),
        14: ("q6_K", 256, 210),
        15: ("q8_K", 256, 292),
        16: ("iq2_xxs", 256, 66),
        17: ("iq2_xs", 256, 74),
        18: ("iq3_xxs", 256, 98),
        19: ("iq1_s", 256, 50),
        20: ("iq4_nl", 32, 18),
        21: ("iq3_s", 256, 110),
        22: ("iq2_s", 256, 82),
        23: ("iq4_xs", 256, 136),
        24: ("i8", 1, 1),
        25: ("i16", 1, 2),
        26: ("i32", 1, 4),
        27: ("i64", 1, 8),
        28: ("f64", 1, 8),
        29: ("iq1_m", 256, 56),
        30: ("bf16", 1, 2),
        34: ("tq1_0", 256, 54),
        35: ("tq2_0", 256, 66),
        39: ("mxfp4", 32, 17),
        40: ("nvfp4", 64, 36),
        41: ("q1_0", 128, 18),
        42: ("q2_0", 64, 18),
    }.items()
}
"""By the numbers of `enum ggml_type` (ggml.h); those that are missing were given up."""
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Types that llama.cpp's KV cache can have."""
TYPES_BY_NAME: Mapping[str, TensorType] = {kind.name: kind for kind in TENSOR_TYPES.values()}


class LongArray(msgspec.Struct, frozen=True):
    """An array that was passed over, as a vocabulary is."""

    count: int
    bytes: int
    """Of the file, eight before each string included."""


Value: TypeAlias = bool | int | float | str | tuple[bool | int | float | str, ...] | LongArray


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the numbers."""

    version: int
    big_endian: bool
    """Whether numbers are stored with their highest byte first, which llama.cpp opens on such machines only."""
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    places: tuple[int, ...]
    """Where in the file each tensor begins."""
    file_bytes: int

    @property
    def architecture(self) -> str:
        """Name of the architecture, below which its figures stand; empty when the file does not say."""
        return self.text("general.architecture") or ""

    @property
    def weights_bytes(self) -> int:
        """Of all tensors, without the gaps between them."""
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        """How many numbers the tensors hold."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    def text(self, key: str) -> str | None:
        """A value that is text; None when it is not there or something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """A whole number below the architecture's name; None when it is not there, or is one for each layer."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def each(self, key: str, layers: int) -> tuple[int, ...] | None:
        """A whole number of every layer: the array below the architecture's name, or its one number for all."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            numbers = tuple(int(one) for one in value if isinstance(one, int))
            return numbers[:layers] if len(numbers) == len(value) >= layers else None
        number = self.number(key)
        return None if number is None else (number,) * layers

    def length(self, key: str) -> int | None:
        """How many entries an array has; None when it is not there."""
        value = self.metadata.get(key)
        if isinstance(value, LongArray):
            return value.count
        return len(value) if isinstance(value, tuple) else None
