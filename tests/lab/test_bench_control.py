"""Steering a running plan: stopping, leaving, skipping, resting, running together."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from slmtui.core.plan import Shape
from slmtui.lab import speed
from slmtui.lab.services import Services
from slmtui.lab.speed import (
    BenchEvent,
    CellFailed,
    CellLoading,
    CellMeasured,
    CellProgress,
    CellRunning,
    CellSkipped,
    Control,
    Cooling,
    PlanEnded,
    Released,
)
from tests.engine.conftest import Build
from tests.engine.conftest import build as _build
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16, STORY, slow_to_load, until
from tests.lab.benches import LONG, MOMENTS, end, events_of, of, plan
from tests.lab.seats import workers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("two_warmups")]
build = _build
TINY = Shape(prompt_tokens=8, generated_tokens=4)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_stopping_keeps_what_is_finished(bench_services: Services, moment: str) -> None:
    control = Control()

    def stop_then(events: list[BenchEvent]) -> None:
        if MOMENTS[moment](events):
            control.stop()

    wanted = plan(STORY, shapes=(LONG, TINY))
    events = await events_of(bench_services, wanted, control, stop_then)
    assert end(events).stopped
    assert control.stopped
    measured = [event.measurement for event in of(events, CellMeasured)]
    least = int(moment == "after the first")
    assert least <= len(measured) <= least + 1, "at most the running repetition was finished"
    assert sum(len(result.measurements) for result in end(events).results) == len(measured)
    assert not of(events, CellFailed)
    assert not of(events, CellSkipped)
    if moment == "first load":
        assert not of(events, CellRunning)
    (left,) = (each for each in await speed.unfinished(bench_services) if each.plan.id == wanted.id)
    assert (left.done, left.total) == (len(measured), 6)


async def test_stopping_before_the_beginning_loads_nothing(bench_services: Services) -> None:
    control = Control()
    control.stop()
    assert await events_of(bench_services, plan(STORY, F16), control) == [PlanEnded((), stopped=True)]


async def test_stopping_while_the_first_loads_loads_no_other(bench_services: Services, build: Build) -> None:
    slow = build("slow.gguf", slow_to_load(Gguf.read(STORY)))
    control = Control()

    def stop_at_once(events: list[BenchEvent]) -> None:
        if isinstance(events[-1], CellLoading):
            control.stop()

    events = await events_of(bench_services, plan(slow, F16, STORY), control, stop_at_once)
    assert {event.cell.model.path for event in of(events, CellLoading)} == {slow}
    assert max(event.fraction for event in of(events, CellLoading)) < 1.0, "the load was cancelled"
    assert end(events).stopped


@pytest.mark.parametrize("moment", ["first load", "warm-up", "in a repetition"])
async def test_leaving_ends_the_workers(bench_services: Services, moment: str) -> None:
    events: list[BenchEvent] = []
    async with aclosing(speed.run(bench_services, plan(STORY, F16, shapes=[LONG]))) as stream:
        async for event in stream:
            events.append(event)
            if MOMENTS[moment](events):
                break
    assert workers() == []
    assert bench_services.loaded == []
    assert bench_services.benchmarks == 0


async def test_a_task_that_is_cancelled_ends_the_workers(bench_services: Services) -> None:
    running = asyncio.create_task(events_of(bench_services, plan(STORY, F16, shapes=[LONG], repetitions=1000)))
    await until(lambda: bool(workers()))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert workers() == []


@pytest.mark.parametrize("moment", ["first load", "warm-up", "in a repetition", "after the first"])
async def test_skipping_what_runs(bench_services: Services, moment: str) -> None:
    control = Control()
    gone: list[str] = []

    def skip_once(events: list[BenchEvent]) -> None:
        if not gone and MOMENTS[moment](events):
            last = events[-1]
            assert isinstance(last, CellLoading | CellRunning | CellProgress | CellMeasured)
            control.skip(last.cell.key if moment == "after the first" else None)
            gone.append(last.cell.key)

    wanted = plan(STORY, shapes=(LONG, TINY), repetitions=2)
    events = await events_of(bench_services, wanted, control, skip_once)
    assert [event.cell.key for event in of(events, CellSkipped)] == gone
    counts = {cell.key: sum(e.cell == cell for e in of(events, CellMeasured)) for cell in wanted.cells}
    assert counts.pop(gone[0]) in ((1, 2) if moment == "after the first" else (0, 1))
    assert list(counts.values()) == [2], "the other goes on"
    assert not end(events).stopped
    assert wanted.id not in [each.plan.id for each in await speed.unfinished(bench_services)]


async def test_skipping_a_cell_by_its_key_before_it_comes(bench_services: Services) -> None:
    control = Control()
    wanted = plan(F16, STORY, shapes=[TINY], repetitions=1)
    control.skip(wanted.cells[0].key)
    events = await events_of(bench_services, wanted, control)
    assert of(events, CellSkipped) == [CellSkipped(wanted.cells[0])]
    assert {event.cell.key for event in of(events, CellLoading)} == {wanted.cells[1].key}, "its model is not loaded"
    assert [event.cell.key for event in of(events, CellMeasured)] == [wanted.cells[1].key]


async def test_skipping_all_cells_of_a_worker_ends_it(bench_services: Services) -> None:
    control = Control()
    wanted = plan(F16, STORY, shapes=[LONG], repetitions=2)

    def skip_first(events: list[BenchEvent]) -> None:
        if isinstance(events[-1], CellRunning):
            control.skip(wanted.cells[0].key)

    events = await events_of(bench_services, wanted, control, skip_first)
    assert [event.model.path for event in of(events, Released)] == [F16, STORY]
    first = next(at for at, event in enumerate(events) if isinstance(event, Released))
    assert of(events[first:], CellMeasured), "at once, before the other is done"


async def test_the_machine_rests_before_each_repetition(bench_services: Services) -> None:
    began = time.monotonic()
    events = await events_of(bench_services, plan(STORY, shapes=[TINY], repetitions=2, cool_down_s=1.3))
    took_s = time.monotonic() - began
    first = next(at for at, event in enumerate(events) if isinstance(event, CellMeasured))
    for rest in (of(events[:first], Cooling), of(events[first:], Cooling)):
        left = [event.left_s for event in rest]
        assert left[0] <= 1.3
        assert left == sorted(left, reverse=True)
        assert min(left) > 0
    cooled = [event.measurement.cool_down_s or 0.0 for event in of(events, CellMeasured)]
    assert min(cooled) >= 1.3
    assert sum(cooled) <= took_s


@pytest.mark.parametrize("how", ["stop", "skip"])
async def test_a_rest_can_be_cut_short(bench_services: Services, how: str) -> None:
    control = Control()
    began: list[float] = []

    def cut(events: list[BenchEvent]) -> None:
        if isinstance(events[-1], Cooling):
            began.append(time.monotonic())
            getattr(control, how)()

    events = await events_of(bench_services, plan(STORY, shapes=[TINY], cool_down_s=100.0), control, cut)
    assert time.monotonic() - began[0] < 20
    assert not of(events, CellMeasured)
    assert end(events).stopped is (how == "stop")
    assert bool(of(events, CellSkipped)) is (how == "skip")


async def test_together_all_run_at_the_same_time_and_are_marked(bench_services: Services) -> None:
    wanted = plan(F16, STORY, shapes=(LONG,), together=True, repetitions=2)
    events = await events_of(bench_services, wanted)
    measured = of(events, CellMeasured)
    assert len(measured) == 4
    assert all(event.measurement.together for event in measured)
    for repetition in range(2):
        begun = [
            at
            for at, event in enumerate(events)
            if isinstance(event, CellRunning) and not event.warmup and event.repetition == repetition
        ]
        ended = [
            at
            for at, event in enumerate(events)
            if isinstance(event, CellMeasured) and event.measurement.repetition == repetition
        ]
        assert max(begun) < min(ended)
    warmups = [event for event in of(events, CellRunning) if event.warmup]
    assert len(warmups) == 4


async def test_one_model_alone_is_not_together(bench_services: Services) -> None:
    events = await events_of(bench_services, plan(STORY, shapes=(TINY, LONG), together=True, repetitions=1))
    assert [event.measurement.together for event in of(events, CellMeasured)] == [False, False]


async def test_one_of_two_together_that_dies_leaves_the_other(bench_services: Services, tmp_path: Path) -> None:
    def kill(events: list[BenchEvent]) -> None:
        last = events[-1]
        if isinstance(last, CellRunning) and not last.warmup and last.cell.model.path == F16:
            next(one for one in bench_services.loaded if one.model.path == F16).kill()

    events = await events_of(bench_services, plan(F16, STORY, shapes=[LONG], together=True), on_event=kill)
    assert [event.cell.model.path for event in of(events, CellFailed)] == [F16]
    assert sum(event.cell.model.path == STORY for event in of(events, CellMeasured)) == 3
