"""What MLX is asked to evaluate, and when: tokens in one go, and the step ahead that a GPU works."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from slmtui.core.sampling import Sampling
from tests.engine.mlx_evaluators import evaluator_on
from tests.mlx_models import Forms, needs_mlx

pytestmark = needs_mlx
PROMPT = list(range(300, 312))
GREEDY = Sampling(temperature=0, max_tokens=10)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What MLX was told to evaluate while Python goes on."""
    import mlx.core as mx

    told: list[object] = []
    begin = mx.async_eval

    def noting(array: object) -> None:
        told.append(array)
        begin(array)

    monkeypatch.setattr(mx, "async_eval", noting)
    return told


@pytest.mark.parametrize(("device", "ahead"), [("cpu", 0), ("metal", 1)])
def test_a_gpu_works_one_step_ahead_and_a_processor_does_not(
    mlx_forms: Forms, begun: list[object], device: str, ahead: int
) -> None:
    evaluator, _, _ = evaluator_on(device, mlx_forms("bf16"))
    evaluator.prefill(PROMPT, 512, None)
    tokens = evaluator.sampled(GREEDY)
    drawn = list(islice(tokens, 4))
    assert len(begun) == 3 + ahead, "the first token came with the prompt"
    tokens.close()
    assert evaluator.cached == [*PROMPT, *drawn[: 3 + ahead]]

    evaluator.shorten(len(PROMPT) - 1)
    evaluator.prefill(PROMPT[-1:], 512, None)
    begun.clear()
    whole = list(evaluator.sampled(GREEDY))
    assert (len(whole), len(begun)) == (10, 9), "nothing is begun that nobody will read"
    assert whole[:4] == drawn
    assert evaluator.cached == [*PROMPT, *whole[:9]]

    begun.clear()
    steps = evaluator.stepped([301, 302, 303, 304])
    assert len(list(islice(steps, 2))) == 2
    assert len(begun) == 2 + ahead
    steps.close()
    assert len(list(evaluator.stepped([305, 306, 307]))) == 3


@pytest.mark.parametrize(
    ("device", "micro_batch", "together"), [("cpu", 128, 64), ("cpu", 16, 64), ("metal", 128, 128), ("metal", 512, 200)]
)
def test_a_benchmark_s_prompt_is_evaluated_in_micro_batches_too(
    mlx_forms: Forms, device: str, micro_batch: int, together: int
) -> None:
    evaluator, model, _ = evaluator_on(device, mlx_forms("bf16"), micro_batch=micro_batch, context=200)
    evaluator.prefill([*range(300, 500)], evaluator.batch, None)
    assert sum(model.tokens) == 200
    assert max(model.tokens) == min(together, 199), "the last token, whose logits are wanted, comes alone"


@pytest.mark.parametrize(("kind", "together", "tokens"), [
    ("RotatingKVCache", 1, 512), ("RotatingKVCache", 64, 575), ("RotatingKVCache", 512, 1023),
    ("ChunkedKVCache", 1, 768), ("ChunkedKVCache", 64, 768), ("ChunkedKVCache", 512, 1024),
    ("KVCache", 64, 2048),
])  # fmt: skip
def test_what_a_cache_holds_is_what_is_planned(kind: str, together: int, tokens: int) -> None:
    import mlx.core as mx
    from mlx_lm.models import cache as caches

    from slmtui.engine.mlx_sizes import cells

    cache: Any = getattr(caches, kind)() if kind == "KVCache" else getattr(caches, kind)(512)
    held = 0
    for _ in range(0, 2048, together):
        if kind == "ChunkedKVCache":
            cache.maybe_trim_front()  # as Llama 4 does
        added = mx.zeros((1, 2, together, 32))
        cache.update_and_fetch(added, added)
        held = max(held, cache.nbytes)
    (cell,) = cells([cache])
    assert cell.token_bytes == 2 * 2 * 32 * 4
    assert cell.bytes_in(2048, together) == held == tokens * cell.token_bytes
