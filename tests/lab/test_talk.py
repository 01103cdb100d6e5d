"""Conversations with real models, in turn and together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from slmtui.core.chat import Message
from slmtui.core.events import (
    AnyEvent,
    Done,
    Ending,
    Failed,
    FailureKind,
    MemorySampled,
    Prompted,
    StopReason,
    Tokens,
)
from slmtui.core.sampling import Sampling
from slmtui.engine.protocol import Generate
from slmtui.lab import talk
from slmtui.lab.services import Services, prompt_sha256
from slmtui.lab.talk import Order, Seat, ask_all
from slmtui.sources.store import StoreError
from tests.engine.support import F16, Q8_0, STORY, done, failed, of, text_of, until
from tests.lab.seats import of_seat, seated, services

pytestmark = pytest.mark.asyncio(loop_scope="module")
GREEDY = Sampling(temperature=0, max_tokens=12)
LONG = Sampling(temperature=0, max_tokens=20_000)
ROOM = 32_768
"""Tokens of context for as long an answer."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    async with services(tmp_path_factory.mktemp("talk")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(shared: Services) -> AsyncIterator[list[Seat]]:
    async with seated(shared, [F16, Q8_0], context=ROOM) as seats:
        yield seats


@pytest.fixture
def seats(pair: list[Seat]) -> list[Seat]:
    """Two models at the beginning of a conversation."""
    return [Seat(seat.loaded) for seat in pair]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers end only at their limit, however long a busy machine takes to interfere with them."""
    monkeypatch.setattr(talk, "Generate", partial(Generate, ignore_end=True))


async def all_of(
    seats: list[Seat], text: str, sampling: Sampling = GREEDY, order: Order = "in turn"
) -> list[tuple[Seat, AnyEvent]]:
    async with aclosing(ask_all(seats, text, sampling, order)) as stream:
        return [item async for item in stream]


def assert_one_ending_each(events: list[tuple[Seat, AnyEvent]], seats: list[Seat]) -> None:
    for seat in seats:
        said = of_seat(events, seat)
        assert [isinstance(event, Ending) for event in said] == [False] * (len(said) - 1) + [True]


async def test_in_turn_one_after_another(seats: list[Seat]) -> None:
    events = await all_of(seats, "What is prefill?")
    assert_one_ending_each(events, seats)
    order = [seat for seat, _ in events]
    assert order == sorted(order, key=seats.index), "the second begins when the first has ended"
    for seat in seats:
        said = of_seat(events, seat)
        assert of(said, Prompted)
        assert of(said, MemorySampled)
        assert seat.messages == [Message("user", "What is prefill?"), Message("assistant", text_of(said))]
        assert len(seat.measurements) == 1
        assert not seat.measurements[0].together


async def test_together_at_the_same_time(seats: list[Seat]) -> None:
    events = await all_of(seats, "What is prefill?", Sampling(temperature=0, max_tokens=150), "together")
    assert_one_ending_each(events, seats)
    first_of_second = next(at for at, (seat, _) in enumerate(events) if seat is seats[1])
    last_of_first = max(at for at, (seat, _) in enumerate(events) if seat is seats[0])
    assert first_of_second < last_of_first
    for seat in seats:
        assert seat.messages[-1] == Message("assistant", text_of(of_seat(events, seat)))
        assert seat.measurements[0].together


async def test_what_is_measured(shared: Services, seats: list[Seat]) -> None:
    events = await all_of(seats[:1], "What is a token?", Sampling(temperature=0.7, max_tokens=12))
    (kept,) = seats[0].measurements
    timing = done(of_seat(events, seats[0]), kept.reason).timing
    assert kept.timing == timing
    assert (kept.kind, kept.name, kept.file, kept.file_bytes) == ("chat", F16.stem, str(F16), F16.stat().st_size)
    assert kept.sampling is not None
    assert kept.sampling.seed is not None, "a drawn seed is noted, so that the answer can be had again"
    assert seats[0].prompted is not None
    assert seats[0].prompted.seed == kept.sampling.seed
    assert kept.prompt_sha256 == prompt_sha256(seats[0].prompted.text)
    assert kept.process_memory == of(of_seat(events, seats[0]), MemorySampled)[-1].memory
    assert kept.engine_memory == seats[0].loaded.memory != ()
    assert kept.file_sha256 is not None
    assert (kept.settings.threads, kept.settings.context) == (1, ROOM)
    assert kept.facts.architecture == "llama"
    assert kept.session == (shared.session.id if shared.session else None)


@pytest.mark.parametrize("order", ["in turn", "together"])
async def test_measurements_are_on_disk_when_the_end_is_told(shared: Services, seats: list[Seat], order: Order) -> None:
    told = 0
    async with aclosing(ask_all(seats, "Hello", GREEDY, order)) as stream:
        async for seat, event in stream:
            if isinstance(event, Done):
                told += 1
                assert shared.session is not None
                stored = await shared.measurements(shared.session.id)
                assert seat.measurements[-1] in stored
    assert told == 2


async def test_the_same_seed_for_all_and_the_same_text_again(seats: list[Seat]) -> None:
    sampling = Sampling(temperature=1.5, max_tokens=25)
    await all_of(seats, "Tell me about memory.", sampling)
    used = [seat.measurements[0].sampling for seat in seats]
    assert used[0] is not None
    assert used[0] == used[1]
    again = Seat(seats[0].loaded)
    await all_of([again], "Tell me about memory.", used[0])
    assert again.messages == seats[0].messages


async def test_a_second_turn_sees_the_first(seats: list[Seat]) -> None:
    await all_of(seats, "What is a token?")
    events = await all_of(seats, "And what is prefill?")
    for seat in seats:
        assert [message.role for message in seat.messages] == ["user", "assistant"] * 2
        prompt = of(of_seat(events, seat), Prompted)[0]
        assert seat.messages[1].content in prompt.text
        assert prompt.cached_tokens > 10
        assert len(seat.measurements) == 2


async def test_a_system_prompt_is_said_first(seats: list[Seat]) -> None:
    seat = Seat(seats[0].loaded, system="Answer briefly.")
    events = await all_of([seat], "What is a token?")
    assert of(of_seat(events, seat), Prompted)[0].text.startswith("<|im_start|>system\nAnswer briefly.<|im_end|>")
    assert [message.role for message in seat.messages] == ["system", "user", "assistant"]


async def cancelled_answer(seat: Seat) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    async with aclosing(seat.ask("What is prefill?", LONG)) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, Tokens):
                await seat.loaded.cancel()
    return events


@pytest.mark.usefixtures("endless")
async def test_a_cancelled_answer_stays_as_far_as_it_came(shared: Services, tmp_path: Path) -> None:
    async with seated(shared, [F16], context=ROOM) as (seat,):
        events = await cancelled_answer(seat)
        timing = done(events, StopReason.CANCELLED).timing
        assert timing is not None
        assert seat.messages == [Message("user", "What is prefill?"), Message("assistant", text_of(events))]
        assert seat.measurements[0].reason is StopReason.CANCELLED
        assert seat.measurements[0].timing == timing
        assert timing.generated_tokens < LONG.max_tokens
        assert isinstance(of_seat(await all_of([seat], "Go on"), seat)[-1], Done)


async def test_a_cancel_before_the_first_token_leaves_no_trace(shared: Services) -> None:
    async with seated(shared, [F16], context=ROOM) as (seat,):
        prompt = "Prefill is the phase in which the model reads the whole prompt at once. " * 1200
        events: list[AnyEvent] = []
        async with aclosing(seat.ask(prompt, LONG)) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, Prompted):
                    await seat.loaded.cancel()
        done(events, StopReason.CANCELLED)
        assert (seat.messages, seat.measurements) == ([], [])


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("order", ["in turn", "together"])
async def test_leaving_stops_all_and_the_models_can_be_asked_again(seats: list[Seat], order: Order) -> None:
    async with aclosing(ask_all(seats, "What is prefill?", LONG, order)) as stream:
        async for _, event in stream:
            if isinstance(event, Tokens):
                break
    assert not any(seat.loaded.busy for seat in seats)
    assert all(seat.loaded.ready for seat in seats)
    assert_one_ending_each(await all_of(seats, "Hello", order=order), seats)


@pytest.mark.usefixtures("endless")
async def test_a_task_that_is_cancelled_stops_all(seats: list[Seat]) -> None:
    task = asyncio.create_task(all_of(seats, "What is prefill?", LONG, "together"))
    await until(lambda: all(seat.loaded.busy for seat in seats), every_s=0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(seat.loaded.busy for seat in seats)
    assert_one_ending_each(await all_of(seats, "Hello"), seats)


async def test_a_failed_answer_leaves_the_conversation_unchanged(shared: Services, seats: list[Seat]) -> None:
    await all_of(seats, "Hello")
    before = [list(seat.messages) for seat in seats]
    assert shared.session is not None
    stored = len(await shared.measurements(shared.session.id))
    events = await all_of(seats, "much too long " * 20_000)
    for seat, messages in zip(seats, before, strict=True):
        failed(of_seat(events, seat), FailureKind.CONTEXT_FULL)
        assert seat.messages == messages
        assert len(seat.measurements) == 1
    assert len(await shared.measurements(shared.session.id)) == stored
    assert_one_ending_each(await all_of(seats, "Hello"), seats)


async def test_sampling_out_of_range_fails_for_all(seats: list[Seat]) -> None:
    events = await all_of(seats, "Hello", Sampling(temperature=-1))
    for seat in seats:
        failed(of_seat(events, seat), FailureKind.BAD_REQUEST)


async def test_a_model_without_a_template_continues_the_text(shared: Services) -> None:
    async with seated(shared, [STORY, F16]) as seats:
        assert [seat.converses for seat in seats] == [False, True]
        events = await all_of(seats, "Once upon a time")
        story = of_seat(events, seats[0])
        assert of(story, Prompted)[0].text == "Once upon a time"
        assert text_of(story).startswith(", there was a little girl")
        assert seats[0].messages == [], "there is no conversation to keep"
        assert len(seats[0].measurements) == 1
        assert len(seats[1].messages) == 2


async def test_raw_prompts_are_continued_by_any_model(seats: list[Seat]) -> None:
    async with aclosing(ask_all(seats, "<|im_start|>user\n", GREEDY, raw=True)) as stream:
        events = [item async for item in stream]
    for seat in seats:
        assert of(of_seat(events, seat), Prompted)[0].text == "<|im_start|>user\n"
        assert seat.messages == []


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("order", ["in turn", "together"])
async def test_a_killed_worker_leaves_the_others_going(shared: Services, order: Order) -> None:
    async with seated(shared, [F16, Q8_0], context=ROOM) as seats:
        events: list[tuple[Seat, AnyEvent]] = []
        async with aclosing(ask_all(seats, "What is prefill?", LONG, order)) as stream:
            async for seat, event in stream:
                events.append((seat, event))
                if seat is seats[0] and isinstance(event, Tokens):
                    seat.loaded.kill()
                if seat is seats[1] and isinstance(event, Tokens) and not seats[0].loaded.ready:
                    await seat.loaded.cancel()
        failure = failed(of_seat(events, seats[0]), FailureKind.CRASHED)
        assert failure.signal == signal.SIGKILL
        assert isinstance(of_seat(events, seats[1])[-1], Done)
        assert (seats[0].messages, seats[0].measurements) == ([], [])
        assert len(seats[1].messages) == 2
        assert [seat.loaded.ready for seat in seats] == [False, True]
        events = await all_of(seats, "Hello", order=order)
        failed(of_seat(events, seats[0]), FailureKind.CRASHED)
        assert isinstance(of_seat(events, seats[1])[-1], Done)


async def test_a_killed_worker_can_be_loaded_again(shared: Services) -> None:
    async with seated(shared, [F16]) as (seat,):
        await all_of([seat], "Hello")
        seat.loaded.kill()
        failed(of_seat(await all_of([seat], "Again"), seat), FailureKind.CRASHED)
        first_pid = seat.loaded.pid
        async with aclosing(seat.loaded.load()) as stream:
            async for event in stream:
                assert not isinstance(event, Failed), event
        assert seat.loaded.ready
        assert seat.loaded.pid != first_pid
        done(of_seat(await all_of([seat], "Again"), seat), StopReason.LIMIT)
        assert len(seat.messages) == 4, "the conversation survived its worker"


@pytest.mark.parametrize("order", ["in turn", "together"])
async def test_a_store_that_cannot_be_written_is_told(
    shared: Services, seats: list[Seat], monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full; make room")

    monkeypatch.setattr(shared.store, "add", full)
    with pytest.raises(StoreError, match="make room"):
        await all_of(seats, "Hello", order=order)
    assert not any(seat.loaded.busy for seat in seats)
    monkeypatch.undo()
    assert_one_ending_each(await all_of(seats, "Hello", order=order), seats)


async def test_a_model_that_was_never_loaded(shared: Services, seats: list[Seat]) -> None:
    from slmtui.lab.loaded import LoadedModel

    seat = Seat(LoadedModel(shared, seats[0].loaded.model))
    failure = failed(of_seat(await all_of([seat], "Hello"), seat), FailureKind.BAD_REQUEST)
    assert "load it first" in failure.message
