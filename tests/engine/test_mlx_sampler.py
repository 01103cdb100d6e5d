"""The sampler of MLX beside llama.cpp's own chain: the same tokens with the same probabilities."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import pytest

from slmtui.core.sampling import Sampling
from slmtui.engine import llama_library
from slmtui.engine.llama_sampler import sampler_chain
from tests.mlx_models import needs_mlx

pytestmark = needs_mlx
VOCABULARY = 200
LOGITS = np.random.default_rng(7).normal(0, 3, VOCABULARY).astype(np.float32)


def theirs(sampling: Sampling, recent: Sequence[int]) -> dict[int, float]:
    """What llama.cpp's chain leaves of the logits, short of the draw: token to probability."""
    bindings = llama_library.load()
    chain = sampler_chain(bindings, sampling, VOCABULARY)
    bindings.llama_sampler_free(bindings.llama_sampler_chain_remove(chain, bindings.llama_sampler_chain_n(chain) - 1))
    for token in recent:
        bindings.llama_sampler_accept(chain, token)
    data = (bindings.llama_token_data * VOCABULARY)()
    for token, logit in enumerate(LOGITS):
        data[token].id, data[token].logit = token, float(logit)
    held = bindings.llama_token_data_array(data=data, size=VOCABULARY, selected=-1, sorted=False)
    bindings.llama_sampler_apply(chain, ctypes.byref(held))
    found = {held.data[place].id: held.data[place].logit for place in range(held.size)}
    bindings.llama_sampler_free(chain)
    return shares(found)


def ours(sampling: Sampling, recent: Sequence[int]) -> dict[int, float]:
    """The same from the sampler of MLX."""
    import mlx.core as mx

    from slmtui.engine.mlx_sampler import Sampler

    sampler = Sampler(sampling)
    for token in recent:
        sampler.accept(mx.array(token))
    scores, tokens = sampler.left(mx.array(LOGITS))
    ids = np.array(tokens) if tokens is not None else np.arange(VOCABULARY)
    return shares({int(token): float(score) for token, score in zip(ids, np.array(scores), strict=True)})


def shares(scores: dict[int, float]) -> dict[int, float]:
    """Probabilities of those that are not out."""
    kept = {token: score for token, score in scores.items() if score > -np.inf}
    top = max(kept.values())
    total = sum(np.exp(score - top) for score in kept.values())
    return {token: float(np.exp(score - top) / total) for token, score in kept.items()}


OFF = Sampling(temperature=1, top_k=0, top_p=1, min_p=0)
RECENT = [int(token) for token in np.argsort(-LOGITS)[[0, 2, 5]]] + [int(np.argmin(LOGITS)), 3, 3]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        OFF,
        Sampling(temperature=0.3, top_k=5, top_p=1, min_p=0),
        Sampling(temperature=2, top_k=VOCABULARY + 5, top_p=1, min_p=0),
        Sampling(temperature=1, top_k=0, top_p=0.6, min_p=0),
        Sampling(temperature=1, top_k=0, top_p=0, min_p=0),
        Sampling(temperature=1, top_k=0, top_p=1, min_p=0.2),
        Sampling(temperature=1, top_k=0, top_p=1, min_p=1),
        Sampling(temperature=1, top_k=20, top_p=0.9, min_p=0.1, repeat_penalty=1.3),
        Sampling(temperature=1, top_k=20, top_p=0.9, min_p=0.1, repeat_penalty=1.3, repeat_last_n=2),
        Sampling(temperature=1, top_k=0, top_p=0.99, min_p=0, repeat_penalty=0.7),
    ],
    ids=str,
)
def test_what_is_left_is_what_llama_cpp_leaves(sampling: Sampling) -> None:
    left, reference = ours(sampling, RECENT), theirs(sampling, RECENT)
    assert left == pytest.approx(reference, abs=1e-5)


def draws(sampling: Sampling, count: int) -> list[int]:
    import mlx.core as mx

    from slmtui.engine.mlx_sampler import Sampler

    sampler = Sampler(sampling)
    return [int(sampler(mx.array(LOGITS))) for _ in range(count)]


def test_draws_follow_the_probabilities() -> None:
    sampling = Sampling(seed=1, temperature=3, top_k=6)
    expected = theirs(sampling, [])
    drawn = draws(sampling, 2000)
    assert {token: drawn.count(token) / 2000 for token in expected} == pytest.approx(expected, abs=0.05)
    assert set(drawn) <= set(expected)
    assert drawn[:50] == draws(sampling, 50)


def test_zero_temperature_takes_the_best_that_is_not_penalized_away() -> None:
    best = [int(token) for token in np.argsort(-LOGITS)[:3]]
    assert draws(Sampling(temperature=0, top_k=1, seed=5), 3) == [best[0]] * 3
    assert draws(Sampling(temperature=0, repeat_penalty=10), 3) == best
