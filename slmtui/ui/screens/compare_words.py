"""What Compare says of a plan before it runs."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from slmtui.core.plan import Grid, Plan, setup_words
from slmtui.core.presets import preset_words
from slmtui.core.text import duration, memory, one_line
from slmtui.lab.speed import Outlook
from slmtui.ui.pages.bench import SIGNS, Bench, progress_words, rough
from slmtui.ui.screens.compare_sheet import change_words
from slmtui.ui.widgets.progress import Progress

_STYLES = {
    "running": "bold $text-success",
    "done": "$text-success",
    "failed": "$text-error",
    "skipped": "$text-warning",
}


def plan_words(
    chosen: tuple[str, Grid | None], plan: Plan | None, outlook: Outlook | None, problem: str, width: int
) -> Content:
    """Preset and changes; below, how many cells, how long, what will not fit.

    What the time rests on is said where `width` cells have room for it.
    """
    preset, changes = chosen
    first = preset_words(preset) if changes is None else f"{preset}, changed: {change_words(changes)}"
    lines = [Content.styled(first, "$text-muted")]
    if problem:
        lines.append(Content.styled(f"There is no such plan: {one_line(problem)}.", "$text-error"))
    elif plan is None:
        lines.append(Content.styled("how long it will take is being worked out …", "$text-muted"))
    else:
        counts = " · ".join(_counts(plan, outlook))
        basis = f"  {one_line(outlook.basis)}" if outlook else ""
        lines.append(Content.assemble(counts, (basis if len(counts) + len(basis) <= width else "", "$text-muted")))
        if plan.together:
            lines.append(
                Content.styled("Models run at the same time: contended figures, marked as together.", "$text-warning")
            )
    for each in outlook.refused if outlook else ():
        words = f"{one_line(each.model.name)} cannot be measured: {one_line(each.why)}"
        lines.append(Content.styled(words, "$text-error"))
    for room in outlook.will_not_fit if outlook else ():
        name = one_line(room.model.name)
        needs = f"{name} will not fit: it needs {memory(room.needed_bytes)}, {memory(room.available_bytes)} are free"
        lines.append(Content.styled(needs, "$text-error"))
    return Content("\n").join(lines)


def progress_of(bench: Bench) -> Progress:
    """How far a running plan is."""
    running = [state.cell for state in bench.states.values() if state.word == "running"]
    varying = bench.plan.varying if bench.plan else frozenset()
    said = [
        " · ".join((one_line(each.model.name), each.shape.label, *setup_words(each.setup, varying))) for each in running
    ]
    return Progress(
        done=bench.done,
        total=bench.total,
        variants=progress_words(bench),
        signs=tuple((SIGNS[state.word], _STYLES.get(state.word, "$text-muted")) for state in bench.states.values()),
        running="; ".join(said),
    )


def _counts(plan: Plan, outlook: Outlook | None) -> Iterator[str]:
    cells = len(plan.cells)
    yield f"{cells} {'cell' if cells == 1 else 'cells'} × {plan.repetitions} repetitions"
    if plan.cool_down_s:
        yield f"{duration(plan.cool_down_s)} pause"
    if outlook is not None:
        yield f"about {rough(outlook.seconds)}" if outlook.seconds is not None else "time not known yet"
