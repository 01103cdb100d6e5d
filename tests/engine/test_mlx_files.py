"""What MLX cannot open: always a sentence, and the worker goes on."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from slmtui.core.events import FailureKind, Loaded, StopReason
from slmtui.engine.client import WorkerClient
from slmtui.engine.mlx_files import read_folder
from slmtui.engine.protocol import Load, Measure
from tests.engine.support import F16, done, failed, run, tell, text_of, worker
from tests.mlx_models import Forms, changed, needs_mlx

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE = "\x1b[31m[b]red[/b]\n\u202e"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    async with worker(tmp_path_factory.mktemp("worker") / "log") as alive:
        yield alive


async def refused(client: WorkerClient, path: Path | str, kind: FailureKind = FailureKind.BAD_FILE) -> str:
    """The sentence with which a folder is refused."""
    why = failed(await run(client, Load(path=str(path), engine="MLX")), kind).message
    assert why.isprintable()
    return why


def folder(target: Path, **files: object) -> Path:
    """A folder with these files: bytes as they are, anything else as JSON; "__" in a name stands for a dot."""
    target.mkdir()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (target / name.replace("__", ".")).write_bytes(data)
    return target


# -- what is seen without MLX


@pytest.mark.parametrize("name", ["missing", "missing\x00zero", f"{HOSTILE}/x", "owner/model", "/none/such", "../.."])
async def test_no_folder(client: WorkerClient, tmp_path: Path, name: str) -> None:
    why = await refused(client, name if "/" in name else tmp_path / name)
    assert "There is no folder" in why or "cannot be read" in why or "is not a model" in why


async def test_a_file_is_no_folder(client: WorkerClient) -> None:
    why = await refused(client, F16)
    assert "is a file" in why
    assert "config.json" in why


WHOLE = {"config__json": {"model_type": "llama"}, "model__safetensors": b""}
INCOMPLETE: dict[str, tuple[dict[str, object], str]] = {
    "nothing": ({}, "has no config.json"),
    "no weights": ({"config__json": {"model_type": "llama"}}, "model.safetensors is missing"),
    "other weights": ({"config__json": {"model_type": "llama"}, "adapters__safetensors": b""}, "is missing"),
    "no type": ({**WHOLE, "config__json": {}}, "names no model_type"),
    "a type that is no text": ({**WHOLE, "config__json": {"model_type": 5}}, "names no model_type"),
    "a list": ({**WHOLE, "config__json": [1, 2]}, "config.json is damaged"),
    "not JSON": ({**WHOLE, "config__json": b"{"}, "config.json is damaged"),
    "not UTF-8": ({**WHOLE, "config__json": b'{"model_type": "\xff"}'}, "config.json is damaged"),
    "deep": ({**WHOLE, "config__json": b"[" * 100_000}, "config.json is damaged"),
    "half a character": ({**WHOLE, "config__json": b'{"model_type": "\\ud800"}'}, "config.json is damaged"),
    "endless digits": ({**WHOLE, "config__json": b'{"model_type": ' + b"9" * 5000 + b"}"}, "config.json is damaged"),
    "absurd layers": ({**WHOLE, "config__json": {"model_type": "llama", "num_hidden_layers": 10**9}}, "1,000,000,000"),
    "a missing shard": (
        {
            "config__json": {"model_type": "llama"},
            "model-00001-of-00002__safetensors": b"",
            "model__safetensors__index__json": {
                "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
            },
        },
        "model-00002-of-00002.safetensors is missing",
    ),
}


@pytest.mark.parametrize("fault", INCOMPLETE)
async def test_a_folder_that_holds_no_whole_model(client: WorkerClient, tmp_path: Path, fault: str) -> None:
    files, words = INCOMPLETE[fault]
    assert words in await refused(client, folder(tmp_path / "model", **files))


async def test_a_config_as_python_writes_it(tmp_path: Path) -> None:
    config = {"model_type": "falcon_h1", "time_step_limit": [0.0, math.inf], "largest": 10**30}
    found = read_folder(str(folder(tmp_path / "model", **{**WHOLE, "config__json": config})))
    assert found.config == config


async def test_a_config_that_may_not_be_read(client: WorkerClient, tmp_path: Path) -> None:
    path = folder(tmp_path / "model", **WHOLE)
    (path / "config.json").unlink()
    (path / "config.json").mkdir()
    assert "cannot be read" in await refused(client, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "model-2.safetensors", "tokenizer.json", "chat_template.jinja", "README.md"],
)
async def test_a_pipe_is_not_waited_for(client: WorkerClient, tmp_path: Path, name: str) -> None:
    path = folder(tmp_path / "model", **WHOLE)
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    assert f"{name} is no file" in await refused(client, path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type_k": "q8_0"}, "q8_0"),
        ({"flash_attention": "off"}, "flash attention"),
        ({"flash_attention": "zz"}, "flash attention"),
        ({"gpu_layers": 3}, "3 layers"),
        ({"device": "gpu", "gpu_layers": 0}, "choose the device cpu"),
        ({"split_mode": "row"}, "on one GPU"),
        ({"split_mode": "zz"}, "Leave the split at layer"),
        ({"tensor_split": (1.0, 1.0)}, "give no shares"),
        ({"context": 2}, "context is 2"),
        ({"batch": 0}, "batch is 0"),
    ],
)
async def test_settings_that_mlx_does_not_have(client: WorkerClient, changes: dict[str, object], words: str) -> None:
    request = Load(path="/none", engine="MLX", **changes)  # type: ignore[arg-type]
    assert words in failed(await run(client, request), FailureKind.BAD_REQUEST).message


async def test_an_engine_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "__init__.py").write_text("raise ImportError('libmlx.so: not here')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with worker(tmp_path / "log") as alone:
        path = folder(tmp_path / "model", **WHOLE)
        why = failed(await run(alone, Load(path=str(path), engine="MLX")), FailureKind.ENGINE_MISSING).message
        assert "libmlx.so" in why
        assert "slmtui doctor" in why


# -- what MLX says


@needs_mlx
async def test_a_repository_of_the_hubs_cache(tmp_path: Path, mlx_forms: Forms, home: Path) -> None:
    snapshot = home / "huggingface" / "hub" / "models--maker--pocket-4bit" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc", encoding="ascii")
    snapshot.symlink_to(mlx_forms("bf16"))
    async with worker(tmp_path / "log") as client:
        ending = (await run(client, Load(path="maker/pocket-4bit", engine="MLX")))[-1]
        assert isinstance(ending, Loaded), ending
        assert ending.facts.name == "maker/pocket-4bit"


@needs_mlx
@pytest.mark.parametrize("length", [0, 7, 200, 100_000, 8_000_000])
async def test_weights_that_were_cut_off(client: WorkerClient, tmp_path: Path, mlx_forms: Forms, length: int) -> None:
    path = changed(mlx_forms("bf16"), tmp_path / "model")
    weights = path / "model.safetensors"
    data = weights.read_bytes()[:length]
    weights.unlink()
    weights.write_bytes(data)
    assert "damaged or incomplete" in await refused(client, path)


@needs_mlx
@pytest.mark.parametrize("header", [b'{"a": 1}', b"[]", b"\xff\xff", b"{" * 5000])
async def test_headers_of_weights_that_make_no_sense(
    client: WorkerClient, tmp_path: Path, mlx_forms: Forms, header: bytes
) -> None:
    path = changed(mlx_forms("bf16"), tmp_path / "model")
    (path / "model.safetensors").unlink()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    await refused(client, path)


UNKNOWN: dict[str, dict[str, Any]] = {
    "of another kind": {"model_type": "bert"},
    "that nobody knows": {"model_type": f"no-such{HOSTILE}"},
    "of mlx-lm's own": {"model_type": "base"},
    "outside the package": {"model_type": "..utils"},
    "with code of its own": {"model_file": "model.py"},
}


@needs_mlx
@pytest.mark.parametrize("fault", UNKNOWN)
async def test_a_model_type_that_cannot_be_run(
    client: WorkerClient, tmp_path: Path, mlx_forms: Forms, fault: str
) -> None:
    path = changed(mlx_forms("bf16"), tmp_path / "model", **UNKNOWN[fault])
    (path / "model.py").write_text("raise SystemExit", encoding="utf-8")
    await refused(client, path, FailureKind.UNSUPPORTED_ARCHITECTURE)


@needs_mlx
@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 7},
        {"num_hidden_layers": 5},
        {"hidden_size": 512},
        {"hidden_size": "wide"},
        {"hidden_size": None},
        {"vocab_size": -1},
        {"num_attention_heads": 0},
        {"rope_scaling": {"type": "nonsense"}},
        {"quantization": {"group_size": 64, "bits": 4}, "num_hidden_layers": 3},
        {"quantization_config": {"quant_method": "gptq", "bits": 3}},
    ],
    ids=str,
)
async def test_a_config_that_does_not_fit_the_weights(
    client: WorkerClient, tmp_path: Path, mlx_forms: Forms, changes: dict[str, Any]
) -> None:
    await refused(client, changed(mlx_forms("bf16"), tmp_path / "model", **changes))


@needs_mlx
async def test_what_mlx_does_not_support_is_no_model_type(
    client: WorkerClient, tmp_path: Path, mlx_forms: Forms
) -> None:
    why = await refused(client, changed(mlx_forms("4bit"), tmp_path / "model", num_attention_heads=7))
    assert "config.json" in why
    assert "group size 63 is not supported" in why


@needs_mlx
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": {"type": "BPE", "vocab": {}, "merges": [7]}}'])
async def test_a_tokenizer_that_cannot_be_read(
    client: WorkerClient, tmp_path: Path, mlx_forms: Forms, content: bytes
) -> None:
    path = changed(mlx_forms("bf16"), tmp_path / "model")
    (path / "tokenizer.json").unlink()
    (path / "tokenizer.json").write_bytes(content)
    assert "The tokenizer of model cannot be read (" in await refused(client, path)


@needs_mlx
async def test_a_tokenizer_that_is_missing(client: WorkerClient, tmp_path: Path, mlx_forms: Forms) -> None:
    path = changed(mlx_forms("bf16"), tmp_path / "model")
    (path / "tokenizer.json").unlink()
    why = await refused(client, path)
    assert "there is no tokenizer.json" in why
    assert "sentencepiece" not in why


@needs_mlx
async def test_weights_that_are_not_numbers(client: WorkerClient, tmp_path: Path, mlx_forms: Forms) -> None:
    path = changed(mlx_forms("bf16"), tmp_path / "model")
    data = (path / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + (size := int.from_bytes(data[:8], "little"))])
    start, end = header["model.norm.weight"]["data_offsets"]
    (path / "model.safetensors").unlink()
    damaged = data[: 8 + size + start] + b"\xff\x7f" * ((end - start) // 2) + data[8 + size + end :]
    (path / "model.safetensors").write_bytes(damaged)
    assert isinstance((await run(client, Load(path=str(path), engine="MLX")))[-1], Loaded)
    prefill, decode = Measure(prompt_tokens=4, generated_tokens=0), Measure(prompt_tokens=0, generated_tokens=4)
    for asked in (tell("Once"), prefill, decode):
        assert "not a number" in failed(await run(client, asked), FailureKind.BAD_FILE).message


@needs_mlx
@pytest.mark.parametrize("name", ["plain", "with blank [b]", "ümläut 模型", "\udcff\udcfe"])
async def test_any_name_of_a_folder_works(client: WorkerClient, tmp_path: Path, mlx_forms: Forms, name: str) -> None:
    path = tmp_path / name
    try:
        path.symlink_to(mlx_forms("bf16"))
    except OSError:
        pytest.skip("this file system has no such names")
    ending = (await run(client, Load(path=str(path), engine="MLX")))[-1]
    assert isinstance(ending, Loaded), ending


@needs_mlx
async def test_bytes_of_a_character_in_several_tokens_and_an_invalid_one(
    client: WorkerClient, tmp_path: Path, mlx_forms: Forms
) -> None:
    """Four tokens of the greedy text change places with those that stand for the bytes E2, 82, AC and FF."""
    from tokenizers import Tokenizer

    source, once = mlx_forms("bf16"), "Once upon a time"
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    await run(client, Load(path=str(source), engine="MLX"))
    greedy = tokenizer.encode(text_of(await run(client, tell(once, 30))), add_special_tokens=False).ids
    known = tokenizer.encode(once).ids
    first = next(at for at in range(2, 24) if len({*known, *greedy[: at + 4]}) == len({*known, *greedy[:at]}) + 4)
    document = json.loads((source / "tokenizer.json").read_text("utf-8"))
    vocabulary: dict[str, int] = document["model"]["vocab"]
    for token, byte in zip(greedy[first : first + 4], "âĤ¬ÿ", strict=True):
        written = tokenizer.id_to_token(token)
        vocabulary[written], vocabulary[byte] = vocabulary[byte], vocabulary[written]
    path = changed(source, tmp_path / "model", "tokenizer.json", **document)
    await run(client, Load(path=str(path), engine="MLX"))
    events = await run(client, tell(once, first + 4))
    done(events, StopReason.LIMIT)
    assert text_of(events) == tokenizer.decode(greedy[:first]) + "€\ufffd"
