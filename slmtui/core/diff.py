"""Two sets of measurements compared: which cells are in both, how their figures relate, and what can be said of it."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal

import msgspec

from slmtui.core.intervals import Ratio, ratio
from slmtui.core.measurement import Kind, Measurement, Settings
from slmtui.core.results import CellResult, by_phase
from slmtui.core.stats import Summary, summarize

TOLERANCE_FRAC = 0.05
"""What a difference has to exceed to count as a regression, unless said otherwise."""
Phase = Literal["prefill", "decode", "TTFT", "memory"]
_PHASES: tuple[Phase, ...] = ("prefill", "decode", "TTFT", "memory")
_SPEEDS = ("prefill", "decode")
_MATCHED = (
    "threads",
    "threads_batch",
    "batch",
    "micro_batch",
    "context",
    "type_k",
    "type_v",
    "flash_attention",
    "device",
    "gpu_layers",
    "split_mode",
    "tensor_split",
    "other",
)
"""The settings that make cells the same; a setting that one side does not tell is no difference."""
_PLACING = frozenset({"device", "gpu_layers", "split_mode", "tensor_split"})
"""Those that say where a model runs."""
_CACHE = frozenset({"type_k", "type_v"})
"""Those that an engine may choose by itself."""


class DiffError(ValueError):
    """Two things cannot be compared; the message says why and what to do."""


class Verdict(enum.Enum):
    """What can be said of B beside A, at 95 %."""

    FASTER = "faster"
    SLOWER = "slower"
    LESS = "less memory"
    MORE = "more memory"
    OPEN = "no difference can be shown"
    FEW = "too few repetitions"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a cell on both sides."""

    phase: Phase
    a: Summary
    b: Summary
    ratio: Ratio
    """B to A, of typical values (`core.intervals.ratio`): over 1 is a higher speed, a longer time, more memory."""
    verdict: Verdict
    beyond: bool = False
    """Whether the whole interval lies beyond the tolerance, on one side."""
    within: bool = False
    """Whether the whole interval lies within the tolerance."""

    @property
    def slower_beyond(self) -> bool:
        """Whether it is shown that B is slower by more than the tolerance."""
        return self.beyond and self.verdict is Verdict.SLOWER


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one side has of a cell: all of its repetitions, of every plan that measured it."""

    results: tuple[CellResult, ...]

    @property
    def first(self) -> CellResult:
        """The cell as it was measured first."""
        return self.results[0]

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All repetitions."""
        return tuple(each for result in self.results for each in result.measurements)

    @property
    def settings(self) -> Settings:
        """How the engine was set up."""
        return self.first.measurements[0].settings

    @property
    def shape(self) -> str:
        """What was measured, in llama-bench's words."""
        return f"{self.first.shape}, together" if self.first.together else self.first.shape

    @property
    def averaged(self) -> bool:
        """Whether it has another program's mean in place of repetitions."""
        return any(result.averaged for result in self.results)

    def values(self, phase: Phase) -> list[float]:
        """The figure of each repetition that has it; of another program's averages, their mean.

        Memory has one value a plan, the largest: however often it is read, a loaded model says nothing about how much
        the next load of it would differ.
        """
        if phase == "memory":
            loads: dict[str, int] = {}
            for result in self.results:
                load = result.plan or result.cell
                loads[load] = max(loads.get(load, 0), result.process_bytes or 0)
            return [float(size) for size in loads.values() if size]
        if self.averaged and phase in _SPEEDS:
            speeds = [result.prefill_tps if phase == "prefill" else result.decode_tps for result in self.results]
            return [speed.mean for speed in speeds if speed is not None]
        figures = [_figure(measurement, phase) for measurement in self.measurements]
        return [figure for figure in figures if figure is not None and figure > 0]


