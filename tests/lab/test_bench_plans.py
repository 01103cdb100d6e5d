"""Plans from one run of the program to the next: nothing lost, nothing twice, refused in plain words."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slmtui.core.plan import Plan, PlanError, Shape
from slmtui.lab import ceiling, plan_files, speed
from slmtui.lab.services import Services
from slmtui.lab.speed import BenchEvent, CellMeasured, CellRunning, Control, Hashing, Noticed, PlanEnded
from slmtui.sources import hashes
from slmtui.sources.owners import Owner
from tests.engine.support import F16, STORY
from tests.lab.benches import end, events_of, of, order, plan
from tests.lab.conftest import known_ceiling
from tests.lab.seats import services, workers

pytestmark = pytest.mark.usefixtures("two_warmups")
TINY = Shape(prompt_tokens=8, generated_tokens=4)


@pytest.fixture(autouse=True)
def without_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's ceiling has tests of its own."""
    monkeypatch.setattr(ceiling, "measured", known_ceiling)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A model file that a test may lose."""
    path = tmp_path / "story.gguf"
    path.write_bytes(STORY.read_bytes())
    return path


def lose(path: Path) -> None:
    """The file is gone."""
    path.unlink()


def put(path: Path, other: Path) -> None:
    """The file has another's content."""
    path.write_bytes(other.read_bytes())


async def stopped_after(opened: Services, wanted: Plan, measured: int) -> list[BenchEvent]:
    """Run the plan and stop when so many repetitions are in the store."""
    control = Control()

    def stop(events: list[BenchEvent]) -> None:
        if len(of(events, CellMeasured)) == measured:
            control.stop()

    return await events_of(opened, wanted, control, stop)


async def test_continuing_in_another_run_of_the_program(home: Path) -> None:
    wanted = plan(F16, STORY, shapes=[TINY])
    async with services(home) as first:
        before = await stopped_after(first, wanted, 2)
        session = first.session
    assert session is not None
    kept = [event.measurement for event in of(before, CellMeasured)]
    async with services(home) as second:
        (left,) = await speed.unfinished(second)
        assert left.plan == wanted
        assert (left.session, left.done, left.total, left.when) == (session.id, len(kept), 6, wanted.created_at)
        assert left.models == (F16.stem, STORY.stem)
        after = await events_of(second, left.plan)
        warm = {event.cell.key for event in of(after, CellRunning) if event.warmup}
        assert warm == {cell.key for cell in wanted.cells}, "warm-up begins anew"
        stored = await speed.measured(second, wanted.id)
        assert stored[: len(kept)] == tuple(kept)
        assert Counter((one.cell, one.repetition) for one in stored) == {
            (cell.key, number): 1 for cell in wanted.cells for number in range(3)
        }
        assert {one.session for one in stored} == {session.id}
        assert second.session is None, "the plan's own session went on"
        assert sum(len(result.measurements) for result in end(after).results) == 6, "earlier ones included"
        assert not of(after, Noticed)
        (found,) = await second.sessions()
        assert found.measurements == 6
        assert found.ended_at is not None
        assert await speed.unfinished(second) == ()
        again = await events_of(second, wanted)
        assert order(again) == []
        assert isinstance(again[-1], PlanEnded)


async def test_only_cells_with_missing_repetitions_are_loaded_and_warmed_up(home: Path) -> None:
    wanted = plan(F16, STORY, shapes=[TINY], repetitions=1)
    async with services(home) as opened:
        await stopped_after(opened, wanted, 1)
        after = await events_of(opened, wanted)
        assert {event.cell.key for event in of(after, CellRunning)} == {wanted.cells[1].key}


