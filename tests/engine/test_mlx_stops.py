"""What ends MLX's requests before their time: cancelling in the middle, and memory that runs out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slmtui.core.events import FailureKind, Loaded, MemorySampled, Prefilled, Tokens
from slmtui.engine.client import cancelled
from slmtui.engine.protocol import Measure, Score
from tests.engine.mlx_requests import LONG, ONCE, QUESTIONS, request
from tests.engine.support import cancel_at, failed, loaded, of, prompted, run, tell, text_of, worker
from tests.mlx_models import Forms, needs_mlx

pytestmark = needs_mlx


async def test_cancelling_in_the_middle_of_a_batch(tmp_path: Path, mlx_forms: Forms) -> None:
    async with loaded(tmp_path / "log", request(mlx_forms("4bit"), context=8192)) as client:
        events = await cancel_at(client, tell(LONG * 20, 8), lambda event: isinstance(event, MemorySampled))
        assert not of(events, Prefilled)
        assert not of(events, Tokens)
        assert prompted(await run(client, tell(ONCE, 1))).cached_tokens > 1, "what was evaluated before is there"


async def test_cancelling_a_load(tmp_path: Path, mlx_forms: Forms) -> None:
    async with worker(tmp_path / "log") as client:
        asyncio.get_running_loop().call_soon(asyncio.ensure_future, client.cancel())
        assert cancelled((await run(client, request(mlx_forms("bf16"))))[-1])
        failed(await run(client, tell(ONCE)), FailureKind.BAD_REQUEST)
        assert isinstance((await run(client, request(mlx_forms("bf16"))))[-1], Loaded)


_SHORT_OF_MEMORY = """
import importlib.abc, importlib.util, os, sys


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "mlx_lm.models.llama":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            evaluate = module.Model.__call__

            def call(self, *arguments, **named):
                if os.path.exists(os.environ["TEST_SHORT"]):
                    raise RuntimeError("[metal::malloc] Attempting to allocate 9 bytes which is too much")
                return evaluate(self, *arguments, **named)

            module.Model.__call__ = call

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
"""


async def test_memory_that_runs_out_in_the_middle_is_a_message(
    tmp_path: Path, mlx_forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SHORT_OF_MEMORY, encoding="utf-8")
    short = tmp_path / "short"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TEST_SHORT", str(short))
    async with loaded(tmp_path / "log", request(mlx_forms("bf16"))) as client:
        expected = text_of(await run(client, tell(ONCE, 6)))
        for asked in (
            tell(ONCE + " there", 20),
            Measure(prompt_tokens=4, generated_tokens=4),
            Score(questions=QUESTIONS),
        ):
            short.touch()
            why = failed(await run(client, asked), FailureKind.OUT_OF_MEMORY)
            assert "Memory ran out while MLX was evaluating" in why.message
            short.unlink()
            again = await run(client, tell(ONCE, 6))
            assert text_of(again) == expected
            assert prompted(again).cached_tokens == 0, "nobody knows what the cache holds"
