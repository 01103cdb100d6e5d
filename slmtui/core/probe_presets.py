"""The probes that have a name, and how one becomes a plan for models and tasks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product

import msgspec

from slmtui.core import ranges
from slmtui.core.catalog import LocalModel
from slmtui.core.granted import refusal
from slmtui.core.plan import Grid, PlanError
from slmtui.core.probe import Labels, PlannedTask, ProbeCell, ProbePlan, Scorer, Style
from slmtui.core.probe_draw import WORDS
from slmtui.core.text import counted, one_line


class ProbeGrid(msgspec.Struct, frozen=True, kw_only=True):
    """Values to combine, each with each; None leaves what the preset, or the plan that is extended, says."""

    shots: tuple[int, ...] | None = None
    seeds: int | None = None
    """How many draws of examples: seeds 1 to this number."""
    questions: int | None = None
    labels: tuple[Labels, ...] | None = None
    style: Style | None = None
    scorer: Scorer | None = None
    calibrated: bool | None = None
    exact: bool | None = None
    threads: int | None = None
    device: str | None = None

    def changed_by(self, changes: ProbeGrid | None) -> ProbeGrid:
        """The same with everything that `changes` says."""
        if changes is None:
            return self
        given = {name: value for name in self.__struct_fields__ if (value := getattr(changes, name)) is not None}
        return msgspec.structs.replace(self, **given)

    def checked(self) -> ProbeGrid:
        """The same.

        Raises:
            PlanError: a value cannot be asked; the message names it.
        """
        for what, values, allowed in (
            ("the number of shots", self.shots or (), ranges.SHOTS),
            ("the number of seeds", () if self.seeds is None else (self.seeds,), ranges.SEEDS),
            ("the number of questions", () if self.questions is None else (self.questions,), ranges.QUESTIONS),
            ("the number of threads", () if self.threads is None else (self.threads,), ranges.THREADS),
        ):
            if (wrong := allowed.problem(what, values)) is not None:
                raise PlanError(wrong)
        return self


PRESETS: dict[str, ProbeGrid] = {
    "quick": ProbeGrid(shots=(0, 4), seeds=1, questions=50),
    "standard": ProbeGrid(shots=(0, 1, 2, 4, 8), seeds=3, questions=100),
    "thorough": ProbeGrid(shots=(0, 1, 2, 4, 8, 16), seeds=5, questions=1000),
}

_WORDS = {
    "quick": "0 and 4 shots, 50 questions, 1 seed: a first look",
    "standard": "0, 1, 2, 4 and 8 shots, 100 questions, 3 seeds",
    "thorough": "0 to 16 shots, all questions there are, 5 seeds",
}


def preset_words(name: str) -> str:
    """A preset in one line."""
    return _WORDS[name]


def make_plan(
    preset: str, models: Sequence[LocalModel], tasks: Sequence[PlannedTask], changes: ProbeGrid | None = None
) -> ProbePlan:
    """The plan of a preset, with changes.

    Raises:
        PlanError: a value cannot be asked, or a task does not have what it needs.
    """
    grid = PRESETS[preset].changed_by(changes).checked()
    _check_names(tasks)
    _check_exact(models, exact=bool(grid.exact))
    _check_threads(models, grid.threads)
    return ProbePlan(
        id=secrets.token_hex(4),
        preset=preset,
        tasks=tuple(tasks),
        cells=_cells(models, tasks, grid),
        questions=grid.questions or 1,
        style=grid.style or "raw",
        scorer=grid.scorer or "sum",
        calibrated=bool(grid.calibrated),
        exact=bool(grid.exact),
        threads=grid.threads,
        device=grid.device,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def extended(
    plan: ProbePlan, models: Sequence[LocalModel], tasks: Sequence[PlannedTask], changes: ProbeGrid | None = None
) -> ProbePlan:
    """The plan with more models, tasks, shots, seeds, labels or questions; what it asks already stays as it is.

    Raises:
        PlanError: something would change what was asked so far, or a value cannot be asked.
    """
    changes = (changes or ProbeGrid()).checked()
    for name in ("style", "scorer", "calibrated", "exact"):
        value = getattr(plan, name)
        if getattr(changes, name) not in (None, value):
            raise PlanError(f"a probe that is continued keeps its {name} ({value}); begin another for a different one")
    every_model = {model.id: model for model in (*plan.models, *models)}.values()
    every_task = {task.id: task for task in (*tasks, *plan.tasks)}.values()
    _check_names([*plan.tasks, *tasks])
    _check_exact(list(every_model), exact=plan.exact)
    _check_threads(list(every_model), changes.threads)
    grid = ProbeGrid(
        shots=(*{cell.shots for cell in plan.cells}, *(changes.shots or ())),
        seeds=max(changes.seeds or 1, *(cell.seed for cell in plan.cells)),
        labels=(*{cell.labels for cell in plan.cells}, *(changes.labels or ())),
    )
    cells = {cell.key: cell for cell in (*plan.cells, *_cells(list(every_model), list(every_task), grid))}
    return msgspec.structs.replace(
        plan,
        tasks=tuple(every_task),
        cells=tuple(cells.values()),
        questions=max(plan.questions, changes.questions or 1),
        threads=changes.threads or plan.threads,
    )


def left_out(tasks: Sequence[PlannedTask], labels: Sequence[Labels]) -> Mapping[Labels, tuple[str, ...]]:
    """Which tasks cannot have such labels: those whose questions have options of their own, or none."""
    return {
        kind: tuple(task.id for task in tasks if not _can_have(task, kind))
        for kind in labels
        if any(not _can_have(task, kind) for task in tasks)
    }


def _cells(models: Sequence[LocalModel], tasks: Sequence[PlannedTask], grid: ProbeGrid) -> tuple[ProbeCell, ...]:
    """Seed by seed, so that a first answer to everything comes early; more shots follow fewer, whose text they share.

    Without examples neither seeds nor shuffled or flipped labels make a difference, so that is asked once.
    """
    shots = sorted(set(grid.shots or (0,)))
    labels = tuple(dict.fromkeys(grid.labels or ("true",)))
    cells: dict[str, ProbeCell] = {}
    for model in models:
        for seed, task, kind in product(range(1, (grid.seeds or 1) + 1), tasks, labels):
            for number in shots if _can_have(task, kind) else ():
                _check_shots(task, number)
                cell = _cell(model, task, number, seed, kind)
                cells.setdefault(cell.key, cell)
    if not cells:
        raise PlanError(_nothing(models, tasks, labels))
    return tuple(cells.values())


def _cell(model: LocalModel, task: PlannedTask, shots: int, seed: int, labels: Labels) -> ProbeCell:
    if shots == 0:
        seed, labels = 1, "unrelated" if labels == "unrelated" else "true"
    key = f"{model.id} {task.id} {shots} {seed} {labels}"
    return ProbeCell(key=key, model=model, task=task.id, shots=shots, seed=seed, labels=labels)


def _can_have(task: PlannedTask, labels: Labels) -> bool:
    match labels:
        case "true" | "shuffled":
            return True
        case "flipped":
            return task.labels > 0
        case "unrelated":
            return 0 < 2 * task.labels <= len(WORDS)  # as many again may be labels of the task


def _check_shots(task: PlannedTask, shots: int) -> None:
    if shots >= task.items:
        raise PlanError(
            f"{task.id} has {counted(task.items, 'item')}, so a question can have {task.items - 1} examples at most, "
            f"not {shots}; ask for fewer shots, or add items"
        )


def _check_exact(models: Sequence[LocalModel], *, exact: bool) -> None:
    other = next((model for model in models if model.format != "GGUF"), None) if exact else None
    if other is not None:
        raise PlanError(
            f"{one_line(other.name)} cannot be asked with exact: MLX's cache holds the model's own numbers, not 32-bit "
            "ones; leave exact out, or ask GGUF models alone"
        )


def _check_threads(models: Sequence[LocalModel], threads: int | None) -> None:
    asked = Grid() if threads is None else Grid(threads=(threads,))
    if (why := refusal(asked, {model.format for model in models})) is not None:
        raise PlanError(why)


def _check_names(tasks: Sequence[PlannedTask]) -> None:
    """Two tasks of one id would be taken for one.

    Raises:
        PlanError: names both.
    """
    seen: dict[str, PlannedTask] = {}
    for task in tasks:
        other = seen.setdefault(task.id, task)
        if other.sha256 != task.sha256:
            raise PlanError(
                f"{one_line(task.spec)} and {one_line(other.spec)} are both called {task.id} and are not the same; "
                "rename one of them"
            )


def _nothing(models: Sequence[LocalModel], tasks: Sequence[PlannedTask], labels: Sequence[Labels]) -> str:
    if not models:
        return "there is nothing to ask: name at least one model"
    if not tasks:
        return "there is nothing to ask: name at least one task"
    named = ", ".join(task.id for task in tasks)
    return f"{' and '.join(labels)} labels need a task whose questions share their options, which {named} does not have"


def shots_of(plan: ProbePlan) -> tuple[int, ...]:
    """The numbers of shots that the plan asks, from the fewest."""
    return tuple(sorted({cell.shots for cell in plan.cells}))


def parts(plan: ProbePlan) -> Iterator[tuple[LocalModel, tuple[ProbeCell, ...]]]:
    """Each model with its cells."""
    for model in plan.models:
        yield model, tuple(cell for cell in plan.cells if cell.model.id == model.id)
