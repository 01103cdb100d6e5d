"""Models in MLX that cannot forget a part of their context: sliding windows, recurrent states; and experts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slmtui.core.events import Loaded, Repeated, Scored, StopReason, total_bytes
from slmtui.engine.protocol import Load, Measure, Question, Score
from tests.engine import mlx_families
from tests.engine.mlx_evaluators import evaluator_on
from tests.engine.support import done, loaded, of, prompted, run, tell, text_of, worker
from tests.mlx_models import Forms, needs_mlx

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs_mlx]
TEXT = "Once upon a time, there was a dog that ran to the river and saw a cat."
QUESTIONS = tuple(
    Question(prompt=f"{TEXT}\n{who} saw the", options=(" dog and ran", " dog", " cat by the river"))
    for who in ("A", "B")
)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, mlx_forms: Forms) -> Callable[[str], Path]:
    target = tmp_path_factory.mktemp("families")
    command = [sys.executable, mlx_families.__file__, str(mlx_forms("bf16")), str(target)]
    subprocess.run(command, check=True, timeout=120)
    return lambda name: target / name


def sums(found: list[Scored]) -> list[float]:
    ordered = sorted(found, key=lambda event: event.index)
    return [option.logprob for event in ordered for option in event.options]


@pytest.mark.parametrize("name", mlx_families.FAMILIES)
async def test_every_request(tmp_path: Path, family: Callable[[str], Path], name: str) -> None:
    request = Load(path=str(family(name)), engine="MLX", context=128, micro_batch=16)
    async with loaded(tmp_path / "log", request) as client:
        text = text_of(await run(client, tell(TEXT, 12, ignore_end=True)))
        again = await run(client, tell(TEXT, 12, ignore_end=True))
        assert text_of(again) == text
        kept = prompted(again).tokens - 1 if name == "qwen3_moe" else 0
        assert prompted(again).cached_tokens == kept, "what cannot forget a part begins anew"

        together = sums(of(await run(client, Score(questions=QUESTIONS)), Scored))
        alone = [
            sums(of(await run(client, Score(questions=(Question(prompt=asked.prompt, options=(option,)),))), Scored))[0]
            for asked in QUESTIONS
            for option in asked.options
        ]
        assert together == pytest.approx(alone, abs=1e-3)

        measured = await run(client, Measure(prompt_tokens=30, generated_tokens=5, depth=20))
        done(measured, StopReason.COMPLETED)
        (timing,) = [event.timing for event in of(measured, Repeated)]
        assert timing.depth == 20
        assert len(timing.token_at_s) == 5
        assert text_of(await run(client, tell(TEXT, 12, ignore_end=True))) == text


@pytest.mark.parametrize(("device", "together"), [("cpu", 64), ("metal", 256)])
@pytest.mark.parametrize("name", mlx_families.FAMILIES)
async def test_caches_hold_what_was_planned(
    family: Callable[[str], Path], name: str, device: str, together: int
) -> None:
    evaluator, model, opened = evaluator_on(device, family(name), context=600, micro_batch=256)
    assert opened.together == together
    planned = sum(part.bytes for part in opened.memory if part.kind in ("KV cache", "recurrent state"))
    evaluator.prefill([*range(300, 900)], evaluator.batch, None)
    assert model.held.total() == planned


async def test_what_they_take_and_read(tmp_path: Path, family: Callable[[str], Path]) -> None:
    found: dict[str, Loaded] = {}
    async with worker(tmp_path / "log") as client:
        for name in mlx_families.FAMILIES:
            ending = (await run(client, Load(path=str(family(name)), engine="MLX", context=300)))[-1]
            assert isinstance(ending, Loaded), ending
            assert ending.facts.architecture == name
            found[name] = ending
    token = 2 * 2 * 16 * 4  # keys and values of two heads of 16 numbers, each of 4 bytes
    windowed = found["gemma3_text"].memory
    assert total_bytes(windowed, "KV cache") == token * (2 * 512 + 2 * (7 + 64)), "two layers keep all, two a window"
    hybrid = found["lfm2"].memory
    assert total_bytes(hybrid, "KV cache") == token * 2 * 512
    assert total_bytes(hybrid, "recurrent state") == 2 * 2 * 64 * 4, "two layers keep two tokens' worth"
    facts = found["qwen3_moe"].facts
    experts = 2 * 8 * 3 * 64 * 32 * 4
    embedding = 2048 * 64 * 4
    assert facts.weights_bytes is not None
    assert facts.decode_read_bytes == facts.weights_bytes - experts * 6 // 8 - embedding + 64 * 4
