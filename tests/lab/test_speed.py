"""Benchmarks with real models: order, warm-ups, failures, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from slmtui.core.events import Done, FailureKind, MemorySampled, Prefilled, Timing, Tokens
from slmtui.core.measurement import Measurement
from slmtui.lab import speed
from slmtui.lab.services import Services
from slmtui.lab.speed import (
    MAXIMUM_WARMUPS,
    PRESETS,
    BenchEvent,
    Cell,
    CellFailed,
    CellLoading,
    CellMeasured,
    CellProgress,
    CellRunning,
    Plan,
    PlanEnded,
    Shape,
    rotated,
)
from slmtui.sources.store import StoreError
from tests.engine.conftest import Build
from tests.engine.conftest import build as _build
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY, slow_to_load, until
from tests.lab.seats import model, services, workers

pytestmark = pytest.mark.asyncio(loop_scope="module")
build = _build
SMALL = Shape(prompt_tokens=32, generated_tokens=8, repetitions=3)
_Event = TypeVar("_Event")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    async with services(tmp_path_factory.mktemp("speed")) as opened:
        yield opened


def plan(*paths: Path, shape: Shape = SMALL) -> Plan:
    return Plan(models=tuple(map(model, paths)), shape=shape, threads=1)


async def events_of(shared: Services, wanted: Plan, stop: asyncio.Event | None = None) -> list[BenchEvent]:
    async with aclosing(speed.run(shared, wanted, stop)) as stream:
        events = [event async for event in stream]
    assert [isinstance(event, PlanEnded) for event in events] == [False] * (len(events) - 1) + [True]
    assert workers() == [], "the plan ended and its workers did not"
    return events


def of(events: Iterable[BenchEvent], kind: type[_Event]) -> list[_Event]:
    return [event for event in events if isinstance(event, kind)]


def end(events: list[BenchEvent]) -> PlanEnded:
    last = events[-1]
    assert isinstance(last, PlanEnded)
    return last


@pytest.fixture
def two_warmups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any two runs agree, so that tests about other things are short."""
    monkeypatch.setattr(speed, "_settled", lambda *_: True)


@pytest.mark.usefixtures("two_warmups")
async def test_each_model_takes_each_place_and_each_repetition_is_stored(shared: Services) -> None:
    stored: list[Measurement] = []
    events: list[BenchEvent] = []
    async with aclosing(speed.run(shared, plan(F16, STORY, Q8_0))) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, CellMeasured):
                assert shared.session is not None
                now = await shared.measurements(shared.session.id)
                assert len(now) == len(stored) + 1, "one by one, before it is told"
                assert now[-1] == event.measurement
                stored.append(event.measurement)
    order = [(event.repetition, event.cell.model.path) for event in of(events, CellRunning) if not event.warmup]
    assert order == [
        *((0, path) for path in (F16, STORY, Q8_0)),
        *((1, path) for path in (STORY, Q8_0, F16)),
        *((2, path) for path in (Q8_0, F16, STORY)),
    ]
    assert [(one.repetition, Path(one.file)) for one in stored] == order
    for one in stored:
        assert one.kind == "bench"
        assert not one.together
        assert one.warmup_runs == 2
        assert (one.timing.prompt_tokens, one.timing.generated_tokens, one.timing.depth) == (32, 8, 0)
        assert one.timing.prefill_tps is not None
        assert one.timing.decode_tps is not None
        assert one.settings.threads == 1
        assert one.process_memory is not None
    assert len({one.cell for one in stored}) == 3
    results = end(events).results
    assert [Path(result.measurements[0].file) for result in results] == [F16, STORY, Q8_0]
    assert all(result.prefill_tps and result.prefill_tps.n == 3 for result in results)
    assert not end(events).stopped


@pytest.mark.usefixtures("two_warmups")
async def test_one_model_runs_at_a_time(shared: Services) -> None:
    events = await events_of(shared, plan(F16, Q8_0))
    running: Cell | None = None
    for event in events:
        if isinstance(event, CellRunning):
            running = event.cell
        elif isinstance(event, CellProgress) and isinstance(event.event, Prefilled | Tokens):
            assert event.cell == running
    loads = [event.cell.model.path for event in of(events, CellLoading) if event.fraction == 0.0]
    assert loads.index(Q8_0) > loads.index(F16)
    first_run = next(at for at, event in enumerate(events) if isinstance(event, CellRunning))
    assert not of(events[first_run:], CellLoading), "all are loaded before the first runs"


@pytest.mark.usefixtures("two_warmups")
async def test_live_figures_come_meanwhile(shared: Services) -> None:
    events = await events_of(shared, plan(F16))
    kinds = {type(event.event) for event in of(events, CellProgress)}
    assert {Prefilled, MemorySampled} <= kinds
    fractions = [event.fraction for event in of(events, CellLoading)]
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0


