"""Answers of probes as a file: CSV, JSON, Parquet, Markdown; one row a question, with the exact prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec

from slmtui.core import provenance, text
from slmtui.core.measurement import Session
from slmtui.core.probe import LABELS, SCORERS, STYLES, Answer, ProbeBatch
from slmtui.core.probe_results import cell_scores, levels
from slmtui.core.probe_rows import COLUMNS, answer_rows
from slmtui.core.probe_table import level_rows, sentences
from slmtui.core.text import one_line
from slmtui.lab.export import FORMATS, JSON_VERSION, ExportError, encoded, framed, place
from slmtui.lab.report import escaped

_SHOWN = 60
"""Characters of a target or an answer in a Markdown table."""


def export_answers(session: Session, batches: Sequence[ProbeBatch], file_format: str, path: Path | str) -> Path:
    """Write all answers of a session in one of `FORMATS` and return the file's path.

    `path` is the file, or a folder that gets `slmtui-<session id>-answers.<format>`.

    Raises:
        ExportError: the format is unknown, there is nothing to export, or the file can't be written.
    """
    if file_format not in FORMATS:
        raise ExportError(f"there is no export format {one_line(file_format)}; choose one of {', '.join(FORMATS)}")
    if not batches:
        raise ExportError(f"session {session.id} holds no answer of a probe; `slmtui probe MODEL` asks some questions")
    match file_format:
        case "json":
            content = _json(session, batches)
        case "md":
            content = answers_markdown(session, batches).encode()
        case _:
            table = framed(answer_rows(batches, session.environment), COLUMNS)
            content = encoded(table, cast("Literal['csv', 'parquet']", file_format))
    return place(path, f"slmtui-{session.id}-answers.{file_format}", content)


def answers_markdown(session: Session, batches: Sequence[ProbeBatch]) -> str:
    """Accuracy of each level, what that shows, how it was asked, and every answer."""
    found = levels(cell_scores(batches))
    parts = [
        f"# slmtui probe {escaped(text.one_line(session.name) or session.id)}",
        _list(
            [("Session", session.id), ("Started", session.started_at), *provenance.surroundings(session.environment)]
        ),
        "## Accuracy",
        "The interval is over questions, for these seeds; *between seeds* is the standard deviation of their shares.",
        _table([{name: escaped(value) for name, value in row.items()} for row in level_rows(found)]),
        "\n".join(f"- {escaped(sentence)}" for sentence in sentences(found)),
        "## How it was asked",
        _list([*_asked(batches), *provenance.circumstances([batch.measurement for batch in batches])]),
        "## Answers",
        "Exports as CSV, JSON and Parquet hold each prompt, and each option with its log-probability.",
        _table([_answer(batch, answer) for batch in batches for answer in batch.answers]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _json(session: Session, batches: Sequence[ProbeBatch]) -> bytes:
    document = {
        "slmtui_export": JSON_VERSION,
        "session": session,
        "answers": answer_rows(batches, session.environment),
        "batches": batches,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _asked(batches: Sequence[ProbeBatch]) -> list[tuple[str, str]]:
    return [
        ("Prompts", " / ".join(dict.fromkeys(STYLES[batch.style] for batch in batches))),
        ("Chosen by", " / ".join(dict.fromkeys(SCORERS[batch.scorer] for batch in batches))),
        ("Calibrated", "yes" if any(batch.calibration for batch in batches) else "no"),
        ("Examples", " / ".join(dict.fromkeys(LABELS[batch.labels] for batch in batches))),
        ("Tasks", " / ".join(dict.fromkeys(f"{batch.task} (SHA-256 {batch.task_sha256})" for batch in batches))),
    ]


def _answer(batch: ProbeBatch, answer: Answer) -> dict[str, str]:
    return {
        "model": escaped(batch.measurement.name),
        "task": batch.task,
        "shots": str(batch.shots),
        "seed": str(batch.seed),
        "labels": batch.labels,
        "question": str(answer.question),
        "target": escaped(text.shorten(one_line(answer.target), _SHOWN)),
        "answer": escaped(text.shorten(one_line(answer.answer), _SHOWN)),
        "right": "yes" if answer.right else "no",
    }


def _list(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {label}: {escaped(value)}" for label, value in facts)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    import pandas as pd

    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
