"""What Compare knows of a plan: the state of each cell, what runs, what was measured, how long it will still take."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from slmtui.core.events import Failed
from slmtui.core.live import Live
from slmtui.core.measurement import Measurement
from slmtui.core.plan import Cell, Plan
from slmtui.core.results import CellResult, cell_results
from slmtui.core.text import duration, memory, one_line, share
from slmtui.lab import speed
from slmtui.ui.widgets.gauges import Gauge, State

CellWord = Literal["planned", "waiting", "loading", "running", "done", "stopped", "skipped", "failed"]
SIGNS: dict[CellWord, str] = {
    "planned": "·",
    "waiting": "·",
    "loading": "▹",
    "running": "▸",
    "done": "✓",
    "stopped": "◌",
    "skipped": "−",
    "failed": "✗",
}

WEIGHING = (
    "measuring this machine's memory bandwidth and matrix multiplication first, about 6 s …",
    "measuring this machine's memory bandwidth, about 6 s …",
    "measuring this machine first, about 6 s …",
    "measuring this machine …",
)
"""What happens while the machine's ceiling is measured, the fullest account first."""


class CellState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cell of the plan is."""

    cell: Cell
    word: CellWord = "planned"
    done: int = 0
    """Repetitions that are in the store."""
    of: int = 0
    failure: Failed | None = None

    @property
    def words(self) -> str:
        """The state in a few characters, with its sign."""
        counted = self.word in ("running", "waiting", "stopped") and (self.done or self.word == "running")
        return f"{SIGNS[self.word]} {f'{self.done} of {self.of}' if counted else self.word}"


class Bench:
    """A plan and what came of it; events change it, widgets read it."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.running = False
        self.stopping = False
        self.weighing = False
        """Whether the machine's ceiling is being measured, which comes before the first run."""
        self.hashing = ""
        """Which model's file is read for its hash, in words; that comes before everything else."""
        self.left_s: float | None = None
        self.pause_s: float | None = None
        """Seconds of the running cool-down that are left."""
        self.notices: list[str] = []
        self.released: list[speed.Released] = []
        self.states: dict[str, CellState] = {}
        self.gauges: dict[str, Gauge] = {}
        self.measured: list[Measurement] = []
        self._results: tuple[CellResult, ...] | None = None

    def show(self, plan: Plan | None) -> None:
        """Know a plan that does not run; measured cells of another plan are forgotten."""
        self.plan, self.measured, self._results = plan, [], None
        self.notices, self.released, self.left_s, self.pause_s = [], [], None, None
        cells = plan.cells if plan else ()
        self.states = {cell.key: CellState(cell=cell, of=plan.repetitions if plan else 0) for cell in cells}
        self.gauges = {}

    def begin(self, plan: Plan, earlier: Iterable[Measurement] = ()) -> None:
        """A plan starts, or goes on with the repetitions that it has."""
        self.show(plan)
        self.running = True
        self.stopping = self.weighing = False
        self.measured = list(earlier)
        for key, state in self.states.items():
            self.states[key] = msgspec.structs.replace(state, word="waiting", done=self._count(key))
        self.gauges = {
            model.id: Gauge(name=one_line(model.name), state="waiting", words="waiting") for model in plan.models
        }

    def again(self, plan: Plan) -> None:
        """A plan of some of the shown cells starts; it adds repetitions to them, and the others stay."""
        kept, states = self.measured, dict(self.states)
        self.begin(plan, kept)
        known = {key: msgspec.structs.replace(state, of=state.of + plan.repetitions) for key, state in states.items()}
        for key in self.states:
            known[key] = msgspec.structs.replace(known[key], word="waiting")
        others = {key: states[key] for key in states.keys() - self.states.keys()}
        self.states = {key: others.get(key) or known[key] for key in states}

    @property
    def results(self) -> tuple[CellResult, ...]:
        """The cells with at least one repetition, in the plan's order; a plan that measured again is not told apart."""
        if self._results is None:
            order = {key: place for place, key in enumerate(self.states)}
            together = cell_results([msgspec.structs.replace(each, plan="", preset="") for each in self.measured])
            self._results = tuple(sorted(together, key=lambda result: order.get(result.cell, len(order))))
        return self._results

    @property
    def notes(self) -> list[str]:
        """What a person should know about the figures, in sentences."""
        return [*self.notices, *([released_words(self.released)] if self.released else [])]

    @property
    def rows(self) -> tuple[Gauge, ...]:
        """A gauge for each model of the plan."""
        models = self.plan.models if self.plan else ()
        return tuple(self.gauges[model.id] for model in models if model.id in self.gauges)

    @property
    def noisy(self) -> tuple[Cell, ...]:
        """Cells whose repetitions spread too far."""
        return tuple(self.states[each.cell].cell for each in self.results if each.noisy and each.cell in self.states)

    @property
    def running_cells(self) -> tuple[str, ...]:
        """Keys of the cells that run, or ran last."""
        return tuple(key for key, state in self.states.items() if state.word in ("running", "loading"))

    @property
    def done(self) -> int:
        """Repetitions that are measured."""
        return len(self.measured)

    @property
    def total(self) -> int:
        """Repetitions of all cells that are not given up."""
        return sum(each.done if each.word in ("failed", "skipped") else each.of for each in self.states.values())

    def take(self, event: speed.BenchEvent) -> None:
        """Learn from what the plan reports."""
        self.weighing = isinstance(event, speed.CeilingWanted)
        self.hashing = event.words if isinstance(event, speed.Hashing) else ""
        match event:
            case speed.Noticed(words=words):
                self.notices.append(words)
            case speed.CellLoading(cell=cell):
                self._say(cell, "loading", "loading", f"loading {share(event.fraction)}", running=True)
            case speed.CellRunning():
                self._run(event)
            case speed.CellProgress(cell=cell):
                gauge = self._gauge(cell)
                self.gauges[cell.model.id] = msgspec.structs.replace(gauge, live=gauge.live.after(event.event))
            case speed.CellMeasured():
                self._keep(event)
            case speed.CellFailed(cell=cell, failure=failure):
                self._say(cell, "failed", "failed", "failed")
                self.states[cell.key] = msgspec.structs.replace(self.states[cell.key], failure=failure)
            case speed.CellSkipped(cell=cell):
                self._say(cell, "skipped", "stopped", "skipped")
            case speed.Cooling(left_s=left_s):
                self.pause_s = left_s
            case speed.TimeLeft(seconds=seconds):
                self.left_s = seconds
            case _:
                self._finish(event)

    def _finish(self, event: speed.BenchEvent) -> None:
        match event:
            case speed.Released():
                self.released.append(event)
            case speed.PlanEnded(results=results):
                ended = {each.id: each for result in results for each in result.measurements}
                known = {each.id for each in self.measured}
                self.measured += [each for name, each in ended.items() if name not in known]
                self._results, self.left_s, self.pause_s = None, None, None
                self._rest("stopped" if event.stopped else "waiting")

    def ended(self) -> None:
        """Nothing runs any more."""
        self.running = self.stopping = self.weighing = False
        self.hashing = ""
        self.left_s = self.pause_s = None
        self._rest("stopped")

    def _rest(self, word: CellWord) -> None:
        for key, state in self.states.items():
            if state.word in ("failed", "skipped", "planned"):
                continue
            done = self._count(key)
            now: CellWord = "done" if done >= state.of else word
            self.states[key] = msgspec.structs.replace(state, word=now, done=done)
        for model, gauge in self.gauges.items():
            words = {each.word for each in self.states.values() if each.cell.model.id == model}
            rest: State = "failed" if words == {"failed"} else "done" if "done" in words else "waiting"
            if "stopped" in words:
                rest = "stopped"
            self.gauges[model] = msgspec.structs.replace(gauge, state=rest, words=rest, running=False)

    def _run(self, event: speed.CellRunning) -> None:
        cell, self.pause_s = event.cell, None
        for model, other in self.gauges.items():
            if other.running and model != cell.model.id and not (self.plan and self.plan.together):
                self.gauges[model] = msgspec.structs.replace(other, state="waiting", words="waiting", running=False)
        for key, state in self.states.items():
            if state.word == "running" and key != cell.key and not (self.plan and self.plan.together):
                self.states[key] = msgspec.structs.replace(state, word="done" if state.done >= state.of else "waiting")
        before = self._gauge(cell)
        live = Live(memory=before.live.memory, peak_rss_bytes=before.live.peak_rss_bytes)
        count = f"warm-up {event.repetition + 1}" if event.warmup else f"run {event.repetition + 1} of {event.of}"
        self.gauges[cell.model.id] = Gauge(
            name=before.name,
            state="warming up" if event.warmup else "measuring",
            words=count,
            live=live,
            last=before.live.timing or before.last,
            running=True,
        )
        self.states[cell.key] = msgspec.structs.replace(self.states[cell.key], word="running")

    def _keep(self, event: speed.CellMeasured) -> None:
        self.measured.append(event.measurement)
        self._results = None
        key, gauge = event.cell.key, self._gauge(event.cell)
        live = msgspec.structs.replace(gauge.live, timing=event.measurement.timing)
        self.gauges[event.cell.model.id] = msgspec.structs.replace(gauge, live=live)
        state, done = self.states[key], self._count(key)
        word: CellWord = "done" if done >= state.of else state.word
        self.states[key] = msgspec.structs.replace(state, done=done, word=word)

    def _say(self, cell: Cell, word: CellWord, state: State, words: str, *, running: bool = False) -> None:
        self.states[cell.key] = msgspec.structs.replace(self.states[cell.key], word=word)
        gauge = self._gauge(cell)
        self.gauges[cell.model.id] = msgspec.structs.replace(gauge, state=state, words=words, running=running)

    def _gauge(self, cell: Cell) -> Gauge:
        return self.gauges.get(cell.model.id) or Gauge(name=one_line(cell.model.name))

    def _count(self, key: str) -> int:
        return sum(each.cell == key for each in self.measured)