async def test_a_plan_that_ended_before_its_first_repetition_takes_a_new_session(home: Path) -> None:
    wanted = plan(STORY, shapes=[TINY], repetitions=1)
    async with services(home) as first:
        control = Control()

        def stop(events: list[BenchEvent]) -> None:
            if isinstance(events[-1], CellRunning):
                control.stop()

        await events_of(first, wanted, control, stop)
        assert await first.sessions() == ()
    async with services(home) as second:
        (left,) = await speed.unfinished(second)
        await events_of(second, left.plan)
        (session,) = await second.sessions()
        assert session.measurements == 1
        assert second.session is not None
        assert session.id == second.session.id


async def test_failed_and_skipped_cells_stay_so(home: Path, tmp_path: Path) -> None:
    wanted = plan(tmp_path / "missing.gguf", STORY, F16, shapes=[TINY])
    control = Control()
    control.skip(wanted.cells[1].key)
    async with services(home) as opened:

        def stop(events: list[BenchEvent]) -> None:
            if of(events, CellMeasured):
                control.stop()

        await events_of(opened, wanted, control, stop)
        (left,) = await speed.unfinished(opened)
        assert left.total == 3
        after = await events_of(opened, wanted)
        assert {event.cell.key for event in of(after, CellRunning)} == {wanted.cells[2].key}
        assert await speed.unfinished(opened) == ()


async def test_what_the_end_of_the_program_broke_off_is_not_a_failed_cell(home: Path) -> None:
    wanted = plan(STORY, shapes=[TINY], repetitions=1000)
    async with services(home) as opened:
        async for event in speed.run(opened, wanted):
            if isinstance(event, CellMeasured):
                await opened.close()
                break
    assert workers() == []
    async with services(home) as again:
        found = await speed.unfinished(again)
        assert [each.plan.id for each in found] in ([wanted.id], []), "held until this process has ended, or free"
        stored = again.store.plans
        with stored._file.reading() as connection:
            assert connection.execute("SELECT * FROM plan_cell").fetchall() == []


async def test_how_far_an_unknown_file_is_hashed_is_told_first(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_files, "_TELL_EVERY_S", 0.0)
    monkeypatch.setattr("slmtui.sources.hashes._READ_BYTES", 4096)
    async with services(home) as opened:
        events = await events_of(opened, plan(copy, shapes=[TINY], repetitions=1))
        told = of(events, Hashing)
        assert told and told == events[: len(told)]
        shares = [event.fraction for event in told]
        assert shares == sorted(shares) and 0.0 <= shares[0] <= shares[-1] <= 1.0
        assert msgspec.structs.replace(told[0], fraction=0.62).words == "story: hashing 62 %"
        monkeypatch.setattr(plan_files, "_TELL_EVERY_S", 60.0)
        assert not of(await events_of(opened, plan(copy, shapes=[TINY], repetitions=1)), Hashing), "it is known now"


async def test_a_stop_ends_the_hashing_too(home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, control, digest = threading.Event(), Control(), hashes._digest
    ended: list[BaseException | None] = []

    def slow(path: Path, told: hashes.Told | None) -> str:
        go_on.wait()
        try:
            found = digest(path, told)
        except OSError as error:
            ended.append(error)
            raise
        ended.append(None)
        return found

    monkeypatch.setattr(hashes, "_digest", slow)
    async with services(home) as opened:
        events = await events_of(opened, plan(copy, shapes=[TINY]), control, lambda _: control.stop())
        assert (end(events).stopped, end(events).results) == (True, ())
        assert await speed.unfinished(opened) == ()
        go_on.set()
        while not ended:  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.01)
        assert isinstance(ended[0], InterruptedError), "the rest of the file is not read"


async def test_a_file_that_is_gone(home: Path, copy: Path) -> None:
    wanted = plan(copy, shapes=[TINY])
    async with services(home) as opened:
        await stopped_after(opened, wanted, 1)
        lose(copy)
        with pytest.raises(PlanError, match=rf"the file of story is gone \({copy}\); put it back, or begin anew"):
            await events_of(opened, wanted)
        (left,) = await speed.unfinished(opened)
        put(copy, STORY)
        await events_of(opened, left.plan)
        assert await speed.unfinished(opened) == ()


