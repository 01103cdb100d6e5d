"""Tokenizer files of all sorts: bytes of tokens, control tokens, beginnings and ends, chat templates."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from slmtui.core.chat import Message
from slmtui.engine.backends import EngineError
from slmtui.engine.mlx_files import ModelFolder, read_folder
from slmtui.engine.mlx_text import Vocabulary, chat_template
from slmtui.engine.prompts import conversation_tokens, prompt_tokens, started_renderer
from tests.engine.support import Q4_K_M, Q8_0
from tests.mlx_models import TO_MLX, Forms, changed, needs_mlx

pytestmark = needs_mlx


def sentence_pieces(**changes: object) -> dict[str, Any]:
    """A tokenizer in the style of sentencepiece: blanks are ▁, bytes are <0xNN>."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "▁ab", "ab"]
    special = [
        {"id": number, "content": word, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for number, word in enumerate(words[:3])
    ]
    blanks = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return {
        "version": "1.0",
        "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, blanks]},
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "byte_fallback": True,
            "vocab": {word: number for number, word in enumerate(words)},
            "merges": [["▁", "a"], ["▁a", "b"], ["a", "b"]],
        },
        **changes,
    }


def model(target: Path, tokenizer: dict[str, Any], config: dict[str, Any] | None = None, **own: object) -> ModelFolder:
    """A folder whose weights nobody opens."""
    target.mkdir()
    for name, content in (
        ("config.json", {"model_type": "llama", **own}),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **(config or {})}),
    ):
        (target / name).write_text(json.dumps(content), encoding="utf-8")
    (target / "model.safetensors").touch()
    return read_folder(str(target))


def test_bytes_of_a_byte_level_vocabulary(mlx_forms: Forms) -> None:
    vocabulary = Vocabulary(read_folder(str(mlx_forms("bf16"))))
    text = "a token, ünïcödé 模型 🎈\n\t\0 <|im_end|>"
    tokens = vocabulary.tokens(text, special=False)
    assert b"".join(map(vocabulary.piece, tokens)).decode() == text
    assert not any(map(vocabulary.is_control, tokens))
    (end,) = vocabulary.tokens("<|im_end|>", special=True)
    assert vocabulary.is_control(end)
    assert vocabulary.ends(end)
    assert not vocabulary.is_ordinary(end)
    assert vocabulary.piece(end) == vocabulary.piece(10**6) == b""
    assert {vocabulary.piece(token) for token in range(vocabulary.size)} >= {bytes([byte]) for byte in range(256)}
    assert vocabulary.with_bos(tokens) == [vocabulary.bos, *tokens]


def test_bytes_of_sentence_pieces(tmp_path: Path) -> None:
    vocabulary = Vocabulary(model(tmp_path / "model", sentence_pieces()))
    tokens = vocabulary.tokens("ab aé", special=True)
    assert b"".join(map(vocabulary.piece, tokens)).decode() == " ab aé"
    assert vocabulary.is_control(0)
    assert not vocabulary.is_ordinary(0)
    assert (vocabulary.bos, vocabulary.eos, vocabulary.adds_bos) == (1, 2, False)
    assert vocabulary.written(1) == "<s>"
    assert vocabulary.written(None) == ""
    assert list(vocabulary.tokens("a</s>", special=True))[-1] == 2
    assert 2 not in vocabulary.tokens("a</s>", special=False)


def test_bytes_of_an_unusual_decoder(tmp_path: Path) -> None:
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": False}
    vocabulary = Vocabulary(model(tmp_path / "model", sentence_pieces(decoder=decoder)))
    assert vocabulary.piece(260) == b" a"


