"""Tiny models of other architectures, made from the story model's tokenizer; their weights are zeros unless shuffled.

Zeros are for opening only: what the caches take follows from a few figures in the header.
"""

from __future__ import annotations

import math

import numpy as np

from tests.engine.gguf_files import ARRAY, F32, FLOAT32, UINT32, Gguf, Tensor
from tests.engine.support import STORY

LAYERS, HIDDEN, WORDS, WIDE = 6, 64, 512, 96


def _model(architecture: str, **figures: int) -> Gguf:
    """A header with the story model's words and these figures, and its embedding."""
    story, model = Gguf.read(STORY), Gguf()
    for name, value in story.metadata.items():
        if not name.startswith("llama."):
            model.metadata[name] = value
    model.set("general.architecture", architecture)
    common = {"context_length": 512, "embedding_length": HIDDEN, "block_count": LAYERS, "vocab_size": WORDS}
    for name, figure in {**common, **figures}.items():
        model.set(f"{architecture}.{name.replace('__', '.')}", figure, UINT32)
    model.set(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5, FLOAT32)
    _put(model, "token_embd.weight", HIDDEN, WORDS)
    return model


def _put(model: Gguf, name: str, *shape: int) -> None:
    model.tensors[name] = Tensor(shape, F32, bytes(4 * math.prod(shape)))


def _attention(model: Gguf, layer: int, heads: int, kv_heads: int, head_size: int) -> None:
    begin = f"blk.{layer}.attn_"
    _put(model, f"{begin}norm.weight", HIDDEN)
    _put(model, f"{begin}q.weight", HIDDEN, heads * head_size)
    _put(model, f"{begin}k.weight", HIDDEN, kv_heads * head_size)
    _put(model, f"{begin}v.weight", HIDDEN, kv_heads * head_size)
    _put(model, f"{begin}output.weight", heads * head_size, HIDDEN)
    _put(model, f"{begin}q_norm.weight", head_size)
    _put(model, f"{begin}k_norm.weight", head_size)


def _feed_forward(model: Gguf, layer: int) -> None:
    begin = f"blk.{layer}.ffn_"
    _put(model, f"{begin}norm.weight", HIDDEN)
    _put(model, f"{begin}gate.weight", HIDDEN, WIDE)
    _put(model, f"{begin}up.weight", HIDDEN, WIDE)
    _put(model, f"{begin}down.weight", WIDE, HIDDEN)


def qwen3(heads: int = 4, kv_heads: int = 2, head_size: int = 32) -> Gguf:
    """Heads whose size is not the hidden size shared among them."""
    model = _model(
        "qwen3",
        feed_forward_length=WIDE,
        attention__head_count=heads,
        attention__head_count_kv=kv_heads,
        attention__key_length=head_size,
        attention__value_length=head_size,
        rope__dimension_count=head_size,
    )
    _put(model, "output_norm.weight", HIDDEN)
    for layer in range(LAYERS):
        _attention(model, layer, heads, kv_heads, head_size)
        _feed_forward(model, layer)
    return model


def gemma3(window: int = 64, heads: int = 4, kv_heads: int = 2, head_size: int = 32) -> Gguf:
    """Five layers of six look back over a window only."""
    model = _model(
        "gemma3",
        feed_forward_length=WIDE,
        attention__head_count=heads,
        attention__head_count_kv=kv_heads,
        attention__key_length=head_size,
        attention__value_length=head_size,
        attention__sliding_window=window,
    )
    _put(model, "output_norm.weight", HIDDEN)
    for layer in range(LAYERS):
        _attention(model, layer, heads, kv_heads, head_size)
        _put(model, f"blk.{layer}.post_attention_norm.weight", HIDDEN)
        _feed_forward(model, layer)
        _put(model, f"blk.{layer}.post_ffw_norm.weight", HIDDEN)
    return model


def mamba(state: int = 1024, kernel: int = 4, rank: int = 4) -> Gguf:
    """No attention: a state for each sequence in place of a KV cache."""
    inner = 2 * HIDDEN
    model = _model(
        "mamba",
        feed_forward_length=0,
        attention__head_count=0,
        ssm__conv_kernel=kernel,
        ssm__inner_size=inner,
        ssm__state_size=state,
        ssm__time_step_rank=rank,
    )
    _put(model, "output_norm.weight", HIDDEN)
    for layer in range(LAYERS):
        begin = f"blk.{layer}."
        _put(model, f"{begin}attn_norm.weight", HIDDEN)
        _put(model, f"{begin}ssm_in.weight", HIDDEN, 2 * inner)
        _put(model, f"{begin}ssm_conv1d.weight", kernel, inner)
        _put(model, f"{begin}ssm_conv1d.bias", inner)
        _put(model, f"{begin}ssm_x.weight", inner, rank + 2 * state)
        _put(model, f"{begin}ssm_dt.weight", rank, inner)
        _put(model, f"{begin}ssm_dt.bias", inner)
        _put(model, f"{begin}ssm_a", state, inner)
        _put(model, f"{begin}ssm_d", inner)
        _put(model, f"{begin}ssm_out.weight", inner, HIDDEN)
    return model


def lfm2(length: int = 2048, heads: int = 4, kv_heads: int = 2) -> Gguf:
    """Every third layer has attention, the others a short convolution with a state."""
    counts = [kv_heads if layer % 3 == 2 else 0 for layer in range(LAYERS)]
    model = _model("lfm2", feed_forward_length=WIDE, attention__head_count=heads, shortconv__l_cache=length)
    model.set("lfm2.attention.head_count_kv", (UINT32, counts), ARRAY)
    _put(model, "token_embd_norm.weight", HIDDEN)
    for layer, count in enumerate(counts):
        if count:
            _attention(model, layer, heads, count, HIDDEN // heads)
        else:
            _put(model, f"blk.{layer}.attn_norm.weight", HIDDEN)
            _put(model, f"blk.{layer}.shortconv.conv.weight", length, HIDDEN)
            _put(model, f"blk.{layer}.shortconv.in_proj.weight", HIDDEN, 3 * HIDDEN)
            _put(model, f"blk.{layer}.shortconv.out_proj.weight", HIDDEN, HIDDEN)
        _feed_forward(model, layer)
    return model


def shuffled(model: Gguf) -> Gguf:
    """The same with random weights, so that what it writes depends on all that it reads."""
    draw = np.random.default_rng(7)
    for name, tensor in model.tensors.items():
        norm = "norm" in name
        numbers = draw.normal(1 if norm else 0, 0.1 if norm else 0.5, math.prod(tensor.shape))
        tensor.data = numbers.astype(np.float32).tobytes()
    return model
