"""What MLX is asked to evaluate, and when: tokens in one go, and the step ahead that a GPU works."""

from __future__ import annotations

from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from slmtui.core.sampling import Sampling
from slmtui.engine.mlx_files import read_folder
from tests.engine.mlx_requests import request
from tests.mlx_models import Forms, needs_mlx

if TYPE_CHECKING:
    from slmtui.engine.mlx_evaluate import Evaluator

pytestmark = needs_mlx
PROMPT = list(range(300, 312))
GREEDY = Sampling(temperature=0, max_tokens=10)


def evaluator_on(device: str, forms: Forms, **changes: object) -> Evaluator:
    """Pocket on the processor, which its evaluator takes for this device."""
    from slmtui.engine.mlx_evaluate import Evaluator
    from slmtui.engine.mlx_model import OpenModel

    asked = request(forms("bf16"), **changes)
    opened: Any = OpenModel(read_folder(asked.path), asked)
    opened.device = device
    return Evaluator(opened, Event())


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
    evaluator = evaluator_on(device, mlx_forms)
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