def plan_again(plan: Plan, cells: Sequence[Cell]) -> Plan:
    """A plan of some cells of another one, as often again."""
    return msgspec.structs.replace(
        plan,
        id=secrets.token_hex(4),
        cells=tuple(cells),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def released_words(events: Sequence[speed.Released]) -> str:
    """That the workers' memory came back, with what the machine's free memory did meanwhile."""
    who = f"{one_line(events[0].model.name)}: worker" if len(events) == 1 else f"{len(events)} workers"
    words = f"{who} ended, {memory(sum(event.bytes_before or 0 for event in events) or None)} came back"
    changes = [
        (event.available_after - event.available_before, event.available_after)
        for event in events
        if event.available_before is not None and event.available_after is not None
    ]
    if not changes:
        return words
    change = sum(change for change, _ in changes)
    return f"{words} (free: {'+' if change >= 0 else '−'}{memory(abs(change))}, now {memory(changes[-1][1])})"


def rough(seconds: float) -> str:
    """A time that nobody knows to the millisecond: whole seconds, minutes, hours."""
    if seconds < 0.95:
        return "1 s"
    if seconds < 5400:
        return duration(round(seconds))
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def progress_words(bench: Bench) -> tuple[str, ...]:
    """How far the plan is, the fullest account first."""
    if bench.stopping:
        return ("stopping …",)
    if bench.hashing:
        return (bench.hashing, "hashing …")
    if bench.weighing:
        return WEIGHING
    counted = f"{bench.done} of {bench.total} repetitions"
    if bench.pause_s is not None:
        counted += f" · resting {rough(bench.pause_s)}"
    left = "" if bench.left_s is None else f" · {rough(bench.left_s)} left"
    together = " · together (contended)" if bench.plan and bench.plan.together else ""
    full = counted + left + together
    return (f"{full} · x skips", full, counted + left, f"{bench.done} of {bench.total}{left}", left.strip(" ·"))


def failures(states: Sequence[CellState]) -> list[tuple[str, str, int]]:
    """Names, why, and how many cells failed for the same reason."""
    found: dict[tuple[str, str], int] = {}
    for state in states:
        if state.failure is not None:
            key = (one_line(state.cell.model.name), one_line(state.failure.message))
            found[key] = found.get(key, 0) + 1
    return [(*key, number) for key, number in found.items()]
