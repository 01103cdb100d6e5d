"""A Llama in GGUF with F16 weights as the same numbers elsewhere: in F32, and in Hugging Face's form."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.engine.gguf_files import F16, F32, Gguf, Tensor

if TYPE_CHECKING:
    import numpy as np

_CONTROL = 3
"""Number of `LLAMA_TOKEN_TYPE_CONTROL`."""
_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def as_f32(source: Path, target: Path) -> Path:
    """The same model with every number as F32."""
    model = Gguf.read(source)
    for name, tensor in model.tensors.items():
        model.tensors[name] = Tensor(tensor.shape, F32, _numbers(tensor).tobytes())
    model.set("general.file_type", 0)
    return model.write(target)


def as_hugging_face(source: Path, folder: Path) -> Path:
    """The same model as config.json, model.safetensors and tokenizer.json."""
    model = Gguf.read(source)
    folder.mkdir(parents=True, exist_ok=True)
    _write_safetensors(folder / "model.safetensors", dict(_weights(model)))
    bos = model.array("tokenizer.ggml.tokens")[_number(model, "tokenizer.ggml.bos_token_id")]
    for name, document in {
        "config.json": _config(model),
        "tokenizer.json": _tokenizer(model, bos),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": bos},
    }.items():
        (folder / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return folder


def _numbers(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows by columns, in the order of the file."""
    import numpy as np

    kind = {F32: np.float32, F16: np.float16}[tensor.kind]
    count = 1
    for size in tensor.shape:
        count *= size
    return np.frombuffer(tensor.data, kind, count).astype(np.float32).reshape(tensor.shape[::-1])


def _weights(model: Gguf) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Hugging Face's name of each tensor, and its numbers in its order."""
    heads = {"attn_q": _number(model, "llama.attention.head_count")}
    heads["attn_k"] = _number(model, "llama.attention.head_count_kv")
    for name, tensor in model.tensors.items():
        parts, numbers = name.split("."), _numbers(tensor)
        if parts[0] != "blk":
            yield f"{_OUTSIDE[parts[0]]}.weight", numbers
            continue
        if parts[2] in heads:  # llama.cpp rotates neighbours, Hugging Face the halves of a head
            rows, columns = numbers.shape
            numbers = numbers.reshape(heads[parts[2]], -1, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        yield f"model.layers.{parts[1]}.{_NAMES[parts[2]]}.weight", numbers


def _config(model: Gguf) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _number(model, "llama.embedding_length"),
        "intermediate_size": _number(model, "llama.feed_forward_length"),
        "num_hidden_layers": _number(model, "llama.block_count"),
        "num_attention_heads": _number(model, "llama.attention.head_count"),
        "num_key_value_heads": _number(model, "llama.attention.head_count_kv"),
        "max_position_embeddings": _number(model, "llama.context_length"),
        "rms_norm_eps": model.metadata["llama.attention.layer_norm_rms_epsilon"][1],
        "rope_parameters": {"rope_type": "default", "rope_theta": model.metadata["llama.rope.freq_base"][1]},
        "rope_theta": model.metadata["llama.rope.freq_base"][1],
        "hidden_act": "silu",
        "vocab_size": len(model.array("tokenizer.ggml.tokens")),
        "tie_word_embeddings": "output.weight" not in model.tensors,
        "bos_token_id": _number(model, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _number(model, "tokenizer.ggml.eos_token_id"),
        "dtype": "float32",
    }


def _tokenizer(model: Gguf, bos: str) -> dict[str, Any]:
    """GPT-2's byte-level pairs, and the token that begins a text."""
    tokens, types = model.array("tokenizer.ggml.tokens"), model.array("tokenizer.ggml.token_type")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    number = tokens.index(bos)
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": place, "content": token, **flags}
            for place, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind == _CONTROL
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {token: place for place, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in model.array("tokenizer.ggml.merges")],
        },
    }


def _write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    """The format is a header in JSON and the numbers behind it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, numbers in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(numbers.shape), "data_offsets": [offset, offset + numbers.nbytes]}
        offset += numbers.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for numbers in tensors.values():
            file.write(numbers.tobytes())


def _number(model: Gguf, name: str) -> int:
    value = model.metadata[name][1]
    assert isinstance(value, int)
    return value
