"""slmtui's worker and llama-cpp-python's streaming API as sides of a comparison, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from peers.shapes import Settings, Shape
from slmtui.core.events import AnyEvent, Done, Failed, Loaded, Repeated, Timing
from slmtui.core.sampling import Sampling
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Generate, Load, Measure, Request

PAUSE_S = 0.1
"""Before a side's turn: until then the OpenMP threads of the one before may still spin at a barrier."""
_LINE_LIMIT_BYTES = 16 * 1024 * 1024


class Side(Protocol):
    """Something that measures shapes."""

    async def speeds(self, shape: Shape, repetitions: int) -> list[float]:
        """Tokens per second of each repetition, warm-up left out."""
        ...


class Answer(NamedTuple):
    """Tokens per second of one answer; 0 where there were too few tokens to tell."""

    prefill: float
    """Prompt tokens by the time of their evaluation alone."""
    first_token: float
    """Prompt tokens by the time to the first token."""
    decode: float
    """Steps by the time between first and last token."""
    last_quarter: float
    """Decode over the last quarter of the answer."""

    @classmethod
    def of(cls, prompt_tokens: int, prefill_s: float, at_s: Sequence[float]) -> Answer:
        """From clock readings: seconds of the prompt's evaluation, and seconds until each token."""
        return cls(prompt_tokens / prefill_s, prompt_tokens / at_s[0], _steps(at_s), _steps(at_s[len(at_s) * 3 // 4 :]))


def _steps(at_s: Sequence[float]) -> float:
    return (len(at_s) - 1) / (at_s[-1] - at_s[0]) if len(at_s) > 1 else 0.0


class Worker:
    """slmtui's worker with one model."""

    def __init__(self, client: WorkerClient, model: Path, settings: Settings) -> None:
        self._client, self._model, self._settings = client, model, settings
        self._context = 0
        self.parameters = 0
        """Of the model, once it is loaded."""

    @classmethod
    async def start(cls, log: Path, model: Path, settings: Settings) -> Worker:
        """Start the process; the model is loaded when a request says how large a context it needs."""
        return cls(await WorkerClient.start(log), model, settings)

    async def load(self, context: int) -> None:
        """Load the model with a context of this many tokens."""
        settings = self._settings
        request = Load(
            path=str(self._model),
            context=context,
            threads=settings.threads,
            batch=settings.batch,
            micro_batch=settings.micro_batch,
            flash_attention=settings.flash_attention,
            device=settings.device or "cpu",
            gpu_layers=-1 if settings.device else 0,
        )
        ending = (await self._all(request))[-1]
        assert isinstance(ending, Loaded), ending
        self._context, self.parameters = context, ending.facts.parameters or 0

    async def speeds(self, shape: Shape, repetitions: int) -> list[float]:
        """See `Side.speeds`; the context is as large as llama-bench's."""
        if self._context != shape.context:
            await self.load(shape.context)
        return await self.measured(shape, repetitions)

    async def measured(self, shape: Shape, repetitions: int) -> list[float]:
        """The same in the context that is there."""
        request = Measure(
            prompt_tokens=shape.prompt,
            generated_tokens=shape.generated,
            depth=shape.depth,
            repetitions=repetitions + 1,
        )
        timings = [event.timing for event in await self._all(request) if isinstance(event, Repeated)]
        assert len(timings) == repetitions + 1
        return [_speed(timing, shape) for timing in timings[1:]]

    async def answer(self, prompt: str, length: int) -> Answer:
        """A greedy answer of this many tokens, whatever ends one."""
        request = Generate(prompt=prompt, sampling=Sampling(temperature=0, max_tokens=length), ignore_end=True)
        ending = (await self._all(request))[-1]
        assert isinstance(ending, Done), ending
        timing = ending.timing
        assert timing is not None
        return Answer.of(timing.prompt_tokens, timing.prefill_s or 0.0, timing.token_at_s)

    async def close(self) -> None:
        """End the process."""
        await self._client.close()

    async def _all(self, request: Request) -> list[AnyEvent]:
        """All events of a request, the last of which is its ending.

        Raises:
            SystemExit: the worker says that it failed.
        """
        async with aclosing(self._client.request(request)) as events:
            said = [event async for event in events]
        if isinstance(said[-1], Failed):
            raise SystemExit(f"slmtui's worker failed: {said[-1].message}")
        return said


def _speed(timing: Timing, shape: Shape) -> float:
    speed = timing.prefill_tps if shape.prompt else timing.decode_tps
    assert speed is not None
    return speed


class Streaming:
    """llama-cpp-python's `Llama.create_completion(stream=True)`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._draw = random.Random(1)

    @classmethod
    async def start(cls, model: Path, settings: Settings, context: int) -> Streaming:
        """Start the process and load the model."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("streaming.py")), str(model),
            "--threads", str(settings.threads),
            "--context", str(context),
            "--batch", str(settings.batch),
            "--micro-batch", str(settings.micro_batch),
            "--flash-attention", settings.flash_attention,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE_LIMIT_BYTES,
        )  # fmt: skip
        return cls(process)

    async def speeds(self, shape: Shape, repetitions: int) -> list[float]:
        """See `Side.speeds`; a prompt of one token at least, and one token more than there are steps to time."""
        found = []
        for _ in range(repetitions + 1):
            prompt = [self._draw.randrange(300, 500) for _ in range(max(shape.depth + shape.prompt, 1))]
            said = await self._ask(prompt, shape.generated + 1, shape.depth if shape.prompt else 0)
            found.append(said.prefill if shape.prompt else said.decode)
        return found[1:]

    async def answer(self, prompt: str, length: int) -> Answer:
        """A greedy answer of this many tokens, whatever ends one."""
        return await self._ask(prompt, length, 0)

    async def close(self) -> None:
        """End the process."""
        self._process.kill()
        await self._process.wait()

    async def _ask(self, prompt: str | list[int], answer: int, before: int) -> Answer:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"prompt": prompt, "answer": answer, "before": before}).encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise SystemExit(f"llama-cpp-python's process ended with code {await process.wait()}.")
        said: dict[str, Any] = json.loads(line)
        return Answer.of(said["prompt_tokens"], said["prefill_s"], said["at_s"])
