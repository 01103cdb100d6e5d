"""What a model's own file says about it, read without an engine: the header of a GGUF file, MLX's `config.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import ModelFacts
from slmtui.core.gguf import GgufHeader
from slmtui.core.quantization import by_file_type
from slmtui.core.text import one_line
from slmtui.sources.gguf import GgufError, read_header
from slmtui.sources.library_hub import mlx_label
from slmtui.sources.remembered import Remembered
from slmtui.sources.textfile import TextFileError, read_json

_CONFIG_LIMIT_BYTES = 4 << 20


class _Config(msgspec.Struct):
    """The shape of a model as `transformers` writes it; some put it one level deeper."""

    model_type: str | None = None
    num_hidden_layers: int | None = None
    hidden_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int | None = None
    max_position_embeddings: int | None = None
    text_config: _Config | None = None


def model_facts(model: LocalModel, cache: Path) -> ModelFacts | None:
    """Facts from the file itself; None when it can't be read or is damaged.

    A header with a large vocabulary takes 0.1 s to read; `cache` is the JSON file that remembers what came of it.
    """
    try:
        if model.format == "MLX":
            return _mlx_facts(model.path)
        return Remembered(cache, ModelFacts).of(model.path, lambda path: gguf_facts(read_header(path)))
    except (OSError, GgufError, TextFileError):
        return None


def gguf_facts(header: GgufHeader) -> ModelFacts:
    """What a header says; for a split model, what its first part does."""
    kind = header.metadata.get("general.file_type")
    heads = header.number("attention.head_count")
    shared, layers = header.number("attention.head_count_kv"), header.number("block_count")
    each = header.each("attention.head_count_kv", layers or 0) if shared is None else None
    texts = {key: header.text(f"general.{key}") for key in ("name", "license", "description")}
    clean = {key: one_line(text) for key, text in texts.items() if text}
    split = header.metadata.get("split.count", 1)
    return ModelFacts(
        name=clean.get("name"),
        architecture=one_line(header.architecture) or None,
        quantization=by_file_type(kind) if isinstance(kind, int) else None,
        parameters=header.parameters if split in (0, 1) else None,
        weights_bytes=header.weights_bytes if split in (0, 1) else None,
        layers=layers,
        hidden_size=header.number("embedding_length"),
        heads=heads,
        kv_heads=shared or max(each or (), default=0) or heads,
        head_size=header.number("attention.key_length"),
        vocabulary=header.number("vocab_size") or header.length("tokenizer.ggml.tokens"),
        trained_context=header.number("context_length"),
        licence=clean.get("license"),
        description=clean.get("description"),
    )


def _mlx_facts(folder: Path) -> ModelFacts:
    config = read_json(folder / "config.json", _Config, _CONFIG_LIMIT_BYTES)
    shape = config.text_config or config
    return ModelFacts(
        architecture=one_line(shape.model_type or config.model_type or "") or None,
        quantization=mlx_label(folder),
        layers=shape.num_hidden_layers,
        hidden_size=shape.hidden_size,
        heads=shape.num_attention_heads,
        kv_heads=shape.num_key_value_heads or shape.num_attention_heads,
        head_size=shape.head_dim,
        vocabulary=shape.vocab_size,
        trained_context=shape.max_position_embeddings,
    )