async def test_a_file_that_is_another_one(home: Path, copy: Path) -> None:
    wanted = plan(copy, shapes=[TINY])
    async with services(home) as opened:
        await stopped_after(opened, wanted, 1)
        put(copy, F16)
        with pytest.raises(PlanError, match="is not the one that was measured"):
            await events_of(opened, wanted)
        assert len(await speed.unfinished(opened)) == 1


async def test_another_version_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plan(STORY, shapes=[TINY])
    async with services(home) as opened:
        await stopped_after(opened, wanted, 1)
        monkeypatch.setattr(plan_files, "__version__", "9.9")
        after = await events_of(opened, wanted)
        (notice,) = of(after, Noticed)
        assert notice.words.startswith("The repetitions before were measured with slmtui 0.")
        assert notice.words.endswith("those to come with 9.9.")


@pytest.fixture
def other_process() -> Iterator[Owner]:
    """A process that lives until the test ends."""
    import psutil

    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield Owner(process.pid, psutil.Process(process.pid).create_time())
    process.kill()
    process.communicate()


async def test_a_plan_that_another_process_runs(
    home: Path, other_process: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(STORY, shapes=[TINY])
    async with services(home) as opened:
        await stopped_after(opened, wanted, 1)
        with monkeypatch.context() as patch:
            patch.setattr("slmtui.sources.store_held.this_process", lambda: other_process)
            assert opened.store.plans.claim(wanted.id) is not None
        assert await speed.unfinished(opened) == ()
        with pytest.raises(PlanError, match=f"is being run by process {other_process.pid}; wait until it has ended"):
            await events_of(opened, wanted)
        assert opened.benchmarks == 0


async def test_a_plan_that_this_process_runs_is_not_run_twice(home: Path) -> None:
    wanted = plan(STORY, shapes=[TINY])
    async with services(home) as opened:
        async for event in (running := speed.run(opened, wanted)):
            if isinstance(event, CellRunning):
                with pytest.raises(PlanError, match="is being run by process"):
                    await events_of(opened, wanted)
                break
        await running.aclose()
        assert len(await speed.unfinished(opened)) == 1


async def test_forgetting(home: Path) -> None:
    first, second = plan(STORY, shapes=[TINY]), plan(STORY, shapes=[TINY])
    second = msgspec.structs.replace(second, created_at="9999" + second.created_at[4:])
    async with services(home) as opened:
        for wanted in (first, second):
            await stopped_after(opened, wanted, 1)
        assert [each.plan.id for each in await speed.unfinished(opened)] == [second.id, first.id], "newest first"
        await speed.forget(opened, second.id)
        assert [each.plan.id for each in await speed.unfinished(opened)] == [first.id]
        assert await speed.measured(opened, second.id), "what it measured stays"
        await events_of(opened, second)
        assert len(await speed.measured(opened, second.id)) == 3, "a plan that is run again counts again"


async def test_deleting_the_session_forgets_its_plans(home: Path) -> None:
    wanted = plan(STORY, shapes=[TINY])
    async with services(home) as opened:
        await stopped_after(opened, wanted, 1)
        assert opened.session is not None
        await opened.delete_session(opened.session.id)
        assert await speed.unfinished(opened) == ()
        assert await speed.measured(opened, wanted.id) == ()


async def test_an_outlook_of_what_is_left(home: Path) -> None:
    wanted = plan(STORY, F16, shapes=[TINY])
    async with services(home) as opened:
        before = await stopped_after(opened, wanted, 2)
        seen = await speed.outlook(opened, wanted)
        assert seen.repetitions == 6 - len(of(before, CellMeasured))
        assert seen.seconds is not None
        assert "the repetitions so far" in seen.basis


async def test_what_goes_wrong_beside_the_file_is_not_swallowed(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(hashes, "_digest", broken)
    async with services(home) as opened:
        told = plan_files.hashing(opened, plan(copy).models, Control())
        with pytest.raises(ValueError, match="a fault of ours"):
            async for _ in told:
                pass
