"""Files that are no models, damaged models, and models with absurd headers: a sentence each, and the worker lives."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from slmtui.core.events import Failed, FailureKind, Inspected, Loaded, StopReason
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure, Request
from tests.engine.gguf_files import FLOAT32, UINT32, Gguf
from tests.engine.support import F16, STORY, ask, done, failed, loaded, run, tell, worker

pytestmark = pytest.mark.asyncio(loop_scope="module")
GOOD = STORY.read_bytes()
Damage = Callable[[], bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    async with loaded(tmp_path_factory.mktemp("bad") / "log", Load(path=str(STORY), threads=1)) as one:
        yield one


async def refused(client: WorkerClient, path: Path | str, kind: FailureKind = FailureKind.BAD_FILE) -> str:
    """The sentence; the same worker loads a good file afterwards."""
    failure = failed(await run(client, Load(path=str(path), threads=1)), kind)
    assert isinstance((await run(client, Load(path=str(STORY), threads=1)))[-1], Loaded)
    done(await run(client, tell("Once", 1)), StopReason.LIMIT)
    return failure.message


async def test_no_file(client: WorkerClient, tmp_path: Path) -> None:
    message = await refused(client, tmp_path / "nothing.gguf")
    assert "nothing.gguf" in message
    assert "Check the path" in message


@pytest.mark.parametrize("place", ["folder", "file/below"])
async def test_no_regular_file(client: WorkerClient, tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert place in await refused(client, tmp_path / place)


async def test_a_pipe_is_not_waited_for(client: WorkerClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "pipe.gguf" in await refused(client, tmp_path / "pipe.gguf")
    await refused(client, "/dev/zero")


async def test_a_name_with_a_zero_byte(client: WorkerClient) -> None:
    await refused(client, "/tmp/a\0b.gguf")


@pytest.mark.parametrize(
    "content",
    [b"", b"GGU", b"<!DOCTYPE html><html>Access to model is restricted</html>" * 9, b"PK\x03\x04", b"\x1b[31mred\n\0"],
)
async def test_not_a_gguf(client: WorkerClient, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.gguf"
    path.write_bytes(content)
    message = await refused(client, path)
    assert "not a GGUF" in message
    assert message.isprintable()


@pytest.mark.parametrize("length", [4, 8, 20, 24, 100, 2_000, 9_000, len(GOOD) // 2, len(GOOD) - 40_000, len(GOOD) - 1])
async def test_a_file_that_was_cut_off(client: WorkerClient, tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(GOOD[:length])
    message = await refused(client, path)
    assert "damaged or incomplete" in message
    assert "again" in message


DAMAGES: dict[str, Damage] = {
    "version 99": lambda: GOOD[:4] + struct.pack("<I", 99) + GOOD[8:],
    "version 1": lambda: GOOD[:4] + struct.pack("<I", 1) + GOOD[8:],
    "big endian": lambda: GOOD[:4] + struct.pack(">I", 3) + GOOD[8:],
    "endless tensors": lambda: GOOD[:8] + struct.pack("<Q", 2**62) + GOOD[16:],
    "many tensors": lambda: GOOD[:8] + struct.pack("<Q", 10**9) + GOOD[16:],
    "endless header": lambda: GOOD[:16] + struct.pack("<Q", 2**62) + GOOD[24:],
    "endless key": lambda: GOOD[:24] + struct.pack("<Q", 2**63 - 1) + GOOD[32:],
    "long key": lambda: GOOD[:24] + struct.pack("<Q", 10**10) + GOOD[32:],
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_header(client: WorkerClient, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(DAMAGES[damage]())
    await refused(client, path)


HEADERS: dict[str, tuple[str, object]] = {
    "no heads": ("llama.attention.head_count", 0),
    "no kv heads": ("llama.attention.head_count_kv", 0),
    "heads that divide nothing": ("llama.attention.head_count", 7),
    "more blocks than there are": ("llama.block_count", 8),
    "no width": ("llama.embedding_length", 0),
    "another width": ("llama.embedding_length", 512),
    "odd feed-forward": ("llama.feed_forward_length", 7),
    "a word too many": ("llama.vocab_size", 2**31),
    "odd rope": ("llama.rope.dimension_count", 33),
    "a billion blocks": ("llama.block_count", 10**9),
    "no blocks": ("llama.block_count", 0),
    "negative blocks": ("llama.block_count", 2**32 - 1),
    "a context of billions": ("llama.context_length", 2_000_000_000),
    "a context of nothing": ("llama.context_length", 0),
    "bos out of range": ("tokenizer.ggml.bos_token_id", 4_000_000),
    "eos out of range": ("tokenizer.ggml.eos_token_id", 4_000_000),
    "eps not a number": ("llama.attention.layer_norm_rms_epsilon", math.nan),
}


Living = Callable[[], Awaitable[WorkerClient]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def living(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Living]:
    """A worker, another one when it has died."""
    log = tmp_path_factory.mktemp("absurd") / "log"
    async with AsyncExitStack() as stack:
        clients: list[WorkerClient] = []

        async def one() -> WorkerClient:
            if not clients or not clients[-1].alive:
                clients.append(await stack.enter_async_context(worker(log)))
            return clients[-1]

        yield one


@pytest.mark.parametrize("header", HEADERS)
async def test_an_absurd_header_ends_in_a_sentence(living: Living, tmp_path: Path, header: str) -> None:
    """llama.cpp refuses most, aborts on some and works with others; the app learns which, and nothing hangs."""
    path = Gguf.read(STORY).set(*HEADERS[header]).write(tmp_path / "absurd.gguf")
    client = await living()
    events = await run(client, Load(path=str(path), threads=1))
    if isinstance(events[-1], Loaded):
        events = await run(client, tell("Once upon a time", 4))
        if not isinstance(events[-1], Failed):
            done(events, StopReason.LIMIT)
            return
    assert isinstance(events[-1], Failed)
    assert events[-1].kind in (FailureKind.BAD_FILE, FailureKind.CRASHED, FailureKind.OUT_OF_MEMORY)
    assert events[-1].message.endswith((".", "`."))
    assert events[-1].log_tail
    assert client.alive == (events[-1].kind is not FailureKind.CRASHED)


async def test_an_unknown_architecture(client: WorkerClient, tmp_path: Path) -> None:
    path = Gguf.read(STORY).set("general.architecture", "warp-drive").write(tmp_path / "unknown.gguf")
    message = await refused(client, path, FailureKind.UNSUPPORTED_ARCHITECTURE)
    assert "warp-drive" in message
    assert "Update" in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("tokenizer.ggml.model", "no_vocab", "no vocabulary"), ("general.architecture", "clip", "part of another model")],
)
async def test_a_model_that_cannot_write_text(
    client: WorkerClient, tmp_path: Path, name: str, value: str, words: str
) -> None:
    path = Gguf.read(STORY).set(name, value).write(tmp_path / "odd.gguf")
    assert words in await refused(client, path, FailureKind.UNSUPPORTED_ARCHITECTURE)


async def test_an_architecture_with_control_characters(client: WorkerClient, tmp_path: Path) -> None:
    path = Gguf.read(STORY).set("general.architecture", "\x1b[31mwarp\r\n").write(tmp_path / "unknown.gguf")
    assert (await refused(client, path, FailureKind.UNSUPPORTED_ARCHITECTURE)).isprintable()


@pytest.mark.parametrize(
    ("missing", "word"),
    [("tokenizer.ggml.tokens", "vocab"), ("tokenizer.ggml.model", "model"), ("llama.block_count", "block_count")],
)
async def test_a_header_without_what_it_needs(client: WorkerClient, tmp_path: Path, missing: str, word: str) -> None:
    model = Gguf.read(STORY)
    del model.metadata[missing]
    assert word in await refused(client, model.write(tmp_path / "less.gguf"))


async def test_a_missing_tensor(client: WorkerClient, tmp_path: Path) -> None:
    model = Gguf.read(STORY)
    del model.tensors["blk.2.ffn_up.weight"]
    await refused(client, model.write(tmp_path / "less.gguf"))


MEASURED = (Measure(prompt_tokens=4, generated_tokens=0), Measure(prompt_tokens=0, generated_tokens=4))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("asked", [tell("Once upon a time", 4), *MEASURED])
async def test_weights_that_are_not_numbers(client: WorkerClient, tmp_path: Path, asked: Request, value: float) -> None:
    model = Gguf.read(STORY)
    tensor = model.tensors["blk.1.ffn_up.weight"]
    tensor.data = struct.pack("<f", value) * (len(tensor.data) // 4)
    path = model.write(tmp_path / "nan.gguf")
    events = await run(client, Load(path=str(path), threads=1))
    if isinstance(events[-1], Loaded):
        events = await run(client, asked)
    failure = failed(events, FailureKind.BAD_FILE)
    assert "again" in failure.message
    assert client.alive


async def test_absurd_types_of_values(client: WorkerClient, tmp_path: Path) -> None:
    model = Gguf.read(STORY).set("tokenizer.ggml.tokens", 5, UINT32).set("llama.block_count", 5.0, FLOAT32)
    await refused(client, model.write(tmp_path / "types.gguf"))


def strange(folder: Path, name: bytes, content: bytes | None) -> Path:
    """A file of that name, which may be no UTF-8; none where `content` is None."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    if content is not None:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9 \xff.gguf", "Größe 日本 😀.gguf".encode(), b"new\nline.gguf", b"\x1b[31mred\x1b[0m\x07.gguf", b" .gguf"],
)
async def test_any_name_of_a_file_works(client: WorkerClient, tmp_path: Path, name: bytes) -> None:
    path = strange(tmp_path, name, GOOD)
    assert isinstance((await run(client, Load(path=str(path), threads=1, inspect_only=True)))[-1], Inspected)
    assert isinstance((await run(client, Load(path=str(path), threads=1)))[-1], Loaded)
    done(await run(client, tell("Once", 1)), StopReason.LIMIT)


