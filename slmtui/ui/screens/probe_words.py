"""What Probe says of a plan before and while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content

from slmtui.core.probe import SCORERS, STYLES
from slmtui.core.probe_presets import ProbeGrid, preset_words
from slmtui.core.text import counted, memory, one_line, shorten
from slmtui.lab.probe import ProbeOutlook, ProbePlan
from slmtui.ui.pages.bench import rough
from slmtui.ui.pages.probing import Probing, progress_words
from slmtui.ui.widgets.progress import Progress

_SIGNS = {
    "planned": ("·", "$text-muted"),
    "asking": ("▸", "bold $text-success"),
    "done": ("✓", "$text-success"),
    "stopped": ("◌", "$text-muted"),
    "skipped": ("−", "$text-warning"),
    "failed": ("✗", "$text-error"),
}


def change_words(changes: ProbeGrid) -> str:
    """What was changed, in the sheet's words: `shots 0, 2 · 20 questions`."""
    said = []
    if changes.shots is not None:
        said.append(f"shots {', '.join(map(str, changes.shots))}")
    if changes.questions is not None:
        said.append(counted(changes.questions, "question"))
    if changes.seeds is not None:
        said.append(counted(changes.seeds, "seed"))
    said += [f"labels {', '.join(changes.labels)}"] if changes.labels else []
    said += [STYLES[changes.style]] if changes.style else []
    said += [SCORERS[changes.scorer]] if changes.scorer else []
    said += ["calibrated"] if changes.calibrated else []
    said += ["exact"] if changes.exact else []
    return " · ".join(said)


def plan_words(
    chosen: tuple[str, ProbeGrid | None],
    tasks: Sequence[str],
    found: tuple[ProbePlan | None, ProbeOutlook | None, str],
    width: int,
) -> Content:
    """Preset, tasks, how many questions, how long, what will not do."""
    preset, changes = chosen
    plan, outlook, problem = found
    first = preset_words(preset) if changes is None else f"{preset}, changed: {change_words(changes)}"
    names = f"tasks  {', '.join(tasks) or 'none: a chooses some'}"
    lines = [Content.styled(shorten(first, width), "$text-muted"), Content(shorten(one_line(names), width))]
    if problem:
        lines.append(Content.styled(f"There is no such probe: {one_line(problem)}.", "$text-error"))
    elif plan is None:
        lines.append(Content.styled("what it will take is being worked out …" if tasks else "", "$text-muted"))
    else:
        counts = " · ".join(_counts(plan, outlook))
        basis = f"  {one_line(outlook.basis)}" if outlook else ""
        lines.append(Content.assemble(counts, (basis if len(counts) + len(basis) <= width else "", "$text-muted")))
    lines += [Content.styled(line, "$text-warning") for line in _warnings(outlook)]
    return Content("\n").join(lines)


def _counts(plan: ProbePlan, outlook: ProbeOutlook | None) -> Iterator[str]:
    yield f"{counted(len(plan.models), 'model')} × {counted(len(plan.tasks), 'task')}"
    if outlook is None:
        yield counted(sum(plan.asked(cell) for cell in plan.cells), "question")
        return
    yield f"{outlook.questions:,} questions"
    yield f"{outlook.work.prompt_tokens:,} tokens"
    yield f"about {rough(outlook.seconds)}" if outlook.seconds is not None else "time not known yet"


def _warnings(outlook: ProbeOutlook | None) -> Iterator[str]:
    if outlook is None:
        return
    for each in outlook.models:
        name = one_line(each.model.name)
        if each.failure is not None:
            yield f"{name} cannot be asked: {one_line(each.failure)}"
        if each.no_room is not None:
            room = each.no_room
            yield f"{name} will not fit: it needs {memory(room.needed_bytes)}, {memory(room.available_bytes)} are free"
        if each.too_long:
            yield f"{name}: {counted(len(each.too_long), 'cell')} may be longer than what it was trained with"
    yield from outlook.notices


def progress_of(probing: Probing) -> Progress:
    """How far a running probe is."""
    asking = probing.asking
    running = probing.loading or (f"{one_line(asking.model.name)} · {asking.label}" if asking else "")
    return Progress(
        done=probing.done,
        total=probing.total,
        variants=progress_words(probing),
        signs=tuple(_SIGNS[state.word] for state in probing.states.values()),
        running=running,
    )
