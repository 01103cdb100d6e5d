"""Converts a Pocket GGUF in F16 to a folder that MLX opens: bf16, fp16, or quantized to 8 or 4 bits.

Needs MLX alone, which reads GGUF itself. The folder has what Hugging Face's has: config.json, model.safetensors,
tokenizer.json, tokenizer_config.json, README.md.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import mlx.core as mx

GROUP = 64
"""Weights that share a scale; MLX's own default."""
TYPES = {"bf16": mx.bfloat16, "fp16": mx.float16, "fp32": mx.float32, "8bit": mx.bfloat16, "4bit": mx.bfloat16}
"""Name of a form to the type of what is not quantized."""
F16 = 1
"""`LLAMA_FTYPE_MOSTLY_F16` of llama.h: what a header says of the whole file."""
CONTROL = 3
"""`LLAMA_TOKEN_TYPE_CONTROL` of gguf.md."""
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
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
"""llama.cpp's names to Hugging Face's."""


def hub_name(name: str) -> str:
    """Hugging Face's name of one of llama.cpp's tensors."""
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if layer:
        return f"model.layers.{layer[1]}.{NAMES[layer[2]]}.weight"
    return f"{NAMES[name.removesuffix('.weight')]}.weight"


def in_halves(weight: mx.array, heads: int) -> mx.array:
    """Rows of a query or key projection whose rotary pairs lie next to each other, moved to the halves of each head."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def weights(tensors: dict[str, mx.array], heads: int, kv_heads: int, form: str) -> dict[str, mx.array]:
    """All tensors under their new names, in the numbers of `form`."""
    found: dict[str, mx.array] = {}
    for name, tensor in tensors.items():
        paired = heads if "attn_q." in name else kv_heads if "attn_k." in name else None
        array = (tensor if paired is None else in_halves(tensor, paired)).astype(TYPES[form])
        new = hub_name(name)
        if array.ndim == 1 or not form.endswith("bit"):
            found[new] = array
            continue
        weight, scales, biases = mx.quantize(array, group_size=GROUP, bits=int(form.removesuffix("bit")))
        stem = new.removesuffix("weight")
        found |= {new: weight, f"{stem}scales": scales, f"{stem}biases": biases}
    return found


def config(header: dict[str, Any], form: str, *, tied: bool) -> dict[str, Any]:
    """`config.json` of the model."""
    number = {name.partition(".")[2]: value.item() for name, value in header.items() if name.startswith("llama.")}
    written: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": number["embedding_length"],
        "num_hidden_layers": number["block_count"],
        "intermediate_size": number["feed_forward_length"],
        "num_attention_heads": number["attention.head_count"],
        "num_key_value_heads": number["attention.head_count_kv"],
        "rms_norm_eps": number["attention.layer_norm_rms_epsilon"],
        "vocab_size": number["vocab_size"],
        "max_position_embeddings": number["context_length"],
        "rope_theta": number["rope.freq_base"],
        "tie_word_embeddings": tied,
        "torch_dtype": str(TYPES[form]).rpartition(".")[2],
        "bos_token_id": header["tokenizer.ggml.bos_token_id"].item(),
        "eos_token_id": [header[f"tokenizer.ggml.{end}_token_id"].item() for end in ("eos", "eot")],
    }
    if form.endswith("bit"):
        written["quantization"] = {"group_size": GROUP, "bits": int(form.removesuffix("bit"))}
    return written


def tokenizer(header: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer.json`: byte-level BPE that puts the first token before a text, as llama.cpp does."""
    tokens, types = header["tokenizer.ggml.tokens"], header["tokenizer.ggml.token_type"].tolist()
    bytes_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [
        {"id": number, "content": token, "special": True, **flags}
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == CONTROL
    ]
    first = tokens[header["tokenizer.ggml.bos_token_id"].item()]
    begin, text = {"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    special = {first: {"id": first, "ids": [tokens.index(first)], "tokens": [first]}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": bytes_level,
        "post_processor": {
            "type": "TemplateProcessing", "single": [begin, text], "pair": [begin, text], "special_tokens": special
        },
        "decoder": bytes_level,
        "model": {
            "type": "BPE",
            "unk_token": None,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in header["tokenizer.ggml.merges"]],
        },
    }  # fmt: skip


def tokenizer_config(header: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer_config.json`."""
    tokens = header["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[header["tokenizer.ggml.bos_token_id"].item()],
        "eos_token": tokens[header["tokenizer.ggml.eot_token_id"].item()],
        "model_max_length": header["llama.context_length"].item(),
        "clean_up_tokenization_spaces": False,
        "chat_template": header["tokenizer.chat_template"],
    }


def page(header: dict[str, Any]) -> str:
    """`README.md`: what the GGUF file says of licence and use."""
    name, licence, description = (header[f"general.{fact}"] for fact in ("name", "license", "description"))
    return f"---\nlicense: {licence}\n---\n# {name}\n\n{description}\n"


def read(source: Path) -> tuple[dict[str, mx.array], dict[str, Any]]:
    """Tensors and header of a GGUF file.

    Raises:
        SystemExit: it is none, or not in F16; MLX would turn some quantizations into that in silence.
    """
    try:
        tensors, header = mx.load(str(source), return_metadata=True)
    except (RuntimeError, ValueError) as error:
        raise SystemExit(f"{source} cannot be read: {error}. Give Pocket's GGUF file in F16.") from None
    kind = header.get("general.file_type")
    if kind is None or kind.item() != F16:
        raise SystemExit(f"{source} is not in F16, so it is no source for other forms. Give Pocket's file in F16.")
    return tensors, header


def convert(source: Path, target: Path, form: str) -> None:
    """Write the model of the file `source` into the folder `target`."""
    tensors, header = read(source)
    written = config(header, form, tied="output.weight" not in tensors)
    target.mkdir(parents=True, exist_ok=True)
    arrays = weights(tensors, written["num_attention_heads"], written["num_key_value_heads"], form)
    mx.save_safetensors(str(target / "model.safetensors"), arrays, {"format": "mlx"})
    for name, content in (
        ("config.json", written),
        ("tokenizer.json", tokenizer(header)),
        ("tokenizer_config.json", tokenizer_config(header)),
    ):
        (target / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    (target / "README.md").write_text(page(header), encoding="utf-8")


def main() -> None:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="GGUF file in F16")
    parser.add_argument("target", type=Path, help="folder to write in, a folder for each form: pocket-5m-bf16")
    parser.add_argument("forms", nargs="+", choices=TYPES, help="what to write")
    arguments = parser.parse_args()
    name = arguments.source.stem.removesuffix("-F16")
    for form in arguments.forms:
        convert(arguments.source, arguments.target / f"{name}-{form}", form)


if __name__ == "__main__":
    main()
