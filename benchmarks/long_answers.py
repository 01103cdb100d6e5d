"""Makes GGUF files whose answers end only where their limit is: benchmarks need answers of one length.

The rows of the end tokens in the embedding, which is the output layer too, are zero, so that sampling from the most
likely tokens never draws them. Everything else is as in any llama model: template, vocabulary and work per token.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from peers import ROOT

from tests.engine.gguf_files import F32, UINT32, Gguf, Tensor

Q8_0 = 8
_BLOCK = 32
_BLOCK_BYTES = 34
_END_TOKENS = (0, 2)
_POCKET = ROOT / "slmtui" / "pocket" / "pocket-2m-Q8_0.gguf"
_SPREAD = 0.02
"""Standard deviation of random weights, as models are initialized."""


class Size(NamedTuple):
    """What decides the work per token."""

    width: int
    layers: int
    hidden: int
    heads: int
    heads_kv: int


SIZES = {"2m": Size(256, 2, 768, 8, 4), "125m": Size(768, 12, 3456, 12, 12)}
"""About as many parameters; the first is Pocket 2M's shape."""


def make(path: Path, size: Size, seed: int) -> Path:
    """A llama of random weights at Q8_0 with Pocket's vocabulary and a context of 4,096 tokens."""
    model = Gguf.read(_POCKET)
    head = size.width // size.heads
    sizes = {"embedding_length": size.width, "block_count": size.layers, "feed_forward_length": size.hidden}
    sizes |= {"attention.head_count": size.heads, "attention.head_count_kv": size.heads_kv}
    sizes |= {"rope.dimension_count": head, "context_length": 4096}
    model.metadata |= {f"llama.{name}": (UINT32, value) for name, value in sizes.items()}
    vocabulary = model.tensors["token_embd.weight"].shape[1]
    shapes = _shapes(size, vocabulary)
    model.tensors = {name: _random(shape, seed + index) for index, (name, shape) in enumerate(shapes.items())}
    _end_never(model)
    return model.write(path)


def _shapes(size: Size, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, the fastest dimension first."""
    width, hidden = size.width, size.hidden
    narrow = width // size.heads * size.heads_kv
    shapes: dict[str, tuple[int, ...]] = {"output_norm": (width,), "token_embd": (width, vocabulary)}
    for layer in range(size.layers):
        parts = {"attn_norm": (width,), "ffn_norm": (width,), "attn_q": (width, width), "attn_output": (width, width)}
        parts |= {"attn_k": (width, narrow), "attn_v": (width, narrow)}
        parts |= {"ffn_gate": (width, hidden), "ffn_up": (width, hidden), "ffn_down": (hidden, width)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in parts.items()}
    return {f"{name}.weight": shape for name, shape in shapes.items()}


def _random(shape: tuple[int, ...], seed: int) -> Tensor:
    import numpy as np

    if len(shape) == 1:
        return Tensor(shape, F32, np.ones(shape, np.float32).tobytes())
    blocks = np.zeros((shape[0] * shape[1] // _BLOCK, _BLOCK_BYTES), np.uint8)
    numbers = np.random.default_rng(seed).integers(-127, 128, (len(blocks), _BLOCK), np.int8)
    blocks[:, 2:] = numbers.view(np.uint8)
    blocks[:, :2] = np.frombuffer(np.float16(_SPREAD / 73.3).tobytes(), np.uint8)
    return Tensor(shape, Q8_0, blocks.tobytes())


def _end_never(model: Gguf) -> None:
    """Make the end tokens the least wanted: nothing points their way."""
    embedding = model.tensors["token_embd.weight"]
    row = embedding.shape[0] // _BLOCK * _BLOCK_BYTES
    data = bytearray(embedding.data)
    for token in _END_TOKENS:
        data[token * row : (token + 1) * row] = bytes(row)
    model.tensors["token_embd.weight"] = Tensor(embedding.shape, embedding.kind, bytes(data))
