"""`slmtui tasks`: the tasks that models can be probed with, and checking and beginning tasks of your own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from slmtui.cli import DONE, FAILED
from slmtui.cli.terminal import UsageError, guarded, print_json, print_table, say, show
from slmtui.core.task import Task, TaskError
from slmtui.core.task_checks import notes
from slmtui.core.text import NOT_MEASURED, clean, counted, one_line, share
from slmtui.sources.harness import read_scores
from slmtui.sources.task_files import starter, write_task
from slmtui.sources.tasks import find_task, read_task, shipped_tasks

_SHOTS = 2
"""Shots that `slmtui tasks TASK` shows."""


def tasks(options: argparse.Namespace) -> int:
    """List the tasks that come with slmtui, or show one."""
    return guarded(lambda: _list(options) if options.task is None else _show(options))


def check(options: argparse.Namespace) -> int:
    """Check a task's file, line by line; 1 when something is wrong."""
    try:
        task = read_task(Path(options.file))
    except TaskError as error:
        if options.json:
            print_json({"file": options.file, "sound": False, "faults": error.faults, "notes": []})
        for fault in error.faults:
            say(f"{error.source}: {fault}")
        return FAILED
    remarks = [*_assumed(Path(options.file)), *notes(task)]
    if options.json:
        return print_json({"file": options.file, "sound": True, "faults": [], "notes": remarks, **_summary(task)})
    show(f"{one_line(options.file)}: {counted(len(task.items), 'item')}, {_kind(task)}; nothing is wrong")
    for remark in remarks:
        show(f"note: {remark}")
    return DONE


def new(options: argparse.Namespace) -> int:
    """Write a task to fill in."""

    def run() -> int:
        labels = [label.strip() for label in (options.labels or "").split(",") if label.strip()]
        if options.labels is not None and len(labels) < 2:
            raise UsageError("--labels needs at least two, with commas between them: --labels yes,no")
        head, items = write_task(Path(options.path), *starter(Path(options.path).stem, labels))
        if options.json:
            return print_json({"head": str(head), "items": str(items)})
        show(f"{head}\n{items}")
        say(f"Fill both in, then run `slmtui tasks check {one_line(str(items))}`.")
        return DONE

    return guarded(run)


def scores(options: argparse.Namespace) -> int:
    """Show what lm-evaluation-harness measured."""

    def run() -> int:
        found = [score for file in options.files for score in read_scores(Path(file))]
        if options.json:
            return print_json(msgspec.to_builtins(found))
        print_table(
            [
                {
                    "model": score.model,
                    "task": score.task,
                    "shots": NOT_MEASURED if score.shots is None else str(score.shots),
                    "metric": score.metric if score.filter == "none" else f"{score.metric} ({score.filter})",
                    "value": f"{score.value:.4g}",
                    "± stderr": NOT_MEASURED if score.stderr is None else f"{score.stderr:.2g}",
                    "n": NOT_MEASURED if score.n is None else f"{score.n:,}",
                }
                for score in found
            ]
        )
        return DONE

    return guarded(run)


def _list(options: argparse.Namespace) -> int:
    found = shipped_tasks()
    if options.json:
        return print_json([_summary(task) for task in found])
    print_table(
        [
            {
                "task": task.id,
                "name": task.name,
                "kind": task.kind,
                "items": str(len(task.items)),
                "chance": share(task.chance_frac),
                "language": task.language,
                "licence": task.licence or NOT_MEASURED,
            }
            for task in found
        ]
    )
    say("`slmtui tasks TASK` shows examples, `slmtui tasks new my.jsonl` begins a task of your own.")
    return DONE


def _show(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    if options.json:
        return print_json({**msgspec.to_builtins(task), **_summary(task)})
    for label, value in _facts(task):
        show(f"{label:<9} {one_line(value)}")
    *shots, item = task.items[: _SHOTS + 1]
    show(f"\nWith {counted(len(shots), 'shot')} a model reads:\n\n{clean(task.text(item, shots))}")
    show(f"\nand should go on with: {one_line(item.target)}")
    return DONE


def _facts(task: Task) -> list[tuple[str, str]]:
    categories = sorted({item.category for item in task.items if item.category})
    return [
        ("task", f"{task.id}: {task.name}"),
        ("", task.description),
        ("kind", _kind(task)),
        ("items", str(len(task.items)) + (f": {', '.join(categories)}" if categories else "")),
        ("language", task.language),
        ("licence", f"{task.licence or NOT_MEASURED}, {task.origin or 'origin unknown'}"),
    ]


def _kind(task: Task) -> str:
    if task.kind == "open":
        how = {"number": "as numbers", "json": "as JSON", "text": "as text"}[task.compare]
        return f"open answers, compared {how}"
    among = f"between {', '.join(task.labels)}" if task.labels else "between options of each item"
    return f"choice {one_line(among)}, chance {share(task.chance_frac)}"


def _assumed(file: Path) -> list[str]:
    if file.with_suffix(".toml").exists():
        return []
    return [f"there is no {one_line(file.with_suffix('.toml').name)} beside it, so its kind is told from its items"]


def _summary(task: Task) -> dict[str, Any]:
    head = {key: value for key, value in msgspec.to_builtins(task).items() if key != "items"}
    return {**head, "number_of_items": len(task.items), "chance_frac": task.chance_frac}
