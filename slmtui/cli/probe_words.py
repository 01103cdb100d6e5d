"""What `slmtui probe` says about plans and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from slmtui.cli.terminal import print_table, show
from slmtui.core import probe_words, text
from slmtui.core.probe import KeptProbe, ProbePlan
from slmtui.core.probe_results import Compared, Level, gains_from_shots
from slmtui.core.probe_table import level_rows, sentences
from slmtui.lab import probe


def outlook_lines(plan: ProbePlan, seen: probe.ProbeOutlook) -> list[str]:
    """A plan in full: how much it asks of each model, how long that takes, what will not work."""
    size = f"{plan.preset}: {text.counted(seen.cells, 'cell')}, {text.counted(seen.questions, 'question')}"
    lines = [f"{size}, {_tokens(seen.work.prompt_tokens, seen.work.written_tokens)}", f"expected: {_time(seen)}"]
    for each in seen.models:
        lines += [f"  {text.one_line(each.model.name)}: {words}" for words in _model_lines(each)]
    return [*lines, *seen.notices]


def outlook_line(plan: ProbePlan, seen: probe.ProbeOutlook) -> str:
    """A plan in one line."""
    cells, questions = text.counted(seen.cells, "cell"), text.counted(seen.questions, "question")
    return f"{plan.preset}: {cells}, {questions}, {_time(seen)}"


def plan_line(kept: KeptProbe) -> str:
    """An unfinished probe: `7f3a9c12  2026-11-21 09:10 UTC  standard  300 of 1,300 answers  sentiment  Pocket 5M`."""
    plan = kept.plan
    begun = plan.created_at[:16].replace("T", " ")
    about = (", ".join(task.id for task in plan.tasks), ", ".join(model.name for model in plan.models))
    tasks, models = (text.shorten(text.one_line(words), 40) for words in about)
    return (
        f"  {plan.id}  {begun} UTC  {plan.preset}  {kept.answered:,} of {text.counted(kept.total, 'answer')}"
        f"  {tasks}  {models}"
    )


def step_words(event: probe.ModelLoading | probe.CellAsking, left_s: float | None) -> str:
    """What goes on now, and how long the plan will take."""
    match event:
        case probe.ModelLoading(model=model, fraction=fraction):
            step = f"{model.name}: loading {text.share(fraction)}"
        case probe.CellAsking(cell=cell, done=done, of=of):
            step = f"{cell.model.name} · {cell.label}: {done} of {of} questions"
    return step if left_s is None else f"{step} · {text.duration(left_s)} left"


def print_levels(levels: Sequence[Level]) -> None:
    """The table of levels, and below it what they show."""
    print_table(level_rows(levels))
    for sentence in sentences(levels):
        show(sentence)


def document(plan: ProbePlan, levels: Sequence[Level]) -> dict[str, Any]:
    """Everything that a probe found, but for the single answers."""
    return {
        "plan": plan.id,
        "preset": plan.preset,
        "style": plan.style,
        "scorer": plan.scorer,
        "calibrated": plan.calibrated,
        "exact": plan.exact,
        "levels": [_level(level) for level in levels],
        "gains": [_gain(one) for one in gains_from_shots(levels)],
        "sentences": sentences(levels),
    }


def outlook_document(plan: ProbePlan, seen: probe.ProbeOutlook) -> dict[str, Any]:
    """What a plan will take."""
    return {
        "preset": plan.preset,
        "cells": [{"cell": cell.key, "model": cell.model.id, "label": cell.label} for cell in plan.cells],
        "questions": seen.questions,
        "prompt_tokens": seen.work.prompt_tokens,
        "written_tokens": seen.work.written_tokens,
        "seconds": seen.seconds,
        "basis": seen.basis,
        "too_long": [cell.key for each in seen.models for cell in each.too_long],
        "cannot_open": [each.model.id for each in seen.models if each.failure is not None],
        "will_not_fit": [
            {
                "model": each.model.id,
                "needed_bytes": each.no_room.needed_bytes,
                "available_bytes": each.no_room.available_bytes,
            }
            for each in seen.models
            if each.no_room is not None
        ],
        "notices": list(seen.notices),
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "model": level.model,
        "name": level.name,
        "task": level.task,
        "shots": level.shots,
        "labels": level.labels,
        "accuracy": msgspec.to_builtins(level.accuracy),
        "by_seed": {str(seed): share for seed, share in level.by_seed.items()},
        "between_seeds": level.spread,
        "chance_frac": level.chance_frac,
        "prompt_tokens": sum(cell.prompt_tokens for cell in level.cells),
        "written_tokens": sum(cell.written_tokens for cell in level.cells),
        "seconds": sum(cell.seconds for cell in level.cells),
        "prefill_tps": [cell.prefill_tps for cell in level.cells],
    }


def _gain(one: Compared) -> dict[str, Any]:
    return {
        "model": one.after.model,
        "task": one.after.task,
        "labels": one.after.labels,
        "from_shots": one.before.shots,
        "to_shots": one.after.shots,
        **msgspec.to_builtins(one.gain),
        "p_holm": one.p_holm,
        "shown": one.shown,
        "sentence": probe_words.learning(one),
    }


def _model_lines(each: probe.ModelOutlook) -> list[str]:
    if each.failure is not None or each.work is None:
        return [f"cannot be opened: {text.one_line(each.failure or '')}"]
    took = text.NOT_MEASURED if each.seconds is None else f"about {text.duration(each.seconds)}"
    cells, tokens = text.counted(each.cells, "cell"), _tokens(each.work.prompt_tokens, each.work.written_tokens)
    lines = [f"{cells}, {tokens}, {took}"]
    if each.no_room is not None:
        needed, free = text.memory(each.no_room.needed_bytes), text.memory(each.no_room.available_bytes)
        lines.append(f"will not fit: it needs {needed} and {free} is free")
    if each.too_long:
        lines.append(f"longer than the texts that it was trained with: {text.counted(len(each.too_long), 'cell')}")
    return lines


def _tokens(prompt: int, written: int) -> str:
    return f"about {prompt:,} tokens to read" + (f" and {written:,} to write" if written else "")


def _time(seen: probe.ProbeOutlook) -> str:
    return f"time {seen.basis}" if seen.seconds is None else f"about {text.duration(seen.seconds)} ({seen.basis})"
