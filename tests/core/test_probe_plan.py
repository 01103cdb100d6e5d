"""Plans of probes: what they ask, in which order, what is refused, how they grow, and the way into a document."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from slmtui.core import probe_draw
from slmtui.core.documents import decode, encode
from slmtui.core.plan import PlanError
from slmtui.core.probe import ProbeRecord
from slmtui.core.probe_presets import (
    PRESETS,
    ProbeGrid,
    extended,
    left_out,
    make_plan,
    parts,
    preset_words,
    shots_of,
)
from slmtui.core.probe_sizes import TaskSizes, Work, answer_limit, context_for
from tests.core.probes import ending_task, model, mood_task, plans, sum_task

MOOD, ENDING, SUM = mood_task(), ending_task(), sum_task()
TASKS = plans(MOOD, ENDING, SUM)
MODELS = [model("small"), model("large")]


def test_a_standard_plan() -> None:
    plan = make_plan("standard", MODELS, TASKS)
    assert (plan.questions, plan.style, plan.scorer, plan.calibrated) == (100, "raw", "sum", False)
    assert shots_of(plan) == (0, 1, 2, 4, 8)
    assert Counter((cell.model.id, cell.task) for cell in plan.cells) == {
        (one.id, task.id): 1 + 4 * 3 for one in MODELS for task in TASKS
    }
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    assert plan.models == tuple(MODELS)
    assert [plan.asked(cell) for cell in plan.cells[:1]] == [24], "a task with fewer items is asked whole"
    first = [cell for cell in plan.cells if cell.model == MODELS[0]]
    assert [cell.seed for cell in first] == sorted(cell.seed for cell in first), "seed by seed"
    assert [each for each, _ in parts(plan)] == MODELS


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_plan(preset: str) -> None:
    assert make_plan(preset, MODELS, plans(mood_task(40))).preset == preset
    assert preset_words(preset)


def test_without_examples_seeds_and_controls_are_asked_once() -> None:
    grid = ProbeGrid(shots=(0, 4), seeds=3, labels=("true", "shuffled", "flipped", "unrelated"))
    plan = make_plan("quick", MODELS[:1], plans(MOOD), grid)
    asked = Counter((cell.shots, cell.labels) for cell in plan.cells)
    assert asked == {
        (0, "true"): 1, (0, "unrelated"): 1, (4, "true"): 3, (4, "shuffled"): 3, (4, "flipped"): 3, (4, "unrelated"): 3,
    }  # fmt: skip
    labels = {cell.label for cell in plan.cells}
    assert {"mood · 0 shots", "mood · 4 shots · seed 2", "mood · 4 shots · seed 3 · shuffled labels"} <= labels


def test_controls_that_need_labels_leave_other_tasks_out() -> None:
    plan = make_plan("quick", MODELS, TASKS, ProbeGrid(labels=("true", "flipped", "unrelated")))
    assert {cell.task for cell in plan.cells if cell.labels == "flipped"} == {"mood"}
    assert left_out(TASKS, ("true", "flipped")) == {"flipped": ("ending", "sum")}
    with pytest.raises(PlanError, match="which ending, sum does not have"):
        make_plan("quick", MODELS, TASKS[1:], ProbeGrid(labels=("flipped",)))
    many = plans(mood_task(60, [f"label {number}" for number in range(20)]))
    assert left_out(many, ("unrelated",)) == {"unrelated": ("mood",)}, "there are not so many words"


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (ProbeGrid(shots=(-1,)), "the number of shots must be at least 0, not -1"),
        (ProbeGrid(seeds=0), "the number of seeds must be at least 1"),
        (ProbeGrid(questions=0), "the number of questions must be at least 1"),
        (ProbeGrid(threads=0), "the number of threads must be at least 1"),
        (ProbeGrid(shots=(12,)), "ending has 12 items, so a question can have 11 examples at most, not 12"),
    ],
)
def test_what_cannot_be_asked(grid: ProbeGrid, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        make_plan("quick", MODELS, TASKS[1:], grid)


def test_a_model_in_mlx_s_format_has_no_exact_cache() -> None:
    folder = msgspec.structs.replace(model("folder"), format="MLX")
    with pytest.raises(PlanError, match="Folder cannot be asked with exact: MLX's cache"):
        make_plan("quick", [*MODELS, folder], TASKS, ProbeGrid(exact=True))
    exact = make_plan("quick", MODELS, TASKS, ProbeGrid(exact=True))
    with pytest.raises(PlanError, match="Folder cannot be asked with exact"):
        extended(exact, [folder], [])


def test_models_in_mlx_s_format_have_no_threads_to_set() -> None:
    folder = msgspec.structs.replace(model("folder"), format="MLX")
    with pytest.raises(PlanError, match="how many threads MLX uses cannot be set"):
        make_plan("quick", [folder], TASKS, ProbeGrid(threads=2))
    assert make_plan("quick", [*MODELS, folder], TASKS, ProbeGrid(threads=2)).threads == 2
    with pytest.raises(PlanError, match="how many threads MLX uses cannot be set"):
        extended(make_plan("quick", [folder], TASKS), [], [], ProbeGrid(threads=2))
    assert folder in extended(make_plan("quick", MODELS, TASKS), [folder], []).models


def test_nothing_to_ask() -> None:
    with pytest.raises(PlanError, match="name at least one model"):
        make_plan("quick", [], TASKS)
    with pytest.raises(PlanError, match="name at least one task"):
        make_plan("quick", MODELS, [])


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="both called mood"):
        make_plan("quick", MODELS, plans(MOOD, mood_task(30)))
    assert make_plan("quick", MODELS, plans(MOOD, MOOD)).cells


def test_extending_keeps_every_cell() -> None:
    plan = make_plan("quick", MODELS[:1], plans(MOOD), ProbeGrid(shots=(0, 4), questions=10))
    more = extended(plan, MODELS[1:], plans(SUM), ProbeGrid(shots=(8,), seeds=2, questions=5, labels=("shuffled",)))
    assert (more.id, more.created_at, more.questions) == (plan.id, plan.created_at, 10)
    assert more.cells[: len(plan.cells)] == plan.cells
    assert {cell.key for cell in more.cells} > {cell.key for cell in plan.cells}
    assert {(cell.shots, cell.seed) for cell in more.cells} == {(0, 1), (4, 1), (4, 2), (8, 1), (8, 2)}
    assert {cell.model.id for cell in more.cells} == {"small", "large"}
    assert {cell.task for cell in more.cells} == {"mood", "sum"}
    assert extended(more, [], []) == more
    assert extended(plan, [], [], ProbeGrid(questions=20)).questions == 20
    for changes in (ProbeGrid(style="turns"), ProbeGrid(scorer="byte"), ProbeGrid(calibrated=True)):
        with pytest.raises(PlanError, match="a probe that is continued keeps its"):
            extended(plan, [], [], changes)


def test_the_way_into_a_document_and_back() -> None:
    record = ProbeRecord(plan=make_plan("standard", MODELS, TASKS), sha256={"a": "b"}, slmtui="1", engine=None)
    assert decode(encode(record), ProbeRecord) == record


# -- sizes


def sizes(task: object = MOOD, style: str = "raw") -> TaskSizes:
    assert isinstance(task, type(MOOD))
    return TaskSizes(task, {text: len(text) for text in TaskSizes.texts(task)}, style)


def test_tokens_of_a_cell_are_those_of_its_texts() -> None:
    plan = make_plan("quick", MODELS[:1], plans(MOOD), ProbeGrid(shots=(0, 4), questions=10))
    none, four = plan.cells
    questions = probe_draw.questions(MOOD)[: plan.asked(none)]
    assert len(questions) == 10
    own = sum(len(MOOD.prompt(MOOD.items[place])) + len(" good bad") for place in questions)
    assert sizes().work(none, questions) == Work(own + 1, 0)
    more = sizes().work(four, questions).prompt_tokens - own
    example = len("Story: story 10\nMood: good") + 2
    assert 4 * (example - 2) < more < 4 * (example + 1) * 5, "the examples once, and again for questions that are one"
    assert sizes().work(four, ()) == Work()
    shown, longest = sizes().longest(four)
    assert 5 * (example - 2) < shown < 5 * (example + 1)
    assert longest == len("Story: story 10\nMood:") + len(" good bad")


def test_open_answers_have_a_limit_in_which_every_target_fits() -> None:
    plan = make_plan("quick", MODELS[:1], plans(SUM), ProbeGrid(shots=(0,)))
    assert answer_limit(SUM) == 2 + 8
    assert answer_limit(MOOD) == 0
    work = sizes(SUM).work(plan.cells[0], (0, 9))
    assert work.written_tokens == len(" 1") + len(" 10") + 2


def test_the_context_holds_a_question_with_examples_of_its_own() -> None:
    assert context_for([(100, 20)], 512) == 768
    assert context_for([(100, 20), (900, 50)], 512) == 2048
    assert context_for([(1, 1)], 64) == 256
