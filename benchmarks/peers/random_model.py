"""Models with random weights in llama's architecture: as large as GPT-2 small, and as a billion parameters."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slmtui.engine.nvidia_libraries import import_beside
from tests.engine.gguf_files import ARRAY, F16, F32, FLOAT32, INT32, STRING, UINT32, Gguf, Tensor

if TYPE_CHECKING:
    import numpy as np

VOCABULARY = 32_768
SPECIAL = 3 + 256
"""Unknown, beginning, end, and the bytes; their rows are zero, so that a greedy answer has only words in it."""
QUANTIZATIONS = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15}
"""Numbers of `enum llama_ftype` (llama.h)."""


class Size(NamedTuple):
    """A shape; embedding and output matrix are one, as in GPT-2."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int = 2048

    @property
    def parameters(self) -> int:
        """Numbers in all of its tensors."""
        width, keys = self.width, self.width // self.heads * self.kv_heads
        layer = 2 * width * width + 2 * width * keys + 3 * width * self.feed_forward + 2 * width
        return VOCABULARY * width + width + self.layers * layer


SMALL = Size("125m", 12, 768, 12, 12, 2560)
"""124.3 million parameters."""
LARGE = Size("1b", 16, 2048, 16, 8, 8192)
"""1.07 billion parameters, heads of 128 as in most models of that size."""


def random_models(folder: Path, size: Size = SMALL, kinds: Sequence[str] = ("Q8_0", "Q4_K_M")) -> list[Path]:
    """One file for each of these kinds (names in `QUANTIZATIONS`), made unless they are there; the seed is fixed."""
    wanted = {kind: folder / f"random-{size.name}-{kind}.gguf" for kind in kinds}
    missing = {kind: path for kind, path in wanted.items() if not path.exists()}
    if missing:
        million = size.parameters / 1e6
        print(f"Making a random model of {million:,.0f} million parameters in {folder}.", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"random-{size.name}.part"
        full = Gguf(_metadata(size), _tensors(size)).write(part)
        for kind, path in missing.items():
            if kind != "F16":
                quantize(full, path, QUANTIZATIONS[kind])
        if "F16" in missing:
            full.rename(missing["F16"])
        else:
            full.unlink()
    return list(wanted.values())


def _metadata(size: Size) -> dict[str, tuple[int, object]]:
    words = [f"▁w{number}" for number in range(VOCABULARY - SPECIAL)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(words)  # unknown, control, byte, normal
    figures = {
        "context_length": size.context,
        "embedding_length": size.width,
        "block_count": size.layers,
        "feed_forward_length": size.feed_forward,
        "rope.dimension_count": size.width // size.heads,
        "attention.head_count": size.heads,
        "attention.head_count_kv": size.kv_heads,
        "vocab_size": VOCABULARY,
    }
    return {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, f"Random {size.name.upper()}"),
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


def _tensors(size: Size) -> dict[str, Tensor]:
    """Matrices as F16 with the spread that keeps activations near 1; norms, as llama.cpp requires, as F32.

    Each matrix has a seed of its own, so that they can be drawn side by side.
    """
    import numpy as np

    seeds = count(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = {
            name: pool.submit(_matrix, np.random.default_rng(next(seeds)), rows, columns, zero)
            for name, rows, columns, zero in _matrices(size)
        }
        norm = Tensor((size.width,), F32, np.ones(size.width, np.float32).tobytes())
        norms = [f"blk.{layer}.{name}_norm.weight" for layer in range(size.layers) for name in ("attn", "ffn")]
        return {name: made.result() for name, made in drawn.items()} | dict.fromkeys(
            ["output_norm.weight", *norms], norm
        )


def _matrices(size: Size) -> Iterator[tuple[str, int, int, int]]:
    """Name, rows, columns, and how many rows are zero."""
    keys = size.width // size.heads * size.kv_heads
    yield "token_embd.weight", VOCABULARY, size.width, SPECIAL
    for layer in range(size.layers):
        for name, rows, columns in (
            ("attn_q", size.width, size.width),
            ("attn_k", keys, size.width),
            ("attn_v", keys, size.width),
            ("attn_output", size.width, size.width),
            ("ffn_gate", size.feed_forward, size.width),
            ("ffn_up", size.feed_forward, size.width),
            ("ffn_down", size.width, size.feed_forward),
        ):
            yield f"blk.{layer}.{name}.weight", rows, columns, 0


def _matrix(generator: np.random.Generator, rows: int, columns: int, zero: int) -> Tensor:
    import numpy as np

    weights = generator.standard_normal((rows, columns), dtype=np.float32)
    weights /= np.sqrt(columns)
    weights[:zero] = 0
    return Tensor((columns, rows), F16, weights.astype(np.float16).tobytes())


def quantize(source: Path, target: Path, kind: int) -> None:
    """By llama.cpp's own quantizer.

    Raises:
        SystemExit: it refused.
    """
    llama_cpp = import_beside("llama_cpp.llama_cpp")

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
