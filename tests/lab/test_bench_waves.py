"""Memory: what fits together is measured in turn, the rest in the next wave, and what cannot fit says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slmtui.core.events import FailureKind, Inspected, total_bytes
from slmtui.core.machine import Memory
from slmtui.core.plan import Grid, Setup, Shape
from slmtui.lab import speed
from slmtui.lab.bench_waves import BenchWorker, Room, groups_of, options_of, together_in, workers_for
from slmtui.lab.loading import RESERVE_BYTES
from slmtui.lab.services import Services
from slmtui.lab.speed import CellFailed, CellLoading, CellMeasured, CellRunning, Released
from tests.engine.support import F16, Q8_0, STORY
from tests.lab.benches import events_of, of, order, plan
from tests.lab.seats import model

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("two_warmups")]
TINY = Shape(prompt_tokens=8, generated_tokens=4)
DEEP = Shape(prompt_tokens=8, generated_tokens=4, depth=2000)
Limit = Callable[[int], None]


@pytest.fixture
def available(bench_services: Services, monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Makes the machine say that it has so many free bytes."""

    def limit(size: int) -> None:
        async def memory_now() -> Memory:
            return Memory(total_bytes=size, available_bytes=size)

        monkeypatch.setattr(bench_services, "memory_now", memory_now)

    return limit


async def need(services: Services, wanted: speed.Plan) -> int:
    """What the plan's first worker takes, itself included."""
    (worker, *_) = workers_for(services, wanted.cells)
    told = await services.inspect(worker.loaded.model, options=worker.loaded.options)
    assert isinstance(told, Inspected)
    return total_bytes(told.planned) + RESERVE_BYTES


async def test_what_does_not_fit_beside_the_others_comes_in_the_next_wave(
    bench_services: Services, available: Limit
) -> None:
    wanted = plan(F16, Q8_0, STORY, shapes=[TINY], repetitions=2)
    largest = await need(bench_services, wanted)
    available(2 * largest - 1024**2)  # F16 and STORY, or Q8_0
    events = await events_of(bench_services, wanted)
    assert [(number, cell.model.path) for number, cell in order(events)] in (
        [(0, F16), (0, Q8_0), (1, Q8_0), (1, F16), (0, STORY), (1, STORY)],
        [(0, F16), (0, STORY), (1, STORY), (1, F16), (0, Q8_0), (1, Q8_0)],
    )
    released = [at for at, event in enumerate(events) if isinstance(event, Released)]
    last = max(at for at, event in enumerate(events) if isinstance(event, CellLoading) and event.fraction == 0.0)
    assert len([at for at in released if at < last]) == 2, "the first wave's workers have ended before"
    assert len(of(events, CellMeasured)) == 6


async def test_alone_when_only_one_fits(bench_services: Services, available: Limit) -> None:
    wanted = plan(STORY, F16, shapes=[TINY], repetitions=2)
    available(await need(bench_services, plan(F16, shapes=[TINY])))
    events = await events_of(bench_services, wanted)
    assert [(number, cell.model.path) for number, cell in order(events)] == [(0, STORY), (1, STORY), (0, F16), (1, F16)]


async def test_a_model_that_does_not_fit_at_all_is_a_failed_cell(bench_services: Services, available: Limit) -> None:
    wanted = plan(F16, STORY, shapes=[TINY], repetitions=1)
    available(await need(bench_services, wanted) - 1)
    seen = await speed.outlook(bench_services, wanted)
    assert [each.model.path for each in seen.will_not_fit] == [F16]
    assert seen.will_not_fit[0].needed_bytes == seen.will_not_fit[0].available_bytes + 1
    events = await events_of(bench_services, wanted)
    (failed,) = of(events, CellFailed)
    assert failed.cell.model.path == F16
    assert failed.failure.kind is FailureKind.OUT_OF_MEMORY
    assert [cell.model.path for _, cell in order(events)] == [STORY]


