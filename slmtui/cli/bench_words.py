"""What `slmtui bench` says about plans."""

from __future__ import annotations

from collections.abc import Sequence

from slmtui.core import diff_words, text
from slmtui.core.devices import Beside
from slmtui.core.diff import CellDiff
from slmtui.core.plan import Cell, Plan, Unfinished, setup_words
from slmtui.core.results import CellResult
from slmtui.core.selfcheck import differences
from slmtui.lab import speed


def outlook_line(plan: Plan, seen: speed.Outlook) -> str:
    """A plan in one line: `standard: 4 cells, 20 repetitions, about 1 min 05 s (from …)`."""
    line = f"{_size(plan, seen)}, {_time(seen)}"
    names = ", ".join(each.model.name for each in seen.will_not_fit)
    return f"{line}; will not fit into the free memory: {names}" if names else line


def problem_lines(seen: speed.Outlook) -> list[str]:
    """What of a plan can't be measured, and why."""
    return [
        *(f"{text.one_line(each.model.name)}: {each.why}" for each in seen.refused),
        *(
            f"{text.one_line(each.model.name)} will not fit: it needs {text.memory(each.needed_bytes)}"
            f" and {text.memory(each.available_bytes)} is free"
            for each in seen.will_not_fit
        ),
    ]


def outlook_lines(plan: Plan, seen: speed.Outlook) -> list[str]:
    """A plan in full: its cells, and how long they take."""
    return [
        _size(plan, seen),
        *(f"  {text.one_line(cell.model.name)}  {cell.label}" for cell in plan.cells),
        f"expected: {_time(seen)}",
    ]


def plan_line(unfinished: Unfinished) -> str:
    """An unfinished plan: `7f3a9c12  2026-11-21 09:10  standard  3 of 10 repetitions  Pocket 5M Q8_0`."""
    begun = unfinished.when[:16].replace("T", " ")
    models = text.shorten(text.one_line(", ".join(unfinished.models)), 60)
    done = f"{unfinished.done} of {text.counted(unfinished.total, 'repetition')}"
    return f"  {unfinished.plan.id}  {begun} UTC  {unfinished.plan.preset}  {done}  {models}"


def step_words(plan: Plan, event: speed.CellLoading | speed.CellRunning | speed.Cooling, left_s: float | None) -> str:
    """What goes on now, and how long the plan will take."""
    match event:
        case speed.CellLoading(fraction=fraction):
            step = f"loading {text.share(fraction)}"
        case speed.Cooling(left_s=rest_s):
            step = f"the machine rests, {rest_s:.0f} s"
        case speed.CellRunning(warmup=True):
            step = f"warm-up {event.repetition + 1}"
        case speed.CellRunning():
            step = f"repetition {event.repetition + 1} of {event.of}"
    left = "" if left_s is None else f" · {text.duration(left_s)} left"
    return f"{_name(plan, event.cell)}: {step}{left}"


def selfcheck_rows(plan: Plan, results: Sequence[CellResult]) -> list[dict[str, str]]:
    """For each cell how far our times are from the engine's."""
    cells = {cell.key: cell for cell in plan.cells}
    return [
        {
            "model": text.one_line(each.result.name),
            "test": " · ".join((cell.shape.label, *setup_words(cell.setup, plan.varying))),
            "n": str(len(each.result.measurements)),
            "prefill": _signed(each.prefill_frac),
            "decode": _signed(each.decode_frac),
        }
        for each in differences(results)
        if (cell := cells.get(each.result.cell)) is not None
    ]


def beside_rows(each: Beside, plan: Plan) -> list[dict[str, str]]:
    """The speeds of two places with their ratio, one row a phase."""
    differing = plan.varying - {"device", "gpu_layers", "split_mode", "tensor_split"}
    return [
        {
            "model": text.one_line(cell.a.first.name),
            "test": " · ".join((diff_words.what(cell, finding.phase), *_setup(plan, cell, differing))),
            each.a: text.rate(finding.a.median),
            each.b: text.rate(finding.b.median),
            "ratio": text.ratio(finding.ratio.value),
            "95 % interval": diff_words.interval(finding),
        }
        for cell, finding in each.findings
    ]


def _setup(plan: Plan, cell: CellDiff, names: frozenset[str]) -> tuple[str, ...]:
    planned = next((one for one in plan.cells if one.key == cell.a.first.cell), None)
    return setup_words(planned.setup, names) if planned else ()


def _name(plan: Plan, cell: Cell) -> str:
    """The model, and what else tells the cell from the plan's others."""
    several = len({each.shape for each in plan.cells}) > 1
    shape = (cell.shape.label,) if several else ()
    return " · ".join((cell.model.name, *shape, *setup_words(cell.setup, plan.varying)))


def _size(plan: Plan, seen: speed.Outlook) -> str:
    return f"{plan.preset}: {text.counted(seen.cells, 'cell')}, {text.counted(seen.repetitions, 'repetition')}"


def _time(seen: speed.Outlook) -> str:
    return f"time {seen.basis}" if seen.seconds is None else f"about {text.duration(seen.seconds)} ({seen.basis})"


def _signed(fraction: float | None) -> str:
    return text.NOT_MEASURED if fraction is None else f"{fraction * 100:+.2f} %"
