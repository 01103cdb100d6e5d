"""A model with random weights and about 125 million parameters, GPT-2 small's size in llama's architecture."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.engine.gguf_files import ARRAY, F16, F32, FLOAT32, INT32, STRING, UINT32, Gguf, Tensor

LAYERS, WIDTH, HEADS, FEED_FORWARD, VOCABULARY, CONTEXT = 12, 768, 12, 2560, 32_768, 2048
"""124.3 million parameters; embedding and output matrix are one, as in GPT-2."""
SPECIAL = 3 + 256
"""Unknown, beginning, end, and the bytes; their rows are zero, so that a greedy answer has only words in it."""
QUANTIZATIONS = {"Q8_0": 7, "Q4_K_M": 15}
"""Numbers of `enum llama_ftype` (llama.h)."""


def random_models(folder: Path) -> list[Path]:
    """One file a quantization, made unless they are there; the seed is fixed."""
    wanted = {name: folder / f"random-125m-{name}.gguf" for name in QUANTIZATIONS}
    missing = {name: path for name, path in wanted.items() if not path.exists()}
    if missing:
        print(f"Making a random model of 124 million parameters in {folder}.", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        full = Gguf(_metadata(), dict(_tensors())).write(folder / "random-125m-F16.gguf")
        for name, path in missing.items():
            _quantize(full, path, QUANTIZATIONS[name])
        full.unlink()
    return list(wanted.values())


def _metadata() -> dict[str, tuple[int, object]]:
    words = [f"▁w{number}" for number in range(VOCABULARY - SPECIAL)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(words)  # unknown, control, byte, normal
    figures = {
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "block_count": LAYERS,
        "feed_forward_length": FEED_FORWARD,
        "rope.dimension_count": WIDTH // HEADS,
        "attention.head_count": HEADS,
        "vocab_size": VOCABULARY,
    }
    return {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "Random 125M"),
        "general.file_type": (UINT32, 1),
        **{f"llama.{name}": (UINT32, value) for name, value in figures.items()},
        "llama.attention.layer_norm_rms_epsilon": (FLOAT32, 1e-5),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.scores": (ARRAY, (FLOAT32, [-float(number) for number in range(VOCABULARY)])),
        "tokenizer.ggml.token_type": (ARRAY, (INT32, kinds)),
        "tokenizer.ggml.unknown_token_id": (UINT32, 0),
        "tokenizer.ggml.bos_token_id": (UINT32, 1),
        "tokenizer.ggml.eos_token_id": (UINT32, 2),
    }


def _tensors() -> Iterator[tuple[str, Tensor]]:
    """Matrices as F16 with the spread that keeps activations near 1; norms, as llama.cpp requires, as F32."""
    import numpy as np

    generator = np.random.default_rng(1)

    def matrix(rows: int, columns: int, zero: int = 0) -> Tensor:
        weights = generator.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns)
        weights[:zero] = 0
        return Tensor((columns, rows), F16, weights.astype(np.float16).tobytes())

    def norm() -> Tensor:
        return Tensor((WIDTH,), F32, np.ones(WIDTH, np.float32).tobytes())

    yield "token_embd.weight", matrix(VOCABULARY, WIDTH, zero=SPECIAL)
    yield "output_norm.weight", norm()
    for layer in range(LAYERS):
        yield f"blk.{layer}.attn_norm.weight", norm()
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{name}.weight", matrix(WIDTH, WIDTH)
        yield f"blk.{layer}.ffn_norm.weight", norm()
        yield f"blk.{layer}.ffn_gate.weight", matrix(FEED_FORWARD, WIDTH)
        yield f"blk.{layer}.ffn_up.weight", matrix(FEED_FORWARD, WIDTH)
        yield f"blk.{layer}.ffn_down.weight", matrix(WIDTH, FEED_FORWARD)


def _quantize(source: Path, target: Path, kind: int) -> None:
    """By llama.cpp's own quantizer.

    Raises:
        SystemExit: it refused.
    """
    from llama_cpp import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = kind
    part = target.with_suffix(".part")
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(part).encode(), ctypes.byref(settings))
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(0), ctypes.c_void_p(0))
    if code:
        raise SystemExit(f"llama.cpp cannot quantize {source} (code {code}).")
    part.rename(target)