@pytest.mark.parametrize("name", [b"caf\xe9 \xff.gguf", b"new\nline.gguf", b"\x1b[31mred\x1b[0m\x07.gguf"])
@pytest.mark.parametrize("content", [None, b"no model", GOOD[:9000]])
async def test_messages_about_strange_names_are_fit_for_a_terminal(
    client: WorkerClient, tmp_path: Path, name: bytes, content: bytes | None
) -> None:
    path = strange(tmp_path, name, content)
    message = await refused(client, path)
    assert message.isprintable()
    message.encode()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Load(path=str(F16), type_k="q9_9"), "q9_9"),
        (Load(path=str(F16), type_v="Q8_0"), "q8_0"),
        (Load(path=str(F16), type_v="q8_0", flash_attention="off"), "flash attention"),
        (Load(path=str(STORY), type_k="q8_0"), "divide"),
        (Load(path=str(F16), flash_attention="maybe"), "maybe"),
        (Load(path=str(F16), threads=0), "threads"),
        (Load(path=str(F16), threads=99_999), "threads"),
        (Load(path=str(F16), threads_batch=99_999), "threads_batch"),
        (Load(path=str(F16), batch=0), "batch"),
        (Load(path=str(F16), micro_batch=-4), "micro_batch"),
    ],
)
async def test_settings_that_do_not_work_are_refused(client: WorkerClient, request_: Load, words: str) -> None:
    failure = failed(await run(client, request_), FailureKind.BAD_REQUEST)
    assert words in failure.message


async def test_an_engine_that_does_not_exist(tmp_path: Path) -> None:
    async with worker(tmp_path / "log") as one:
        failure = failed(await run(one, Load(path=str(F16), engine="warp")), FailureKind.ENGINE_MISSING)
        assert "warp" in failure.message
        assert "llama.cpp" in failure.message
        failed(await run(one, ask("Hello")), FailureKind.BAD_REQUEST)
        assert isinstance((await run(one, Load(path=str(F16), threads=1)))[-1], Loaded)
