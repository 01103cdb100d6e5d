"""One batch of a cell's questions, asked of a loaded model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from slmtui.core.answers import is_right
from slmtui.core.events import (
    AnyEvent,
    Done,
    Failed,
    MemorySampled,
    OptionScore,
    Prefilled,
    Prompted,
    Scored,
    StopReason,
    Timing,
    Tokens,
)
from slmtui.core.measurement import MemorySample
from slmtui.core.openings import shared, usual
from slmtui.core.probe import Answer, Scorer
from slmtui.core.probe_choice import chosen
from slmtui.core.probe_prompt import Asked
from slmtui.core.probe_sizes import answer_limit
from slmtui.core.sampling import Sampling
from slmtui.core.task import Task
from slmtui.engine.protocol import Generate, Question, Request, Score
from slmtui.lab.bench_cell import stoppable
from slmtui.lab.loaded import LoadedModel

GREEDY = Sampling(temperature=0, seed=0)
Calibration = tuple[tuple[OptionScore, ...], ...]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch has ended; neither answers nor failure when it was cancelled."""

    answers: tuple[Answer, ...] = ()
    opening: str = ""
    """What all prompts begin with; each answer's tail is the rest of its own."""
    calibration: Calibration = ()
    timing: Timing = Timing()
    memory_samples: tuple[MemorySample, ...] = ()
    wall_s: float = 0.0
    failure: Failed | None = None


class Asker:
    """Asks batches of one model and tells how many tokens were evaluated so far, and for how many seconds."""

    def __init__(self, loaded: LoadedModel, end: asyncio.Event, tell: Callable[[int, float], None]) -> None:
        self._loaded = loaded
        self._end = end
        self._tell = tell
        self._samples: list[MemorySample] = []
        self._failure: Failed | None = None
        self._timings: list[Timing] = []
        self._began = time.perf_counter()

    async def choose(
        self, asked: Sequence[Asked], scorer: Scorer, without_content: Sequence[Asked], calibration: Calibration
    ) -> Reply:
        """Have the options scored; questions without content, if any, calibrate them and later batches."""
        everything = [*without_content, *asked]
        events = await self._events(Score(questions=tuple(map(_question, everything))))
        scored = {event.index: event for event in events if isinstance(event, Scored)}
        if len(scored) < len(everything):
            return self._reply()
        in_order = [scored[place] for place in range(len(everything))]
        if without_content:
            calibration = tuple(event.options for event in in_order[: len(without_content)])
        given = list(zip(asked, in_order[len(without_content) :], strict=True))
        answers = []
        for one, event in given:
            answer = one.options[chosen(event.options, scorer, calibration)]
            answers.append(
                Answer(
                    question=one.question,
                    right=answer == one.target,
                    answer=answer,
                    target=one.target,
                    options=one.options,
                    scores=event.options,
                    examples=one.examples,
                    tail=event.prompt,
                    prompt_tokens=event.prompt_tokens,
                )
            )
        return self._reply(answers, calibration if without_content else ())

    async def write(self, asked: Sequence[Asked], task: Task) -> Reply:
        """Have the answers written, one after another, each greedily and to the task's stop."""
        sampling = msgspec.structs.replace(GREEDY, max_tokens=answer_limit(task))
        answers = []
        for one in asked:
            request = Generate(prompt=one.prompt, messages=one.messages, sampling=sampling, stop=task.stop)
            events = await self._events(msgspec.structs.replace(request, stop_after_text=True))
            done = events[-1] if events else None
            if not isinstance(done, Done) or done.reason is StopReason.CANCELLED or done.timing is None:
                return self._reply()
            text = "".join(event.text for event in events if isinstance(event, Tokens))
            prompted = next(event for event in events if isinstance(event, Prompted))
            answers.append(
                Answer(
                    question=one.question,
                    right=is_right(task, text, one.target),
                    answer=text,
                    target=one.target,
                    examples=one.examples,
                    tail=prompted.text,
                    prompt_tokens=prompted.tokens,
                    written_tokens=done.timing.generated_tokens,
                )
            )
        return self._reply(answers)

    async def _events(self, request: Request) -> list[AnyEvent]:
        """Everything that a request brings, unless it fails or is cancelled."""
        before = sum(timing.prompt_tokens for timing in self._timings)
        before_s = sum(timing.prefill_s or 0.0 for timing in self._timings)
        found: list[AnyEvent] = []
        async with aclosing(stoppable(self._loaded, self._loaded.request(request), self._end)) as events:
            async for event in events:
                found.append(event)
                match event:
                    case Prefilled():
                        self._tell(before + event.done, before_s + event.elapsed_s)
                    case MemorySampled():
                        self._samples.append(MemorySample(at_s=event.at_s, memory=event.memory))
                    case Failed():
                        self._failure = event
                    case Done(timing=timing) if timing is not None:
                        self._timings.append(timing)
                    case _:
                        pass
        return found

    def _reply(self, answers: Sequence[Answer] = (), calibration: Calibration = ()) -> Reply:
        opening = usual([answer.tail for answer in answers]) if answers else ""
        return Reply(
            answers=tuple(_shortened(one, opening) for one in sorted(answers, key=lambda one: one.question)),
            opening=opening,
            calibration=calibration,
            timing=_together(self._timings),
            memory_samples=tuple(self._samples),
            wall_s=time.perf_counter() - self._began,
            failure=self._failure,
        )


def _question(asked: Asked) -> Question:
    return Question(prompt=asked.prompt, messages=asked.messages, options=asked.continuations)


def _shortened(answer: Answer, opening: str) -> Answer:
    """The answer, whose tail is the whole prompt so far, without what the prompt has of the opening."""
    length = shared(opening, answer.tail)
    return msgspec.structs.replace(answer, shared=length, tail=answer.tail[length:])


def _together(timings: Sequence[Timing]) -> Timing:
    """Several requests as one: tokens and times summed up."""
    prefilled = [timing.prefill_s for timing in timings if timing.prefill_s is not None]
    decoded = [timing.decode_s for timing in timings if timing.decode_s is not None]
    return Timing(
        prompt_tokens=sum(timing.prompt_tokens for timing in timings),
        prefill_s=sum(prefilled) if prefilled else None,
        generated_tokens=sum(timing.generated_tokens for timing in timings),
        decode_steps=sum(timing.decode_steps for timing in timings),
        decode_s=sum(decoded) if decoded else None,
    )
