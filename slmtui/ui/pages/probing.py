"""A probe and what came of it: events change it, widgets read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from slmtui.core.events import Failed
from slmtui.core.probe import Labels, ProbeBatch, ProbeCell, ProbePlan
from slmtui.core.probe_results import CellScore, Compared, Level, cell_scores, gains_from_shots, levels
from slmtui.core.text import one_line, share
from slmtui.lab import probe
from slmtui.ui.pages.bench import released_words, rough

CellWord = Literal["planned", "asking", "done", "stopped", "skipped", "failed"]


class CellState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cell of the plan is."""

    cell: ProbeCell
    of: int
    """Questions that it has."""
    done: int = 0
    """Questions whose answers are in the store."""
    word: CellWord = "planned"
    failure: Failed | None = None

    @property
    def open(self) -> bool:
        """Whether answers are still to come."""
        return self.done < self.of and self.word not in ("failed", "skipped")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """All cells of one model, task and kind of labels: what a line of the grid shows."""

    key: str
    model: str
    """Id of the model."""
    name: str
    task: str
    labels: Labels
    states: dict[int, tuple[CellState, ...]]
    """By number of shots, a cell for each seed."""
    levels: dict[int, Level]
    """By number of shots, where anything was answered."""
    gain: Compared | None
    """Of the largest number of shots against none."""


