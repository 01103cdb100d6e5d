"""The Pocket decoder: grouped-query attention, SwiGLU, RMSNorm, rotary positions, tied embeddings.

Parameters carry llama.cpp's tensor names (``blk.0.attn_q.weight``): converting a checkpoint is a copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from tokens import IGNORED
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a Pocket model; rows are multiples of 256, which llama.cpp's K-quants need."""

    layers: int
    width: int = 256
    heads: int = 8
    kv_heads: int = 4
    feed_forward: int = 768
    vocabulary: int = 2048
    context: int = 512
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


SHAPES: dict[str, ModelShape] = {"pocket-2m": ModelShape(layers=2), "pocket-5m": ModelShape(layers=6)}


class RMSNorm(nn.Module):
    """Root-mean-square normalization with a learned gain (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        """Start with a gain of one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension of ``x``."""
        return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def rotate_pairs(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate adjacent pairs of the last dimension (Su et al. 2021, arXiv:2104.09864).

    llama.cpp's ``llama`` architecture takes pairs interleaved like this; Hugging Face and MLX split each head
    into halves.
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)


def rotary_angles(shape: ModelShape) -> Tensor:
    """Angles of shape [context, head_width / 2], in radians."""
    frequency = shape.rope_base ** (-torch.arange(0, shape.head_width, 2).float() / shape.head_width)
    return torch.outer(torch.arange(shape.context).float(), frequency)


class Block(nn.Module):
    """One decoder layer: attention, then the gated feed-forward network, each with a norm and a residual."""

    def __init__(self, shape: ModelShape) -> None:
        """Create the seven projections, all without bias."""
        super().__init__()
        width, kv_width = shape.width, shape.kv_heads * shape.head_width
        self.shape = shape
        self.attn_norm = RMSNorm(width, shape.norm_epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv_width, bias=False)
        self.attn_v = nn.Linear(width, kv_width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = RMSNorm(width, shape.norm_epsilon)
        self.ffn_gate = nn.Linear(width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, width, bias=False)

    def attend(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Causal grouped-query self-attention over ``x`` of shape [batch, length, width]."""
        batch, length, width = x.shape

        def heads(projected: Tensor, count: int) -> Tensor:
            return projected.view(batch, length, count, self.shape.head_width).transpose(1, 2)

        query = heads(self.attn_q(x), self.shape.heads)
        key = heads(self.attn_k(x), self.shape.kv_heads)
        value = heads(self.attn_v(x), self.shape.kv_heads)
        query = rotate_pairs(query, cosine, sine).to(value.dtype)
        key = rotate_pairs(key, cosine, sine).to(value.dtype)
        group = self.shape.heads // self.shape.kv_heads
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended: Tensor = self.attn_output(mixed.transpose(1, 2).reshape(batch, length, width))
        return attended

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Map hidden states of shape [batch, length, width] to the next layer's."""
        x = x + self.attend(self.attn_norm(x), cosine, sine)
        hidden = self.ffn_norm(x)
        fed_forward: Tensor = self.ffn_down(functional.silu(self.ffn_gate(hidden)) * self.ffn_up(hidden))
        return x + fed_forward


class PocketModel(nn.Module):
    """A decoder-only language model whose embedding is also its output projection."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: ModelShape) -> None:
        """Create the model with small random weights from torch's current seed."""
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = RMSNorm(shape.width, shape.norm_epsilon)
        angles = rotary_angles(shape)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        self._initialize()

    def _initialize(self) -> None:
        """Draw matrices from N(0, 0.02²), those that write to the residual smaller with depth (as GPT-2)."""
        residual = 0.02 / math.sqrt(2 * self.shape.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                writes_residual = "attn_output" in name or "ffn_down" in name
                nn.init.normal_(parameter, 0.0, residual if writes_residual else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of shape [batch, length, vocabulary] for token ids of shape [batch, length]."""
        return self.project(self.states(tokens)[-1])

    def states(self, tokens: Tensor) -> list[Tensor]:
        """Hidden states after the embedding and after each layer, each [batch, length, width]."""
        length = tokens.shape[1]
        states = [self.token_embd(tokens)]
        for block in self.blk:
            states.append(block(states[-1], self.cosine[:length], self.sine[:length]))
        return states

    def project(self, state: Tensor) -> Tensor:
        """Logits [batch, length, vocabulary] for the last layer's state."""
        return functional.linear(self.output_norm(state), self.token_embd.weight)

    def parameter_count(self) -> int:
        """Number of trained weights; the tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats per learned token; ``logits`` is [batch, length, vocabulary]."""
    return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


class Learner(nn.Module):
    """A model with a second head, used in training only, that names the previous token from an early layer.

    Copying needs a layer that tells later ones what came before each token (Olsson et al. 2022, arXiv:2209.11895).
    Left alone, the loss on repeated lists stays on a plateau for millions of tokens until such a layer appears; asked
    for the previous token, it appears within one million.
    """

    def __init__(self, model: PocketModel) -> None:
        """Put the head after the second layer, or the first of a model with two."""
        super().__init__()
        self.model = model
        self.layer = min(2, model.shape.layers - 1)
        self.previous = nn.Linear(model.shape.width, model.shape.width, bias=False)
        nn.init.eye_(self.previous.weight)

    def forward(self, tokens: Tensor, targets: Tensor, look_back: bool) -> tuple[Tensor, Tensor | None]:
        """Loss on ``targets`` and, with ``look_back``, on the previous tokens; in nats per learned token."""
        states = self.model.states(tokens)
        loss = self.next_loss(states[-1], targets)
        return loss, self.previous_loss(states[self.layer], tokens) if look_back else None

    def next_loss(self, state: Tensor, targets: Tensor) -> Tensor:
        """Loss of the last layer's ``state``."""
        return token_loss(self.model.project(state), targets)

    def previous_loss(self, state: Tensor, tokens: Tensor) -> Tensor:
        """Loss of the second head on an early layer's ``state``."""
        state = self.previous(state)
        state = functional.rms_norm(state, state.shape[-1:])
        return token_loss(functional.linear(state, self.model.token_embd.weight)[:, 1:], tokens[:, :-1])

    def compile(self) -> None:  # type: ignore[override]
        """Compile the parts: all layers share one compiled block, which takes a fraction of the whole's time."""
        for block in self.model.blk:
            block.compile()
        self.next_loss = torch.compile(self.next_loss)  # type: ignore[method-assign]
        self.previous_loss = torch.compile(self.previous_loss)  # type: ignore[method-assign]
