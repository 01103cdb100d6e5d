"""Probes with real models: what is asked, kept, stopped, continued, extended, and what an answer carries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import pytest_asyncio

from slmtui.core import probe_draw
from slmtui.core.events import FailureKind
from slmtui.core.plan import PlanError
from slmtui.core.probe import ProbePlan
from slmtui.core.probe_choice import chosen
from slmtui.core.probe_prompt import Prompts
from slmtui.core.task import Task, TaskError
from slmtui.lab import probe
from slmtui.lab.probe import (
    CellAnswered,
    CellAsking,
    CellGivenUp,
    Control,
    ModelLoading,
    Noticed,
    ProbeEnded,
    ProbeEvent,
    ProbeGrid,
    Released,
    TimeLeft,
)
from slmtui.lab.probe_plans import read_tasks
from slmtui.lab.services import Services
from tests.engine.support import F16, Q8_0, STORY
from tests.lab.seats import model, services, workers

pytestmark = pytest.mark.asyncio(loop_scope="module")
_Event = TypeVar("_Event")
THINGS = ("the sun", "a dog", "her toy", "the big cat", "a red ball", "Tom", "the park", "a bird", "Lily", "the tree")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    async with services(tmp_path_factory.mktemp("probe")) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A task with labels, one with options of its own and one with open answers, as paths."""
    folder = tmp_path_factory.mktemp("tasks")
    moods = [{"input": f"{thing} was nice", "target": ("good", "bad")[n % 2]} for n, thing in enumerate(THINGS)]
    ends = [{"input": f"I saw {thing}", "target": "now", "options": ["now", f"at {thing}"]} for thing in THINGS]
    sums = [{"input": f"{number} and 1", "target": str(number + 1)} for number in range(10)]
    for name, items in (("mood", moods), ("end", ends), ("sum", sums)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return {path.stem: str(path) for path in folder.iterdir()}


async def plan(*paths: Path, tasks: list[str], batch: int = 3, **changes: object) -> ProbePlan:
    """A plan of 0 and 2 shots, one seed and six questions, on one thread, unless said otherwise."""
    grid = msgspec.structs.replace(ProbeGrid(shots=(0, 2), seeds=1, questions=6, threads=1), **changes)
    made = await probe.make_plan("standard", [model(path) for path in paths], tasks, grid)
    return msgspec.structs.replace(made, batch=batch)


async def events_of(
    opened: Services,
    wanted: ProbePlan,
    control: Control | None = None,
    on_event: Callable[[list[ProbeEvent]], object] | None = None,
) -> list[ProbeEvent]:
    """All events of a run to its end; `on_event` sees those so far after each."""
    events: list[ProbeEvent] = []
    async with aclosing(probe.run(opened, wanted, control)) as stream:
        async for event in stream:
            events.append(event)
            if on_event is not None:
                on_event(events)
    assert [isinstance(event, ProbeEnded) for event in events] == [False] * (len(events) - 1) + [True]
    assert workers() == [], "the plan ended and its worker did not"
    assert opened.benchmarks == 0
    return events


def of(events: list[ProbeEvent], kind: type[_Event]) -> list[_Event]:
    return [event for event in events if isinstance(event, kind)]


def end(events: list[ProbeEvent]) -> ProbeEnded:
    last = events[-1]
    assert isinstance(last, ProbeEnded)
    return last


async def task_of(spec: str) -> Task:
    ((_, task),) = await read_tasks([spec])
    return task


async def test_every_question_of_every_cell_is_asked_and_kept(shared: Services, files: dict[str, str]) -> None:
    wanted = await plan(F16, tasks=[files["mood"], files["end"], files["sum"]])
    told = []
    async with aclosing(probe.run(shared, wanted)) as stream:
        events = []
        async for event in stream:
            events.append(event)
            if isinstance(event, CellAnswered):
                assert event.batch in await probe.batches(shared, wanted.id), "in the store before it is told"
                told.append(event.batch)
    assert [(batch.measurement.cell, batch.measurement.repetition) for batch in told] == [
        (cell.key, number) for cell in wanted.cells for number in (0, 1)
    ]
    for cell in wanted.cells:
        task = await task_of(wanted.task(cell.task).spec)
        prompts = Prompts(task, cell, "raw")
        for batch in (batch for batch in told if batch.measurement.cell == cell.key):
            assert len(batch.answers) == 3
            for answer in batch.answers:
                asked = prompts.asked(answer.question)
                assert batch.prompt(answer) == asked.prompt
                assert answer.target == asked.target
                assert answer.examples == asked.examples
                assert answer.options == asked.options
                if answer.options:
                    assert answer.answer == answer.options[chosen(answer.scores, "sum")]
                    assert answer.right == (answer.answer == answer.target)
                else:
                    assert 0 < answer.written_tokens <= 2 + 8
                assert answer.prompt_tokens > cell.shots * 5
    levels = end(events).levels
    assert [(level.task, level.shots, level.accuracy.n) for level in levels] == [
        (cell.task, cell.shots, 6) for cell in wanted.cells
    ]
    assert all(level.cells[0].prefill_tps and level.cells[0].seconds > 0 for level in levels)
    assert len(of(events, ModelLoading)) > 1
    assert of(events, ModelLoading)[-1].fraction == 1
    assert len(of(events, Released)) == 1
    assert of(events, TimeLeft)[0].seconds is None
    assert of(events, TimeLeft)[-1].seconds == 0
    assert any(event.tokens for event in of(events, CellAsking))


async def test_a_plan_of_many_cells_draws_its_questions_for_each_cell_once(
    shared: Services, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = await plan(Q8_0, tasks=[files["mood"]], seeds=12)
    drawn: list[Task] = []
    draw = probe_draw.questions

    def questions(task: Task) -> tuple[int, ...]:
        drawn.append(task)
        return draw(task)

    monkeypatch.setattr(probe_draw, "questions", questions)
    await events_of(shared, wanted)
    assert 0 < len(drawn) <= 3 * len(wanted.cells), "not for every other cell after each of its batches"


async def test_what_a_batch_carries(shared: Services, files: dict[str, str]) -> None:
    wanted = await plan(F16, tasks=[files["sum"]], shots=(2,), exact=True)
    (first, second) = (event.batch for event in of(await events_of(shared, wanted), CellAnswered))
    one = first.measurement
    assert (one.kind, one.plan, one.preset, one.cell) == ("probe", wanted.id, "standard", wanted.cells[0].key)
    assert (first.task, first.shots, first.seed, first.labels, first.style) == ("sum", 2, 1, "true", "raw")
    assert first.task_sha256 == wanted.tasks[0].sha256
    assert shared.session is not None
    assert one.session == shared.session.id
    assert (one.settings.threads, one.settings.type_k, one.settings.flash_attention) == (1, "f32", "off")
    assert one.sampling is not None
    assert one.sampling.temperature == 0
    assert one.file_sha256
    assert one.wall_s is not None
    timing = one.timing
    assert timing.prefill_s is not None
    assert timing.decode_s is not None
    assert timing.prefill_s + timing.decode_s < one.wall_s
    assert timing.generated_tokens == sum(answer.written_tokens for answer in first.answers)
    assert second.measurement.timing.prompt_tokens < timing.prompt_tokens, "the examples are in the cache"
    assert first.opening.startswith("Input: ")
    assert all(len(answer.tail) < 30 for answer in second.answers if answer.shared)


async def test_the_same_plan_again_gives_the_same(shared: Services, files: dict[str, str]) -> None:
    def said(events: list[ProbeEvent]) -> list[tuple[int, str, list[float]]]:
        return [
            (answer.question, answer.answer, [round(score.logprob, 3) for score in answer.scores])
            for event in of(events, CellAnswered)
            for answer in event.batch.answers
        ]

    first = said(await events_of(shared, await plan(STORY, tasks=[files["mood"], files["sum"]], exact=True)))
    assert len(first) == 24
    assert said(await events_of(shared, await plan(STORY, tasks=[files["mood"], files["sum"]], exact=True))) == first


async def test_stopped_and_continued_in_another_run_of_the_program(tmp_path: Path, files: dict[str, str]) -> None:
    home = tmp_path / "other"
    wanted = await plan(STORY, F16, tasks=[files["mood"]], exact=True)
    async with services(home) as first:
        control = Control()

        def stop(events: list[ProbeEvent]) -> None:
            if len(of(events, CellAnswered)) == 3:
                control.stop()

        before = await events_of(first, wanted, control, stop)
        assert end(before).stopped
        kept = [event.batch for event in of(before, CellAnswered)]
        assert 3 <= len(kept) < 8
        session = first.session
    assert session is not None
    async with services(home) as second:
        (found,) = await probe.kept(second)
        assert found.unfinished
        assert (found.plan, found.session) == (wanted, session.id)
        assert (found.answered, found.total) == (3 * len(kept), 24)
        after = await events_of(second, found.plan)
        stored = await probe.batches(second, wanted.id)
        assert list(stored[: len(kept)]) == kept
        assert Counter((one.measurement.cell, answer.question) for one in stored for answer in one.answers).keys()
        assert sum(len(one.answers) for one in stored) == 24
        assert {one.measurement.session for one in stored} == {session.id}
        assert [level.accuracy.n for level in end(after).levels] == [6, 6, 6, 6]
        assert not of(after, Noticed)
        (found,) = await probe.kept(second)
        assert not found.unfinished
        again = await events_of(second, wanted)
        assert not of(again, CellAnswered)
        assert not of(again, ModelLoading), "nothing is missing, so nothing is loaded"
        (listed,) = await second.sessions()
        assert (listed.answers, listed.measurements) == (24, 0)


async def test_an_extended_plan_asks_only_what_is_new(shared: Services, files: dict[str, str]) -> None:
    wanted = await plan(STORY, tasks=[files["mood"]])
    await events_of(shared, wanted)
    before = await probe.batches(shared, wanted.id)
    more = await probe.extend(shared, wanted, specs=[files["sum"]], changes=ProbeGrid(questions=8, seeds=2))
    assert more.questions == 8
    after = of(await events_of(shared, more), CellAnswered)
    cells = [event.cell for event in after for _ in event.batch.answers]
    asked = Counter((cell.task, cell.shots, cell.seed) for cell in cells)
    assert asked == {
        ("mood", 0, 1): 2, ("mood", 2, 1): 2, ("mood", 2, 2): 8, ("sum", 0, 1): 8, ("sum", 2, 1): 8, ("sum", 2, 2): 8,
    }  # fmt: skip
    stored = await probe.batches(shared, wanted.id)
    assert stored[: len(before)] == before
    with pytest.raises(PlanError, match="keeps its style"):
        await probe.extend(shared, more, changes=ProbeGrid(style="turns"))
    assert (await probe.extend(shared, more)) == more, "a refused one leaves the plan free and as it was"


async def test_a_cell_that_fails_leaves_the_others(shared: Services, files: dict[str, str], tmp_path: Path) -> None:
    wanted = await plan(tmp_path / "missing.gguf", F16, tasks=[files["mood"]])
    events = await events_of(shared, wanted)
    gone = of(events, CellGivenUp)
    assert [event.cell for event in gone] == list(wanted.cells[:2])
    assert all(event.failure and event.failure.kind is FailureKind.BAD_FILE for event in gone)
    assert [level.name for level in end(events).levels] == [F16.stem] * 2
    (kept,) = (one for one in await probe.kept(shared) if one.plan.id == wanted.id)
    assert not kept.unfinished, "what failed is given up"


async def test_texts_that_are_too_long_for_the_model_are_foreseen_and_refused(shared: Services, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    lines = [{"input": f"{number} {'a dog ran. ' * 30}.", "target": ("yes", "no")[number % 2]} for number in range(8)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    wanted = await plan(F16, tasks=[str(path)], shots=(0, 4), questions=2)
    seen = await probe.outlook(shared, wanted)
    assert seen.models[0].too_long == (wanted.cells[1],)
    events = await events_of(shared, wanted)
    (gone,) = of(events, CellGivenUp)
    assert gone.cell == wanted.cells[1]
    assert gone.failure is not None
    assert gone.failure.kind is FailureKind.CONTEXT_FULL
    assert "trained with 512" in gone.failure.message
    assert [level.shots for level in end(events).levels] == [0]


async def test_a_skipped_cell_stays_out(shared: Services, files: dict[str, str]) -> None:
    wanted = await plan(STORY, tasks=[files["mood"]])
    control = Control()
    control.skip(wanted.cells[0].key)
    events = await events_of(shared, wanted, control)
    assert of(events, CellGivenUp) == [CellGivenUp(wanted.cells[0], None)]
    assert {event.cell for event in of(events, CellAnswered)} == {wanted.cells[1]}
    assert not of(await events_of(shared, wanted), CellAnswered)


async def test_closing_the_iterator_ends_the_worker(shared: Services, files: dict[str, str]) -> None:
    wanted = await plan(STORY, tasks=[files["mood"]])
    async with aclosing(probe.run(shared, wanted)) as stream:
        async for event in stream:
            if isinstance(event, CellAsking) and event.tokens:
                break
    assert workers() == []
    assert len(of(await events_of(shared, wanted), CellAnswered)) >= 3, "and the plan can go on"


async def test_a_task_or_model_that_changed_is_refused(shared: Services, tmp_path: Path) -> None:
    own, path = tmp_path / "own.jsonl", tmp_path / "own.gguf"
    own.write_text('{"input": "a", "target": "yes"}\n{"input": "b", "target": "no"}\n', encoding="utf-8")
    path.write_bytes(STORY.read_bytes())
    wanted = await plan(path, tasks=[str(own)], shots=(0, 1), questions=2, batch=1)
    control = Control()

    def stop(events: list[ProbeEvent]) -> None:
        if of(events, CellAnswered):
            control.stop()

    await events_of(shared, wanted, control, stop)
    content = own.read_text("utf-8")
    own.write_text(content.replace('"a"', '"c"'), encoding="utf-8")
    with pytest.raises(PlanError, match=r"the task .*own\.jsonl is not the one that was asked"):
        await events_of(shared, wanted)
    own.unlink()
    with pytest.raises(TaskError):
        await probe.outlook(shared, wanted)
    own.write_text(content, encoding="utf-8")
    path.unlink()
    with pytest.raises(PlanError, match="is gone"):
        await events_of(shared, wanted)
    path.write_bytes(STORY.read_bytes())
    assert not end(await events_of(shared, wanted)).stopped, "a refused plan is free again"


async def test_chat_templates_calibration_and_controls(shared: Services, files: dict[str, str]) -> None:
    labels = ("true", "shuffled", "unrelated")
    wanted = await plan(Q8_0, tasks=[files["mood"], files["end"]], style="turns", calibrated=True, labels=labels)
    events = await events_of(shared, wanted)
    assert not of(events, CellGivenUp)
    assert [event.words for event in of(events, Noticed)] == [
        "Not asked with unrelated labels, because their questions do not share few options: end.",
        "Not calibrated, because their questions do not share their options: end.",
    ]
    batches = [event.batch for event in of(events, CellAnswered)]
    for batch in batches:
        assert batch.measurement.template_sha256
        assert len(batch.calibration) == (3 if batch.task == "mood" and batch.measurement.repetition == 0 else 0)
        for answer in batch.answers:
            text = batch.prompt(answer)
            assert text.count("<|im_start|>assistant\n") == batch.shots + 1
            assert text.endswith("<|im_start|>assistant\n")
    for cell in (cell for cell in wanted.cells if cell.task == "mood"):
        own = [batch for batch in batches if batch.measurement.cell == cell.key]
        for answer in (answer for batch in own for answer in batch.answers):
            assert answer.answer == answer.options[chosen(answer.scores, "sum", own[0].calibration)]
            assert ("good" in answer.options) == (cell.labels != "unrelated")


async def test_the_outlook_says_what_it_will_take(shared: Services, files: dict[str, str], tmp_path: Path) -> None:
    wanted = await plan(F16, STORY, tasks=[files["mood"], files["end"], files["sum"]])
    before = await probe.outlook(shared, wanted)
    assert (before.cells, before.questions, before.continued) == (12, 72, False)
    events = await events_of(shared, wanted)
    for foretold, path in zip(before.models, (F16, STORY), strict=True):
        batches = [event.batch for event in of(events, CellAnswered) if event.cell.model.path == path]
        taken = sum(batch.measurement.timing.prompt_tokens for batch in batches)
        assert foretold.work is not None
        assert taken == pytest.approx(foretold.work.prompt_tokens, rel=0.35), "an estimate, ample for its joints"
    assert before.models[0].no_room is None
    after = await probe.outlook(shared, wanted)
    assert (after.cells, after.questions, after.models, after.basis) == (0, 0, (), "nothing is left to ask")
    again = await probe.outlook(shared, await plan(F16, STORY, tasks=[files["mood"]]))
    assert again.seconds is not None
    assert 0 < again.seconds < 60
    assert again.basis == "from earlier measurements on this machine"
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and no more")
    seen = await probe.outlook(shared, await plan(broken, tasks=[files["mood"]]))
    assert seen.models[0].failure is not None
    assert seen.models[0].work is None