async def test_a_depth_that_does_not_fit_leaves_the_others(bench_services: Services, available: Limit) -> None:
    wanted = plan(F16, shapes=(TINY, DEEP), repetitions=1)
    available(await need(bench_services, wanted) - 1)
    events = await events_of(bench_services, wanted)
    (failed,) = of(events, CellFailed)
    assert failed.cell.shape == DEEP
    assert "pp8 tg4 @ d2000 needs" in failed.failure.message
    (measured,) = of(events, CellMeasured)
    assert measured.cell.shape == TINY
    assert measured.measurement.settings.context == 256, "the context of what is left"
    assert {event.cell.shape for event in of(events, CellRunning)} == {TINY}


async def test_one_worker_for_each_model_and_setup(bench_services: Services) -> None:
    one, two = Setup(threads=1), Setup(threads=2, context=1024)
    cells = (
        *plan(F16, STORY, shapes=(TINY, DEEP), setup=one).cells,
        *plan(F16, shapes=[TINY], setup=two).cells,
    )
    found = workers_for(bench_services, cells)
    assert [(worker.loaded.model.path, len(worker.cells)) for worker in found] == [(F16, 2), (STORY, 2), (F16, 1)]
    assert [worker.loaded.options.context for worker in found] == [2048, 2048, 1024]
    assert options_of(found[2].cells).threads == 2
    alone = [
        [(worker.loaded.model.path, cell.shape) for worker, cell in group] for group in groups_of(found, together=False)
    ]
    assert alone == [[(F16, TINY)], [(STORY, TINY)], [(F16, TINY)], [(F16, DEEP)], [(STORY, DEEP)]]
    assert [len(group) for group in groups_of(found, together=True)] == [3, 2]


@pytest.mark.parametrize(
    ("needs", "room", "wave"),
    [
        ([Room(4, 0), Room(4, 0), Room(2, 0)], Room(6, None), [0, 2]),
        ([Room(9, 0), Room(1, 0)], Room(6, None), [0]),
        ([Room(1, 5), Room(1, 5), Room(1, 0)], Room(10, 8), [0, 2]),
        ([None, Room(6, 0), Room(1, 0)], Room(6, None), [0, 1]),
        ([Room(9, 9), Room(9, 9)], Room(None, None), [0, 1]),
    ],
)
async def test_waves(bench_services: Services, needs: list[Room | None], room: Room, wave: list[int]) -> None:
    workers = [BenchWorker(list(plan(STORY).cells), bench_services, need) for need in needs]
    assert [workers.index(worker) for worker in together_in(workers, room)] == wave


async def test_an_outlook(bench_services: Services) -> None:
    wanted = plan(Q8_0, STORY, shapes=(TINY, DEEP), repetitions=2, cool_down_s=10.0)
    await events_of(bench_services, plan(STORY, shapes=[TINY], repetitions=1))
    before = await speed.outlook(bench_services, wanted)
    assert (before.cells, before.repetitions, before.will_not_fit) == (4, 8, ())
    if str(Q8_0) not in await bench_services.speeds():
        assert before.seconds is None
        assert model(Q8_0).name in before.basis
        assert model(STORY).name not in before.basis
    await events_of(bench_services, plan(Q8_0, shapes=[TINY], repetitions=1))
    known = await speed.outlook(bench_services, wanted)
    assert known.seconds is not None
    assert 80 < known.seconds < 200, "eight rests of 10 s and a little"
    assert "earlier measurements" in known.basis


async def test_a_sweep_goes_as_deep_as_the_file_says(bench_services: Services) -> None:
    made = await speed.make_plan(bench_services, "sweep", [model(F16)], Grid(threads=(1,)))
    assert [(cell.shape.depth, cell.setup.threads) for cell in made.cells] == [(0, 1), (256, 1)], "trained with 512"
    deeper = await speed.make_plan(bench_services, "sweep", [model(F16)], Grid(threads=(1,), depths=(0, 64, 2048)))
    assert [cell.shape.depth for cell in deeper.cells] == [0, 64, 2048], "a person may go further"
