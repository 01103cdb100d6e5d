"""Draws tokens from logits in MLX by the shared sampling table; lazily, so that the device need not wait for Python."""

from __future__ import annotations

import math
import secrets
from typing import Any

import mlx.core as mx

from slmtui.core.sampling import Sampling


class Sampler:
    """One answer's sampler: the same steps in the same order as llama.cpp's chain of `llama_sampler`."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._key = mx.random.key(secrets.randbits(32) if sampling.seed is None else sampling.seed)
        self._penalizes = sampling.repeat_penalty != 1.0 and sampling.repeat_last_n > 0
        self._recent: list[Any] = []

    def __call__(self, logits: Any) -> Any:
        """The next token, an array of one number that nobody has waited for, from logits [vocabulary]."""
        scores, tokens = self.left(logits)
        if self._sampling.temperature <= 0:
            picked = mx.argmax(scores)
        else:
            self._key, key = mx.random.split(self._key)
            picked = mx.random.categorical(scores, key=key)
        token = picked if tokens is None else tokens[picked]
        self.accept(token)
        return token

    def accept(self, token: Any) -> None:
        """Note a token of the answer, for the repeat penalty."""
        if self._penalizes:
            self._recent = [*self._recent, token][-self._sampling.repeat_last_n :]

    def left(self, logits: Any) -> tuple[Any, Any]:
        """What may be drawn: scores, minus infinity for what is out, and the tokens they belong to; None for all."""
        sampling = self._sampling
        scores, tokens = logits.astype(mx.float32), None
        if 0 < sampling.top_k < scores.size and sampling.temperature > 0:
            tokens = mx.argpartition(-scores, kth=sampling.top_k - 1)[: sampling.top_k]
            scores = scores[tokens]
        if self._penalizes:
            scores = self._penalized(scores, tokens)
        if sampling.temperature > 0:
            scores = _cut(scores, sampling) / sampling.temperature
        return scores, tokens

    def _penalized(self, scores: Any, tokens: Any) -> Any:
        """Scores with those of recent tokens made less likely; `tokens` are the ids that the scores belong to."""
        if not self._recent:
            return scores
        recent = mx.stack(self._recent)
        if tokens is None:
            tokens = mx.arange(scores.size)
        seen = (tokens[:, None] == recent[None, :]).any(axis=1)
        penalty = self._sampling.repeat_penalty
        return mx.where(seen, mx.where(scores <= 0, scores * penalty, scores / penalty), scores)


def _cut(scores: Any, sampling: Sampling) -> Any:
    """Scores [n] of which those that top-p and then min-p drop are minus infinity."""
    dropped = -math.inf
    if sampling.top_p < 1:
        order = mx.argsort(-scores)
        ordered = scores[order]
        before = mx.cumsum(mx.softmax(ordered), inclusive=False)
        # The first stays whatever it takes; the rest while the ones before it have less than the mass.
        stays = (before < sampling.top_p) | (mx.arange(scores.size) == 0)
        scores = mx.put_along_axis(scores, order, mx.where(stays, ordered, dropped), axis=0)
    if sampling.min_p > 0:
        scores = mx.where(scores < mx.max(scores) + math.log(sampling.min_p), dropped, scores)
    return scores
