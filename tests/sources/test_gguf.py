"""The header of GGUF files: good ones against other readers, and every way in which one can be bad."""

from __future__ import annotations

import ctypes
import io
import os
import random
import struct
from pathlib import Path

import pytest

from slmtui.core.gguf import TENSOR_TYPES, GgufHeader, LongArray
from slmtui.core.text import one_line
from slmtui.engine import llama_library
from slmtui.engine.llama_tensors import read_tensors
from slmtui.sources.gguf import GgufError, parse_header, read_header
from tests.engine import architectures
from tests.engine.gguf_files import ARRAY, F32, FLOAT32, STRING, UINT32, Gguf, Tensor
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY

HEADER_BYTES = 24


def small() -> Gguf:
    """A header with a value of several types, and two tensors."""
    model = Gguf()
    model.set("general.architecture", "any", STRING)
    model.set("any.block_count", 2, UINT32)
    model.set("any.head_count", (UINT32, [4, 0]), ARRAY)
    model.set("any.rope", 0.5, FLOAT32)
    model.set("words", (STRING, ["a", "b"]), ARRAY)
    model.tensors["first.weight"] = Tensor((8, 4), F32, bytes(128))
    model.tensors["second.weight"] = Tensor((5,), F32, bytes(20))
    return model


def parsed(data: bytes) -> GgufHeader:
    return parse_header(io.BytesIO(data), len(data), "x.gguf")


def bad(data: bytes, *words: str) -> None:
    """Must be refused with a sentence that says so."""
    with pytest.raises(GgufError) as refused:
        parsed(data)
    message = str(refused.value)
    assert all(word in message for word in ("x.gguf", *words)), message
    assert message.endswith("."), message
    assert message == one_line(message)


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    """The bytes of `small`."""
    return small().write(tmp_path / "small.gguf").read_bytes()


@pytest.mark.parametrize("path", [F16, Q8_0, Q4_K_M, STORY], ids=lambda path: path.stem)
def test_real_files_as_other_readers_see_them(path: Path) -> None:
    header, other = read_header(path), Gguf.read(path)
    assert header.tensors == read_tensors(path), "libggml's own reader"
    assert (header.version, header.big_endian, header.file_bytes) == (3, False, path.stat().st_size)
    assert list(header.metadata) == list(other.metadata)
    for key, (kind, value) in other.metadata.items():
        found = header.metadata[key]
        if kind != ARRAY:
            assert found == value
        elif isinstance(found, LongArray):
            assert found.count == len(other.array(key))
        else:
            assert list(found) == other.array(key)  # type: ignore[arg-type]
    with path.open("rb") as file:
        for place, (name, tensor) in zip(header.places, other.tensors.items(), strict=True):
            file.seek(place)
            assert file.read(16) == tensor.data[:16], name


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "mamba", "lfm2"])
def test_files_of_other_architectures(tmp_path: Path, name: str) -> None:
    path = getattr(architectures, name)().write(tmp_path / "model.gguf")
    header = read_header(path)
    assert header.tensors == read_tensors(path)
    assert header.architecture == name
    assert header.number("block_count") == architectures.LAYERS


def test_types_of_tensors_are_the_engines() -> None:
    base = llama_library.sibling("ggml-base")
    base.ggml_type_size.restype = base.ggml_blck_size.restype = ctypes.c_int64
    for number, kind in TENSOR_TYPES.items():
        assert (base.ggml_blck_size(number), base.ggml_type_size(number)) == (kind.block, kind.bytes), kind.name
        assert kind.size(4 * kind.block) == 4 * kind.bytes


def test_values(data: bytes) -> None:
    header = parsed(data)
    assert (header.architecture, header.number("block_count"), header.number("rope")) == ("any", 2, None)
    assert header.each("head_count", 2) == (4, 0)
    assert header.each("block_count", 3) == (2, 2, 2)
    assert header.each("head_count", 3) is None, "there are only two"
    assert (header.number("head_count"), header.each("missing", 1)) == (None, None)
    assert (header.text("general.architecture"), header.text("any.rope"), header.text("missing")) == ("any", None, None)
    assert (header.length("words"), header.length("any.rope")) == (2, None)
    assert (header.weights_bytes, header.parameters) == (148, 37)


def test_a_long_array_is_passed_over(tmp_path: Path) -> None:
    words = [f"word {number}" * (number % 7) for number in range(50_000)]
    model = small().set("tokens", (STRING, words), ARRAY).set("scores", (FLOAT32, [0.5] * 2000), ARRAY)
    header = read_header(model.write(tmp_path / "long.gguf"))
    assert header.metadata["tokens"] == LongArray(50_000, sum(8 + len(word) for word in words))
    assert header.metadata["scores"] == LongArray(2000, 8000)
    assert [tensor.name for tensor in header.tensors] == ["first.weight", "second.weight"]


def test_version_2_reads_like_3(data: bytes) -> None:
    header = parsed(data[:4] + struct.pack("<I", 2) + data[8:])
    assert header.version == 2
    assert header.tensors == parsed(data).tensors


