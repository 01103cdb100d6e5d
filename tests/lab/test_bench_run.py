"""Benchmarks with real models: order, warm-ups, what is noted, failures."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from slmtui.core.events import FailureKind, MemorySampled, Prefilled, Timing, Tokens
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Cell, Setup, Shape
from slmtui.lab import bench_run, speed
from slmtui.lab.bench_run import MAXIMUM_WARMUPS, rotated, settled
from slmtui.lab.services import Services
from slmtui.lab.speed import (
    BenchEvent,
    CeilingWanted,
    CellFailed,
    CellLoading,
    CellMeasured,
    CellProgress,
    CellRunning,
    PlanEnded,
    Released,
    TimeLeft,
)
from slmtui.sources.store import StoreError
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY
from tests.lab.benches import SMALL, end, events_of, of, order, plan
from tests.lab.conftest import CEILING
from tests.lab.seats import workers

pytestmark = pytest.mark.asyncio(loop_scope="module")
TINY = Shape(prompt_tokens=8, generated_tokens=4)


@pytest.mark.usefixtures("two_warmups")
async def test_each_model_takes_each_place_and_each_repetition_is_stored(bench_services: Services) -> None:
    wanted = plan(F16, STORY, Q8_0)
    told: list[Measurement] = []
    events: list[BenchEvent] = []
    async with aclosing(speed.run(bench_services, wanted)) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, CellMeasured):
                assert event.measurement in await speed.measured(bench_services, wanted.id), "before it is told"
                told.append(event.measurement)
    assert [(repetition, cell.model.path) for repetition, cell in order(events)] == [
        *((0, path) for path in (F16, STORY, Q8_0)),
        *((1, path) for path in (STORY, Q8_0, F16)),
        *((2, path) for path in (Q8_0, F16, STORY)),
    ]
    assert [(one.repetition, one.cell) for one in told] == [(number, cell.key) for number, cell in order(events)]
    results = end(events).results
    assert [Path(result.measurements[0].file) for result in results] == [F16, STORY, Q8_0]
    assert all(result.prefill_tps and result.prefill_tps.n == 3 for result in results)
    assert not end(events).stopped
    assert bench_services.session is not None
    assert {one.session for one in told} == {bench_services.session.id}


@pytest.mark.usefixtures("two_warmups")
async def test_what_a_repetition_carries(bench_services: Services) -> None:
    setup = Setup(
        threads=1, threads_batch=2, batch=64, micro_batch=32, type_k="q8_0", flash_attention="on", context=512
    )
    wanted = plan(STORY, setup=setup, repetitions=2)
    events = await events_of(bench_services, wanted)
    circumstances = await bench_services.circumstances()
    for one in (event.measurement for event in of(events, CellMeasured)):
        assert (one.kind, one.plan, one.preset, one.cell) == ("bench", wanted.id, "standard", wanted.cells[0].key)
        assert (one.warmup_runs, one.together, one.after_prompt, one.cool_down_s) == (2, False, False, None)
        assert (one.timing.prompt_tokens, one.timing.generated_tokens, one.timing.depth) == (32, 8, 0)
        used = one.settings
        assert (used.threads, used.threads_batch, used.batch, used.micro_batch, used.context) == (1, 2, 64, 32, 512)
        assert (used.type_k, used.type_v, used.flash_attention, used.device) == ("q8_0", "f16", "on", "cpu")
        assert one.memory_samples[-1].memory == one.process_memory
        assert one.timing.prefill_s is not None
        assert one.timing.decode_s is not None
        assert one.wall_s is not None
        assert one.timing.prefill_s + one.timing.decode_s < one.wall_s < 30
        assert (one.power, one.governor) == (circumstances.power, circumstances.governor)
        assert (one.load_average is None) == (one.load_average_after is None)
        assert one.file_sha256 is not None
        assert one.ceiling == CEILING
    assert len(of(events, CeilingWanted)) == 1, "nothing was known of it"


@pytest.mark.usefixtures("two_warmups")
async def test_one_model_runs_at_a_time(bench_services: Services) -> None:
    events = await events_of(bench_services, plan(F16, Q8_0))
    running: Cell | None = None
    for event in events:
        if isinstance(event, CellRunning):
            running = event.cell
        elif isinstance(event, CellProgress) and isinstance(event.event, Prefilled | Tokens):
            assert event.cell == running
    fractions = [event.fraction for event in of(events, CellLoading) if event.cell.model.path == F16]
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    first_run = next(at for at, event in enumerate(events) if isinstance(event, CellRunning))
    assert not of(events[first_run:], CellLoading), "all are loaded before the first runs"
    assert {Prefilled, MemorySampled} <= {type(event.event) for event in of(events, CellProgress)}


@pytest.mark.usefixtures("two_warmups")
async def test_several_shapes_share_a_worker_and_take_turns(bench_services: Services) -> None:
    deep = Shape(prompt_tokens=8, generated_tokens=4, depth=300)
    events = await events_of(bench_services, plan(F16, STORY, shapes=(TINY, deep), repetitions=1))
    assert [(cell.model.path, cell.shape) for _, cell in order(events)] == [
        (F16, TINY),
        (STORY, TINY),
        (F16, deep),
        (STORY, deep),
    ]
    assert len({event.cell.key for event in of(events, CellLoading)}) == 2, "loaded once for both"
    assert {event.measurement.settings.context for event in of(events, CellMeasured)} == {512}


@pytest.mark.usefixtures("two_warmups")
@pytest.mark.parametrize(
    "shape",
    [
        Shape(prompt_tokens=16, generated_tokens=0),
        Shape(prompt_tokens=0, generated_tokens=16),
        Shape(prompt_tokens=16, generated_tokens=16, depth=300),
        Shape(prompt_tokens=200, generated_tokens=100, after_prompt=True),
    ],
    ids=lambda shape: str(shape.label),
)
async def test_other_shapes(bench_services: Services, shape: Shape) -> None:
    events = await events_of(bench_services, plan(STORY, shapes=[shape], repetitions=2))
    (result,) = end(events).results
    assert (result.prefill_tps is None) == (shape.prompt_tokens == 0)
    assert (result.decode_tps is None) == (shape.generated_tokens == 0)
    for event in of(events, CellMeasured):
        assert event.measurement.timing.depth == shape.depth
        assert event.measurement.after_prompt == shape.after_prompt
        assert event.measurement.facts.context is not None
        assert event.measurement.facts.context >= shape.context


@pytest.mark.usefixtures("two_warmups")
async def test_a_worker_ends_with_its_last_cell_and_its_memory_comes_back(bench_services: Services) -> None:
    events = await events_of(bench_services, plan(F16, STORY, repetitions=2))
    released = of(events, Released)
    assert [event.model.path for event in released] == [STORY, F16]
    assert all(event.bytes_before and event.bytes_before > 10 * 1024**2 for event in released)
    assert all(event.available_before and event.available_after for event in released)
    last_of_story = max(at for at, event in enumerate(events) if getattr(event, "cell", None) == order(events)[-2][1])
    assert events.index(released[0]) < last_of_story + 4, "at once, while the other still runs"


@pytest.mark.usefixtures("two_warmups")
async def test_the_time_left_shrinks_to_nothing(bench_services: Services) -> None:
    events = await events_of(bench_services, plan(Q4_K_M))
    told = [event.seconds for event in of(events, TimeLeft)]
    assert told[0] is None, "nothing was measured with this model before"
    assert all(seconds is not None for seconds in told[1:])
    assert told[-1] == 0.0
    again = of(await events_of(bench_services, plan(Q4_K_M)), TimeLeft)
    assert again[0].seconds, "from the earlier measurements"


async def test_warm_ups_go_on_until_two_agree(bench_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Timing, Timing]] = []

    def third(earlier: Timing, latest: Timing) -> bool:
        compared.append((earlier, latest))
        return len(compared) == 3

    monkeypatch.setattr(bench_run, "settled", third)
    events = await events_of(bench_services, plan(STORY, shapes=[TINY], repetitions=1))
    warmups = [event.repetition for event in of(events, CellRunning) if event.warmup]
    assert warmups == [0, 1, 2, 3]
    assert [one[1] for one in compared[:-1]] == [one[0] for one in compared[1:]], "each with the one before"
    assert of(events, CellMeasured)[0].measurement.warmup_runs == 4


async def test_warm_ups_that_never_agree_end_all_the_same(
    bench_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_run, "settled", lambda *_: False)
    events = await events_of(bench_services, plan(STORY, shapes=[TINY], repetitions=1))
    assert sum(event.warmup for event in of(events, CellRunning)) == MAXIMUM_WARMUPS
    assert of(events, CellMeasured)[0].measurement.warmup_runs == MAXIMUM_WARMUPS


@pytest.mark.parametrize(
    ("earlier", "latest", "agree"),
    [
        ((1.0, 1.0), (1.04, 0.97), True),
        ((1.0, 1.0), (1.2, 1.0), False),
        ((1.0, 1.0), (1.0, 1.2), False),
        ((None, 1.0), (None, 1.01), True),
        ((1.0, None), (1.01, None), True),
    ],
)
async def test_when_two_runs_agree(
    earlier: tuple[float | None, float | None], latest: tuple[float | None, float | None], agree: bool
) -> None:
    def timing(prefill_s: float | None, decode_s: float | None) -> Timing:
        return Timing(prompt_tokens=100, prefill_s=prefill_s, decode_steps=100, decode_s=decode_s)

    assert settled(timing(*earlier), timing(*latest)) is agree


@pytest.mark.usefixtures("two_warmups")
async def test_a_damaged_file_does_not_stop_the_others(bench_services: Services, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(F16.read_bytes()[:50_000])
    wanted = plan(damaged, STORY, tmp_path / "missing.gguf", shapes=(SMALL, TINY), repetitions=1)
    events = await events_of(bench_services, wanted)
    failures = of(events, CellFailed)
    assert [failure.cell.model.path.name for failure in failures] == ["damaged.gguf"] * 2 + ["missing.gguf"] * 2
    assert {failure.failure.kind for failure in failures} == {FailureKind.BAD_FILE}
    assert {event.cell.model.path for event in of(events, CellRunning)} == {STORY}
    assert [len(result.measurements) for result in end(events).results] == [1, 1]
    assert wanted.id not in [each.plan.id for each in await speed.unfinished(bench_services)], "nothing is missing"


@pytest.mark.usefixtures("two_warmups")
async def test_a_worker_that_dies_gives_up_its_cells_and_keeps_what_was_measured(bench_services: Services) -> None:
    def kill_after_the_second(events: list[BenchEvent]) -> None:
        last = events[-1]
        if isinstance(last, CellMeasured) and last.cell.model.path == F16 and last.measurement.repetition == 1:
            next(one for one in bench_services.loaded if one.model.path == F16).kill()

    events = await events_of(bench_services, plan(F16, STORY), on_event=kill_after_the_second)
    (failure,) = of(events, CellFailed)
    assert failure.cell.model.path == F16
    assert failure.failure.kind is FailureKind.CRASHED
    counts = {result.measurements[0].file: len(result.measurements) for result in end(events).results}
    assert counts == {str(F16): 2, str(STORY): 3}


@pytest.mark.usefixtures("two_warmups")
async def test_a_plan_in_which_all_fail(bench_services: Services, tmp_path: Path) -> None:
    events = await events_of(bench_services, plan(tmp_path / "a.gguf", tmp_path / "b.gguf"))
    assert len(of(events, CellFailed)) == 2
    assert end(events).results == ()
    assert not of(events, CellRunning)


async def test_an_empty_plan(bench_services: Services) -> None:
    assert await events_of(bench_services, plan()) == [PlanEnded((), stopped=False)]


@pytest.mark.usefixtures("two_warmups")
async def test_a_store_that_cannot_be_written_ends_the_plan(
    bench_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full; make room")

    monkeypatch.setattr(bench_services.store, "add", full)
    with pytest.raises(StoreError, match="make room"):
        await events_of(bench_services, plan(STORY))
    assert workers() == []
    await asyncio.sleep(0)
    assert bench_services.benchmarks == 0


@pytest.mark.parametrize(
    ("items", "by", "turned"), [("abc", 0, "abc"), ("abc", 1, "bca"), ("abc", 5, "cab"), ("", 3, "")]
)
async def test_rotation(items: str, by: int, turned: str) -> None:
    assert "".join(rotated(items, by)) == turned
