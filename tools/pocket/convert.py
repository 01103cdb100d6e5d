"""Converts a checkpoint to GGUF: F16 by the gguf package, smaller types by llama.cpp's own quantizer."""

from __future__ import annotations

import argparse
import ctypes
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from llama_cpp import llama_cpp
from model import PocketModel
from tokens import DEFAULT_TOKENIZER, END_OF_TEXT, TURN_END
from weights import load_model

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML; llama.cpp puts the end-of-text token before it, as in training."""

DESCRIPTION = (
    "Demo model that comes with slmtui, trained from scratch on synthetic text. It chats about a handful of "
    "topics and tells tiny stories; do not rely on anything it says."
)
QUANTIZATIONS: dict[str, int] = {
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}


def add_description(writer: gguf.GGUFWriter, model: PocketModel, name: str) -> None:
    """Write what the model is and its dimensions."""
    shape = model.shape
    writer.add_name(name)
    writer.add_description(DESCRIPTION)
    writer.add_license("mit")
    writer.add_size_label(f"{model.parameter_count() / 1e6:.1f}M")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict[str, Any]) -> None:
    """Write the vocabulary, merges and chat template; ``tokenizer`` is the parsed tokenizer.json."""
    special = {token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1])
    merges = tokenizer["model"]["merges"]
    types = [gguf.TokenType.CONTROL if number in special else gguf.TokenType.NORMAL for _, number in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(END_OF_TEXT)
    writer.add_eos_token_id(END_OF_TEXT)
    writer.add_eot_token_id(TURN_END)
    writer.add_pad_token_id(END_OF_TEXT)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_f16(model: PocketModel, tokenizer: dict[str, Any], name: str, path: Path) -> None:
    """Write ``model`` to ``path``, matrices as F16 and norms, as llama.cpp requires, as F32."""
    writer = gguf.GGUFWriter(path, "llama")
    add_description(writer, model, name)
    add_tokenizer(writer, tokenizer)
    for tensor_name, tensor in model.state_dict().items():
        width = np.float32 if tensor.dim() == 1 else np.float16
        writer.add_tensor(tensor_name, tensor.float().cpu().numpy().astype(width))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source: Path, target: Path, file_type: int) -> None:
    """Quantize the GGUF ``source`` to ``target``; raises RuntimeError if llama.cpp refuses."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = 1
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if code != 0:
        raise RuntimeError(f"llama.cpp could not quantize {source} (code {code})")


def main() -> None:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(description="Convert a Pocket checkpoint to GGUF: F16, Q8_0 and Q4_K_M.")
    parser.add_argument("checkpoint", type=Path, help="checkpoint that train.py wrote")
    parser.add_argument("directory", type=Path, help="where the GGUF files go")
    parser.add_argument("--id", required=True, help="start of the file names, such as pocket-2m")
    parser.add_argument("--name", required=True, help='name in the files, such as "Pocket 2M demo"')
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_TOKENIZER, help="tokenizer.json")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    full = arguments.directory / f"{arguments.id}-F16.gguf"
    tokenizer = json.loads(arguments.tokenizer.read_text(encoding="utf-8"))
    write_f16(load_model(arguments.checkpoint), tokenizer, arguments.name, full)
    for quantization, file_type in QUANTIZATIONS.items():
        quantize(full, arguments.directory / f"{arguments.id}-{quantization}.gguf", file_type)


if __name__ == "__main__":
    main()