def test_big_endian(data: bytes) -> None:
    """A file for other machines, written by hand: one key, one tensor."""
    text = struct.pack(">Q", 3) + b"any"
    key = struct.pack(">Q", 20) + b"general.architecture" + struct.pack(">I", 8) + text
    tensor = text + struct.pack(">I2QIQ", 2, 8, 4, 0, 0)
    header = parsed(b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + key + tensor)
    assert (header.version, header.big_endian, header.architecture) == (3, True, "any")
    assert header.tensors[0].shape == (8, 4, 1, 1)
    assert not parsed(data).big_endian


def test_no_gguf(data: bytes) -> None:
    bad(b"", "ends in the middle")
    bad(b"GG", "ends in the middle")
    bad(b"PK\x03\x04" + data[4:], "not a GGUF file")
    bad(b"FUGG" + data[4:], "not a GGUF file")


def test_other_versions(data: bytes) -> None:
    for version, advice in ((1, "Convert"), (4, "Update"), (0, "Update"), (0x3000, "Update")):
        bad(data[:4] + struct.pack("<I", version) + data[8:], f"version {version:,}", advice)


@pytest.mark.parametrize("place", [8, 16], ids=["tensors", "keys"])
@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 10**9, 70_000])
def test_absurd_counts(data: bytes, place: int, count: int) -> None:
    bad(data[:place] + struct.pack("<Q", count) + data[place + 8 :], "damaged", f"{count:,}")


def test_absurd_lengths(data: bytes) -> None:
    for length, words in ((2**64 - 1, "claims"), (2**40, "claims"), (10_000_000, "ends in the middle")):
        bad(data[:HEADER_BYTES] + struct.pack("<Q", length) + data[HEADER_BYTES + 8 :], words)
    key = struct.pack("<Q", 1) + b"k" + struct.pack("<I", ARRAY)
    for kind, count in ((STRING, 2**63), (UINT32, 2**62), (UINT32, 2000), (STRING, 2000)):
        bad(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<IQ", kind, count), "ends in the middle")


def test_odd_types(data: bytes) -> None:
    key = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    bad(key + struct.pack("<I", 99), "unknown type 99")
    bad(key + struct.pack("<IIQ", ARRAY, ARRAY, 1), "unknown type 9")


def test_a_key_that_is_there_twice(data: bytes) -> None:
    pair = struct.pack("<Q", 1) + b"k" + struct.pack("<II", UINT32, 5)
    bad(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + pair + pair, "'k'", "twice")
    bad(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<QII", 0, UINT32, 5), "empty")


def test_an_odd_alignment(tmp_path: Path) -> None:
    for alignment in (0, 3, 48):
        bad(small().set("general.alignment", alignment, UINT32).write(tmp_path / "x").read_bytes(), "alignment")


def tensors(*infos: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, len(infos), 0) + b"".join(infos)


def info(name: bytes = b"t", shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    head = struct.pack("<Q", len(name)) + name + struct.pack("<I", len(shape))
    return head + struct.pack(f"<{len(shape)}QIQ", *shape, kind, offset)


def test_odd_tensors() -> None:
    assert parsed(tensors(info(), info(b"u", offset=128))).weights_bytes == 256
    bad(tensors(info(), info(offset=128)), "twice")
    bad(tensors(info(offset=32)), "out of place")
    bad(tensors(info(), info(b"u")), "out of place")
    bad(tensors(info(shape=(1, 1, 1, 1, 1))), "5 dimensions")
    bad(tensors(info(shape=(2**62, 4))), "cannot have the shape")
    bad(tensors(info(shape=(33,), kind=8)), "q8_0 cannot have the shape")
    bad(tensors(info(kind=4)), "type 4", "Update")
    bad(tensors(info(kind=1000)), "type 1,000", "Update")
    bad(tensors(info(name=b"n" * 64)), "64 bytes long")
    bad(tensors(info(name=b"\x1b[31m", shape=(2**62, 4))), "cannot have")


def test_a_file_that_is_cut(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cut.gguf"
    for length in range(0, len(data) - 12, 3):  # the last twelve bytes are a gap
        path.write_bytes(data[:length])
        with pytest.raises(GgufError) as refused:
            read_header(path)
        assert any(words in str(refused.value) for words in ("ends in the middle", "is incomplete"))
    path.write_bytes(data)
    assert len(read_header(path).tensors) == 2
    assert len(parse_header(io.BytesIO(data[:-100]), len(data), "x").tensors) == 2, "the rest need not be here"


def test_damaged_bytes_are_refused_or_read_but_nothing_else(data: bytes) -> None:
    draw = random.Random(3)
    outcomes: set[type] = set()
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(data) - 148)] = draw.randrange(256)
        try:
            outcomes.add(type(parsed(bytes(changed))))
        except GgufError as error:
            assert str(error) == one_line(str(error))
            outcomes.add(GgufError)
    assert outcomes == {GgufHeader, GgufError}


def test_no_file(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none.gguf", "No such file"),
        (tmp_path, "not a file"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(GgufError, match=words):
            read_header(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(GgufError, match="not a file"):
        read_header(tmp_path / "pipe.gguf")