class Probing:
    """The plan that is shown, its cells, and every answer so far."""

    def __init__(self) -> None:
        self.plan: ProbePlan | None = None
        self.running = False
        self.stopping = False
        self.left_s: float | None = None
        self.loading = ""
        """The model that is being read or loaded, in words."""
        self.notices: list[str] = []
        self.released: list[probe.Released] = []
        self.states: dict[str, CellState] = {}
        self.batches: list[ProbeBatch] = []
        self._levels: tuple[Level, ...] | None = None

    def show(self, plan: ProbePlan | None) -> None:
        """Know a plan that does not run; answers of another one are forgotten."""
        self.plan, self.batches, self._levels = plan, [], None
        self.notices, self.released, self.left_s, self.loading = [], [], None, ""
        cells = plan.cells if plan else ()
        self.states = {cell.key: CellState(cell=cell, of=plan.asked(cell) if plan else 0) for cell in cells}

    def begin(self, plan: ProbePlan, earlier: Iterable[ProbeBatch] = ()) -> None:
        """A plan starts, or goes on with the answers that it has."""
        self.show(plan)
        self.running, self.stopping = True, False
        for batch in earlier:
            self._keep(batch)

    def take(self, event: probe.ProbeEvent) -> None:
        """Learn from what the plan reports."""
        match event:
            case probe.Noticed(words=words):
                self.notices.append(words)
            case probe.Hashing():
                self.loading = event.words
            case probe.ModelLoading(model=model, fraction=fraction):
                self.loading = f"loading {one_line(model.name)} {share(fraction)}"
            case probe.CellAsking(cell=cell, done=done):
                self.loading = ""
                self._change(cell, word="asking", done=done)
            case probe.CellAnswered(cell=cell, batch=batch):
                self._keep(batch)
                self._change(cell, word="done" if event.done >= event.of else "asking", done=event.done)
            case probe.CellGivenUp(cell=cell, failure=failure):
                self._change(cell, word="failed" if failure else "skipped", failure=failure)
            case probe.TimeLeft(seconds=seconds):
                self.left_s = seconds
            case probe.Released():
                self.released.append(event)
            case _:
                pass

    def ended(self) -> None:
        """Nothing is asked any more."""
        self.running = self.stopping = False
        self.left_s, self.loading = None, ""
        for key, state in self.states.items():
            if state.word == "asking":
                self.states[key] = msgspec.structs.replace(state, word="stopped")

    @property
    def done(self) -> int:
        """Answers that are there."""
        return sum(state.done for state in self.states.values())

    @property
    def total(self) -> int:
        """Questions of all cells that are not given up."""
        return sum(state.of if state.open else state.done for state in self.states.values())

    @property
    def asking(self) -> ProbeCell | None:
        """The cell that is asked now."""
        return next((state.cell for state in self.states.values() if state.word == "asking"), None)

    @property
    def failures(self) -> list[str]:
        """Why cells failed, each reason once."""
        said = (
            f"{one_line(state.cell.model.name)}, {state.cell.task}: {one_line(state.failure.message)}"
            for state in self.states.values()
            if state.failure is not None
        )
        return list(dict.fromkeys(said))

    @property
    def notes(self) -> list[str]:
        """What a person should know about the figures, in sentences."""
        return [*self.notices, *([released_words(self.released)] if self.released else [])]

    @property
    def scores(self) -> tuple[CellScore, ...]:
        """The cells that have answers."""
        return cell_scores(self.batches)

    def scores_like(self, row: Row) -> list[CellScore]:
        """Every model's cells of the row's task and labels; without examples nothing is shuffled or flipped."""
        true_too = row.labels in ("shuffled", "flipped")
        return [
            score
            for score in self.scores
            if score.task == row.task
            and (score.labels == row.labels or (true_too and score.labels == "true" and not score.shots))
        ]

    @property
    def levels(self) -> tuple[Level, ...]:
        """What the answers say, seeds together."""
        if self._levels is None:
            self._levels = levels(self.scores)
        return self._levels

    @property
    def shots(self) -> tuple[int, ...]:
        """The numbers of examples of the plan, rising."""
        return tuple(sorted({state.cell.shots for state in self.states.values()}))

    def rows(self) -> tuple[Row, ...]:
        """The lines of the grid, in the plan's order."""
        grouped: dict[tuple[str, str, Labels], list[CellState]] = {}
        for state in self.states.values():
            cell = state.cell
            grouped.setdefault((cell.model.id, cell.task, cell.labels), []).append(state)
        gains: dict[tuple[str, str, Labels], Compared] = {}
        for one in gains_from_shots(self.levels):
            key = (one.after.model, one.after.task, one.after.labels)
            if key not in gains or gains[key].after.shots < one.after.shots:
                gains[key] = one
        found: dict[tuple[str, str, Labels], dict[int, Level]] = {}
        for level in self.levels:
            found.setdefault((level.model, level.task, level.labels), {})[level.shots] = level
        return tuple(_row(key, states, found.get(key, {}), gains.get(key)) for key, states in grouped.items())

    def _keep(self, batch: ProbeBatch) -> None:
        self.batches.append(batch)
        self._levels = None
        state = self.states.get(batch.measurement.cell)
        if state is not None:
            done = state.done + len(batch.answers)
            self._change(state.cell, done=done, word="done" if done >= state.of else state.word)

    def _change(self, cell: ProbeCell, **values: object) -> None:
        self.states[cell.key] = msgspec.structs.replace(self.states[cell.key], **values)


def _row(key: tuple[str, str, Labels], states: list[CellState], found: dict[int, Level], gain: Compared | None) -> Row:
    model, task, labels = key
    shots = sorted({state.cell.shots for state in states})
    return Row(
        key="\n".join(key),
        model=model,
        name=one_line(states[0].cell.model.name),
        task=task,
        labels=labels,
        states={number: tuple(state for state in states if state.cell.shots == number) for number in shots},
        levels=found,
        gain=gain,
    )


def progress_words(probing: Probing) -> tuple[str, ...]:
    """How far the probe is, the fullest account first."""
    if probing.stopping:
        return ("stopping …",)
    counted = f"{probing.done:,} of {probing.total:,} questions"
    left = "" if probing.left_s is None else f" · {rough(probing.left_s)} left"
    return (f"{counted}{left} · x skips", counted + left, f"{probing.done} of {probing.total}{left}", left.strip(" ·"))