async def test_warm_ups_go_on_until_two_agree(shared: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Timing, Timing]] = []

    def settled(earlier: Timing, latest: Timing) -> bool:
        compared.append((earlier, latest))
        return len(compared) == 3

    monkeypatch.setattr(speed, "_settled", settled)
    events = await events_of(shared, plan(STORY, shape=Shape(prompt_tokens=8, generated_tokens=4, repetitions=1)))
    warmups = [event.repetition for event in of(events, CellRunning) if event.warmup]
    assert warmups == [0, 1, 2, 3]
    assert [one[1] for one in compared[:-1]] == [one[0] for one in compared[1:]], "each with the one before"
    assert of(events, CellMeasured)[0].measurement.warmup_runs == 4


async def test_warm_ups_that_never_agree_end_all_the_same(shared: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_settled", lambda *_: False)
    events = await events_of(shared, plan(STORY, shape=Shape(prompt_tokens=8, generated_tokens=4, repetitions=1)))
    assert sum(event.warmup for event in of(events, CellRunning)) == MAXIMUM_WARMUPS
    assert of(events, CellMeasured)[0].measurement.warmup_runs == MAXIMUM_WARMUPS


@pytest.mark.parametrize(
    ("earlier", "latest", "settled"),
    [
        ((1.0, 1.0), (1.04, 0.97), True),
        ((1.0, 1.0), (1.2, 1.0), False),
        ((1.0, 1.0), (1.0, 1.2), False),
        ((None, 1.0), (None, 1.01), True),
        ((1.0, None), (1.01, None), True),
    ],
)
async def test_when_two_runs_agree(
    earlier: tuple[float | None, float | None], latest: tuple[float | None, float | None], settled: bool
) -> None:
    def timing(prefill_s: float | None, decode_s: float | None) -> Timing:
        return Timing(prompt_tokens=100, prefill_s=prefill_s, decode_steps=100, decode_s=decode_s)

    assert speed._settled(timing(*earlier), timing(*latest)) is settled


@pytest.mark.usefixtures("two_warmups")
@pytest.mark.parametrize(
    "shape",
    [
        Shape(prompt_tokens=16, generated_tokens=0, repetitions=2),
        Shape(prompt_tokens=0, generated_tokens=16, repetitions=2),
        Shape(prompt_tokens=16, generated_tokens=16, depth=300, repetitions=2),
    ],
)
async def test_other_shapes(shared: Services, shape: Shape) -> None:
    events = await events_of(shared, plan(STORY, shape=shape))
    (result,) = end(events).results
    assert (result.prefill_tps is None) == (shape.prompt_tokens == 0)
    assert (result.decode_tps is None) == (shape.generated_tokens == 0)
    for event in of(events, CellMeasured):
        assert event.measurement.timing.depth == shape.depth
        assert event.measurement.facts.context is not None
        assert event.measurement.facts.context >= shape.depth + max(shape.prompt_tokens, shape.generated_tokens)


@pytest.mark.usefixtures("two_warmups")
async def test_a_damaged_file_does_not_stop_the_others(shared: Services, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(F16.read_bytes()[:50_000])
    events = await events_of(shared, plan(damaged, STORY, tmp_path / "missing.gguf"))
    failures = of(events, CellFailed)
    assert [failure.cell.model.path.name for failure in failures] == ["damaged.gguf", "missing.gguf"]
    assert {failure.failure.kind for failure in failures} == {FailureKind.BAD_FILE}
    assert {event.cell.model.path for event in of(events, CellRunning)} == {STORY}
    (result,) = end(events).results
    assert len(result.measurements) == SMALL.repetitions


@pytest.mark.usefixtures("two_warmups")
async def test_a_worker_that_dies_gives_up_its_cell_and_keeps_what_was_measured(shared: Services) -> None:
    events: list[BenchEvent] = []
    async with aclosing(speed.run(shared, plan(F16, STORY))) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, CellMeasured) and event.cell.model.path == F16 and event.measurement.repetition == 1:
                next(one for one in shared.loaded if one.model.path == F16).kill()
    (failure,) = of(events, CellFailed)
    assert failure.cell.model.path == F16
    assert failure.failure.kind is FailureKind.CRASHED
    counts = {result.measurements[0].file: len(result.measurements) for result in end(events).results}
    assert counts == {str(F16): 2, str(STORY): 3}
    assert workers() == []


@pytest.mark.usefixtures("two_warmups")
async def test_a_plan_in_which_all_fail(shared: Services, tmp_path: Path) -> None:
    events = await events_of(shared, plan(tmp_path / "a.gguf", tmp_path / "b.gguf"))
    assert len(of(events, CellFailed)) == 2
    assert end(events).results == ()
    assert not of(events, CellRunning)


async def test_an_empty_plan(shared: Services) -> None:
    assert await events_of(shared, plan()) == [PlanEnded((), stopped=False)]


LONG = Shape(prompt_tokens=256, generated_tokens=300, repetitions=3)


def in_a_repetition(events: list[BenchEvent]) -> bool:
    last = events[-1]
    begun = [event.warmup for event in of(events, CellRunning)]
    return begun[-1:] == [False] and isinstance(last, CellProgress) and isinstance(last.event, Prefilled)


MOMENTS: dict[str, Callable[[list[BenchEvent]], bool]] = {
    "first load": lambda events: isinstance(events[-1], CellLoading),
    "warm-up": lambda events: isinstance(events[-1], CellRunning),
    "repetition begins": lambda events: isinstance(events[-1], CellRunning) and not events[-1].warmup,
    "in a repetition": in_a_repetition,
    "after the first": lambda events: isinstance(events[-1], CellMeasured),
}


@pytest.mark.usefixtures("two_warmups")
@pytest.mark.parametrize("moment", MOMENTS)
async def test_stopping_keeps_what_is_finished(shared: Services, moment: str) -> None:
    least = int(moment == "after the first")
    stop, events = asyncio.Event(), list[BenchEvent]()
    async with aclosing(speed.run(shared, plan(STORY, STORY, shape=LONG), stop)) as stream:
        async for event in stream:
            events.append(event)
            if MOMENTS[moment](events):
                stop.set()
    assert end(events).stopped
    measured = [event.measurement for event in of(events, CellMeasured)]
    assert least <= len(measured) <= least + 1, "at most the running repetition was finished"
    assert sum(len(result.measurements) for result in end(events).results) == len(measured)
    assert not of(events, CellFailed)
    if moment == "first load":
        assert not of(events, CellRunning)
    assert workers() == []


async def test_stopping_before_the_beginning_loads_nothing(shared: Services) -> None:
    stop = asyncio.Event()
    stop.set()
    assert await events_of(shared, plan(STORY, F16), stop) == [PlanEnded((), stopped=True)]


async def test_stopping_while_the_first_loads_loads_no_other(shared: Services, build: Build) -> None:
    slow = build("slow.gguf", slow_to_load(Gguf.read(STORY)))
    stop, events = asyncio.Event(), list[BenchEvent]()
    async with aclosing(speed.run(shared, plan(slow, F16, STORY), stop)) as stream:
        async for event in stream:
            events.append(event)
            stop.set()
    assert {event.cell.model.path for event in of(events, CellLoading)} == {slow}
    assert max(event.fraction for event in of(events, CellLoading)) < 1.0, "the load was cancelled"
    assert end(events).stopped


@pytest.mark.usefixtures("two_warmups")
@pytest.mark.parametrize("moment", ["first load", "warm-up", "in a repetition"])
async def test_leaving_ends_the_workers(shared: Services, moment: str) -> None:
    events: list[BenchEvent] = []
    async with aclosing(speed.run(shared, plan(STORY, STORY, shape=LONG))) as stream:
        async for event in stream:
            events.append(event)
            if MOMENTS[moment](events):
                break
    assert workers() == []
    assert shared.loaded == []


@pytest.mark.usefixtures("two_warmups")
async def test_a_task_that_is_cancelled_ends_the_workers(shared: Services) -> None:
    running = asyncio.create_task(events_of(shared, plan(STORY, STORY, shape=LONG)))
    await until(lambda: bool(workers()))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert workers() == []


@pytest.mark.usefixtures("two_warmups")
async def test_a_store_that_cannot_be_written_ends_the_plan(shared: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full; make room")

    monkeypatch.setattr(shared.store, "add", full)
    with pytest.raises(StoreError, match="make room"):
        await events_of(shared, plan(STORY))
    assert workers() == []


@pytest.mark.parametrize(
    ("items", "by", "turned"), [("abc", 0, "abc"), ("abc", 1, "bca"), ("abc", 5, "cab"), ("", 3, "")]
)
async def test_rotation(items: str, by: int, turned: str) -> None:
    assert "".join(rotated(items, by)) == turned


async def test_presets_are_those_of_the_measurement_page() -> None:
    assert PRESETS["quick"] == Shape(prompt_tokens=128, generated_tokens=32, repetitions=3)
    assert PRESETS["standard"] == Shape(prompt_tokens=512, generated_tokens=128, repetitions=5)


@pytest.mark.usefixtures("two_warmups")
async def test_the_speeds_of_the_latest_benchmark(shared: Services) -> None:
    events = await events_of(shared, plan(Q4_K_M))
    (result,) = end(events).results
    assert result.prefill_tps is not None
    assert result.decode_tps is not None
    assert (await shared.speeds())[str(Q4_K_M)] == (result.prefill_tps.median, result.decode_tps.median)
    assert isinstance(of(events, CellProgress)[-1].event, Done | MemorySampled)