class CellDiff(msgspec.Struct, frozen=True, kw_only=True):
    """One cell that both sides have."""

    a: Part
    b: Part
    findings: tuple[Finding, ...]

    @property
    def kind(self) -> Kind:
        """Whether it is a benchmark or the answers of a chat."""
        return self.a.first.kind

    @property
    def regressions(self) -> tuple[Finding, ...]:
        """What is shown to be slower by more than the tolerance; answers of a chat are no benchmark and have none."""
        return tuple(each for each in self.findings if each.slower_beyond) if self.kind == "bench" else ()


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that only one side has."""

    part: Part
    differs: tuple[str, ...] = ()
    """Names of the settings (fields of `Settings`) in which the other side's nearest cell differs; empty where the
    other side has nothing of this model and shape."""
    other: Settings | None = None
    """The settings of that nearest cell."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that two sides have in common, and what only one has."""

    cells: tuple[CellDiff, ...]
    only_a: tuple[Unmatched, ...]
    only_b: tuple[Unmatched, ...]
    tolerance: float

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the settings that tell one side's cells of the same model and shape from each other."""
        alike: dict[Hashable, set[Settings]] = {}
        for side, only in ((0, self.only_a), (1, self.only_b)):
            for part in (*((cell.a, cell.b)[side] for cell in self.cells), *(each.part for each in only)):
                alike.setdefault((side, part.first.model, part.shape), set()).add(part.settings)
        return tuple(
            name
            for name in _MATCHED
            if any(len({getattr(s, name) for s in same} - {None}) > 1 for same in alike.values())
        )

    @property
    def findings(self) -> tuple[tuple[CellDiff, Finding], ...]:
        """Every figure with its cell."""
        return tuple((cell, finding) for cell in self.cells for finding in cell.findings)

    @property
    def regressions(self) -> tuple[tuple[CellDiff, Finding], ...]:
        """Every figure that is shown to be slower by more than the tolerance, with its cell."""
        return tuple((cell, finding) for cell in self.cells for finding in cell.regressions)


def compare(
    a: Sequence[CellResult],
    b: Sequence[CellResult],
    tolerance: float = TOLERANCE_FRAC,
    *,
    across_models: bool = False,
    across_devices: bool = False,
) -> Comparison:
    """Compare B with A, cell by cell: same model (unless `across_models`), kind, shape and settings.

    With `across_devices` the settings that say where a model runs do not count, and with `across_models` no numbers of
    a cache that its engine chose.

    `tolerance` is a share: at 0.05 a regression is a speed whose whole interval lies under 0.95 times the old one,
    or a time to first token whose whole interval lies over 1.05 times the old one. Where a cell has one phase only,
    as all of llama-bench's, prefill and decode become cells of their own on both sides.
    """
    if any(one.prompt_tokens == 0 or one.decode_steps == 0 for one in (*a, *b) if one.kind == "bench"):
        a, b = by_phase(a), by_phase(b)
    told = [name for name in _MATCHED if not (across_devices and name in _PLACING)]
    here, there = (_parts(side, told, across_models=across_models) for side in (a, b))
    pairs = _pairs(here, there)
    cells = tuple(
        CellDiff(a=here[one], b=there[other], findings=tuple(_findings(here[one], there[other], tolerance)))
        for one, other in pairs
    )
    taken_a, taken_b = {one for one, _ in pairs}, {other for _, other in pairs}
    return Comparison(
        cells=cells,
        only_a=tuple(_unmatched(key, part, there) for key, part in here.items() if key not in taken_a),
        only_b=tuple(_unmatched(key, part, here) for key, part in there.items() if key not in taken_b),
        tolerance=tolerance,
    )


def of_model(results: Iterable[CellResult], wanted: str) -> tuple[CellResult, ...]:
    """The cells of the model that this id, its beginning before `:`, or this name means.

    Raises:
        DiffError: no model or more than one is meant; the message names those that there are.
    """
    results = tuple(results)
    names = {result.model: result.name for result in results}
    for meant in (
        [model for model in names if model == wanted],
        [model for model, name in names.items() if name.casefold() == wanted.casefold()],
        [model for model in names if model.partition(":")[0] == wanted],
    ):
        if len(meant) == 1:
            return tuple(result for result in results if result.model == meant[0])
        if meant:
            raise DiffError(f"{wanted} can be {' or '.join(meant)}; say which")
    known = f"it has {', '.join(names)}" if names else "it is empty"
    raise DiffError(f"nothing of {wanted} was measured in that session; {known}")