@pytest.mark.parametrize(
    ("processor", "config", "adds"),
    [
        (None, {}, False),
        (None, {"add_bos_token": True}, True),
        ({"type": "TemplateProcessing"}, {}, True),
        ({"type": "TemplateProcessing"}, {"bos_token": {"content": "<s>"}}, True),
    ],
)
def test_whether_a_text_begins_with_bos(
    tmp_path: Path, processor: dict[str, Any] | None, config: dict[str, Any], adds: bool
) -> None:
    if processor is not None:
        begin, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
        special = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
        processor |= {"single": [begin, text], "pair": [begin, text], "special_tokens": special}
    folder = model(tmp_path / "model", sentence_pieces(post_processor=processor), config)
    vocabulary = Vocabulary(folder)
    assert vocabulary.adds_bos is adds
    assert vocabulary.bos == 1
    assert (prompt_tokens(vocabulary, "ab")[0] == 1) is adds


def test_what_ends_generation(tmp_path: Path) -> None:
    folder = model(tmp_path / "one", sentence_pieces(), eos_token_id=[5, 6])
    assert [token for token in range(20) if Vocabulary(folder).ends(token)] == [2, 5, 6]
    (folder.path / "generation_config.json").write_text('{"eos_token_id": 7}', encoding="utf-8")
    assert [token for token in range(20) if Vocabulary(read_folder(str(folder.path))).ends(token)] == [2, 7]


def test_older_files_than_tokenizer_json(tmp_path: Path, mlx_forms: Forms) -> None:
    source = mlx_forms("bf16")
    path = changed(source, tmp_path / "model", "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    whole = json.loads((source / "tokenizer.json").read_text("utf-8"))
    (path / "tokenizer.json").unlink()
    (path / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]), encoding="utf-8")
    merges = "\n".join(map(" ".join, whole["model"]["merges"]))
    (path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    text = "Once upon a time, a token was read."
    ours, theirs = Vocabulary(read_folder(str(path))), Vocabulary(read_folder(str(source)))
    assert ours.tokens(text, special=True) == theirs.tokens(text, special=True)
    assert ours.piece(300) == theirs.piece(300)


TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.mark.parametrize(
    ("files", "said", "source"),
    [
        ({}, None, None),
        ({}, TEMPLATE, "tokenizer_config.json"),
        ({}, [{"name": "tools", "template": "x"}, {"name": "default", "template": TEMPLATE}], "tokenizer_config.json"),
        ({}, [{"name": "tools", "template": "x"}, 7], None),
        ({"chat_template.jinja": TEMPLATE}, "older", "chat_template.jinja"),
        ({"chat_template.json": json.dumps({"chat_template": TEMPLATE})}, "older", "chat_template.json"),
    ],
    ids=str,
)
def test_where_the_chat_template_stands(
    tmp_path: Path, files: dict[str, str], said: object, source: str | None
) -> None:
    folder = model(tmp_path / "model", sentence_pieces(), {"chat_template": said})
    for name, content in files.items():
        (folder.path / name).write_text(content, encoding="utf-8")
    found = chat_template(folder)
    assert (found.source if found else None) == source
    if found is None:
        return
    assert found.text == TEMPLATE
    vocabulary = Vocabulary(folder)
    renderer = started_renderer(found.text, vocabulary)
    try:
        text, tokens = conversation_tokens(vocabulary, renderer, (Message("user", "ab </s> a"),))
    finally:
        renderer.close()
    assert text == "<s>[user] ab </s> a</s>"
    assert [token for token in tokens if token < 3] == [1, 2], "what is written in a message ends nothing"


def test_a_damaged_tokenizer_config(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", sentence_pieces())
    (folder.path / "tokenizer_config.json").write_bytes(b"{\xff")
    with pytest.raises(EngineError, match="tokenizer_config"):
        read_folder(str(folder.path))


@pytest.mark.parametrize("source", [Q8_0, Q4_K_M, TO_MLX, Path("/none/such.gguf")], ids=lambda source: source.name)
def test_the_converter_takes_f16_alone(source: Path, tmp_path: Path) -> None:
    convert = runpy.run_path(str(TO_MLX))["convert"]
    with pytest.raises(SystemExit, match="Give Pocket's"):
        convert(source, tmp_path, "bf16")
