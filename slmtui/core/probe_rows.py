"""Answers of probes as rows of a table: one row a question, with the exact prompt and what it was asked with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from slmtui.core import rows
from slmtui.core.measurement import Environment
from slmtui.core.probe import Answer, ProbeBatch
from slmtui.core.probe_choice import probabilities
from slmtui.core.rows import ColumnType

PROVENANCE = (
    "model", "model_name", "demo", "model_filename", "file_sha256", "quantization", "model_n_params", "engine",
    "engine_build", "n_threads", "n_ctx", "type_k", "type_v", "flash_attn", "device", "n_gpu_layers_used",
    "template_sha256", "slmtui_version", "system", "cpu_info", "gpu_info",
)  # fmt: skip
"""Columns that a benchmark's rows have, too."""

_Read: TypeAlias = Callable[[ProbeBatch, Answer], Any]

_OWN: dict[str, tuple[ColumnType, _Read]] = {
    "session": ("text", lambda b, a: b.measurement.session),
    "plan": ("text", lambda b, a: b.measurement.plan),
    "preset": ("text", lambda b, a: b.measurement.preset),
    "measured_at": ("text", lambda b, a: b.measurement.measured_at),
    "task": ("text", lambda b, a: b.task),
    "task_sha256": ("text", lambda b, a: b.task_sha256),
    "shots": ("whole", lambda b, a: b.shots),
    "examples_seed": ("whole", lambda b, a: b.seed),
    "labels": ("text", lambda b, a: b.labels),
    "style": ("text", lambda b, a: b.style),
    "scorer": ("text", lambda b, a: b.scorer),
    "question": ("whole", lambda b, a: a.question),
    "target": ("text", lambda b, a: a.target),
    "answer": ("text", lambda b, a: a.answer),
    "right": ("flag", lambda b, a: a.right),
    "options": ("text", lambda b, a: _listed(a.options)),
    "logprobs": ("text", lambda b, a: _listed([score.logprob for score in a.scores])),
    "probabilities": ("text", lambda b, a: _listed([round(one, 6) for one in probabilities(a.scores)])),
    "option_tokens": ("text", lambda b, a: _listed([score.tokens for score in a.scores])),
    "option_bytes": ("text", lambda b, a: _listed([score.bytes for score in a.scores])),
    "greedy": ("text", lambda b, a: _listed([score.greedy for score in a.scores])),
    "examples": ("text", lambda b, a: _listed(a.examples)),
    "prompt": ("text", lambda b, a: b.prompt(a)),
    "prompt_tokens": ("whole", lambda b, a: a.prompt_tokens),
    "written_tokens": ("whole", lambda b, a: a.written_tokens if not a.options else None),
    "batch": ("whole", lambda b, a: b.measurement.repetition),
    "batch_questions": ("whole", lambda b, a: len(b.answers)),
    "batch_prompt_tokens": ("whole", lambda b, a: b.measurement.timing.prompt_tokens),
    "batch_s": ("real", lambda b, a: b.measurement.wall_s),
    "batch_prefill_tps": ("real", lambda b, a: b.measurement.timing.prefill_tps),
    "batch_decode_tps": ("real", lambda b, a: b.measurement.timing.decode_tps),
}

COLUMNS: dict[str, ColumnType] = {
    **{name: kind for name, (kind, _) in _OWN.items()},
    **{column.name: column.type for column in rows.COLUMNS if column.name in PROVENANCE},
}
"""Name and type of each column; lists are JSON."""


def answer_rows(batches: Iterable[ProbeBatch], environment: Environment | None = None) -> list[dict[str, Any]]:
    """One flat row a question; without an environment the machine's columns are None."""
    found = []
    for batch in batches:
        every = rows.row(batch.measurement, environment)
        shared = {name: every[name] for name in COLUMNS if name in PROVENANCE}
        found += [{**{name: read(batch, one) for name, (_, read) in _OWN.items()}, **shared} for one in batch.answers]
    return found


def _listed(values: Sequence[object]) -> str | None:
    return json.dumps(values, ensure_ascii=False) if values else None