def _figure(measurement: Measurement, phase: Phase) -> float | None:
    timing = measurement.timing
    if phase == "prefill":
        return timing.prefill_tps
    if phase == "decode":
        return timing.decode_tps
    return timing.ttft_s


class _Key(msgspec.Struct, frozen=True):
    same: Hashable
    settings: tuple[str | int | bool | None, ...]


def _parts(results: Sequence[CellResult], told: Sequence[str], *, across_models: bool) -> dict[_Key, Part]:
    """Cells that are the same in these settings; the others count as not told."""
    groups: dict[_Key, list[CellResult]] = {}
    for result in results:
        shape = (result.prompt_tokens, result.decode_steps, result.depth, result.after_prompt)
        model = None if across_models else result.model
        same = (model, result.kind, result.together, shape if result.kind == "bench" else None)
        first = result.measurements[0]
        chosen = _CACHE if across_models and first.facts.kv_type is not None else ()
        names = [name if name in told and name not in chosen else None for name in _MATCHED]
        key = _Key(same, tuple(name and getattr(first.settings, name) for name in names))
        groups.setdefault(key, []).append(result)
    return {key: Part(results=tuple(group)) for key, group in groups.items()}


def _pairs(here: dict[_Key, Part], there: dict[_Key, Part]) -> list[tuple[_Key, _Key]]:
    """Equal keys, and then those that only what is not told keeps apart, where just one such pair is possible."""
    found = {key: key for key in here if key in there}
    free_here = [key for key in here if key not in found]
    free_there = [key for key in there if key not in found]
    for key in free_here:
        candidates = [other for other in free_there if _compatible(key, other)]
        if len(candidates) == 1 and sum(_compatible(each, candidates[0]) for each in free_here) == 1:
            found[key] = candidates[0]
    return [(key, found[key]) for key in here if key in found]


def _compatible(one: _Key, other: _Key) -> bool:
    return one.same == other.same and not _differing(one, other)


def _differing(one: _Key, other: _Key) -> tuple[str, ...]:
    pairs = zip(_MATCHED, one.settings, other.settings, strict=True)
    return tuple(name for name, mine, theirs in pairs if mine != theirs and None not in (mine, theirs))


def _unmatched(key: _Key, part: Part, others: dict[_Key, Part]) -> Unmatched:
    candidates = [other for other in others if other.same == key.same]
    if not candidates:
        return Unmatched(part=part)
    nearest = min(candidates, key=lambda other: len(_differing(key, other)))
    return Unmatched(part=part, differs=_differing(key, nearest), other=others[nearest].settings)


def _findings(a: Part, b: Part, tolerance: float) -> Iterable[Finding]:
    for phase in _PHASES:
        ours, theirs = a.values(phase), b.values(phase)
        old, new, factor = summarize(ours), summarize(theirs), ratio(theirs, ours)
        if old is None or new is None or factor is None:
            continue
        if a.averaged or b.averaged:
            factor = Ratio(value=factor.value)
        yield _finding(phase, old, new, factor, tolerance)


def _finding(phase: Phase, a: Summary, b: Summary, factor: Ratio, tolerance: float) -> Finding:
    low, high = factor.low, factor.high
    if low is None or high is None:
        return Finding(phase=phase, a=a, b=b, ratio=factor, verdict=Verdict.FEW)
    if low <= 1 <= high:
        verdict = Verdict.OPEN
    elif phase == "memory":
        verdict = Verdict.MORE if low > 1 else Verdict.LESS
    else:
        verdict = Verdict.FASTER if (low > 1) == (phase in _SPEEDS) else Verdict.SLOWER
    return Finding(
        phase=phase,
        a=a,
        b=b,
        ratio=factor,
        verdict=verdict,
        beyond=high < 1 - tolerance or low > 1 + tolerance,
        within=1 - tolerance <= low and high <= 1 + tolerance,
    )
