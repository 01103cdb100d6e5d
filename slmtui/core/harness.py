"""Results of EleutherAI's lm-evaluation-harness (0.4 and later) as values to show beside ours.

Two files of a run are read: `results_*.json`, with one entry a task and metric, and `samples_*.jsonl`, with one line
a question, whose metrics are averaged here.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from slmtui.core.foreign import ForeignError
from slmtui.core.text import one_line

_NOT_METRICS = {"doc_id", "sample_len"}


class HarnessScore(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one model on one task, as the harness computed it."""

    model: str
    task: str
    shots: int | None
    metric: str
    """Such as acc, acc_norm or exact_match."""
    filter: str
    """What was done to answers before they were scored; `none` is nothing."""
    value: float
    stderr: float | None
    """Standard error of `value`."""
    n: int | None
    """Questions that were asked."""
    program: str
    """The harness with its version, where it says it."""


def from_results(document: object) -> tuple[HarnessScore, ...]:
    """Every score of a `results_*.json`, in its order; metrics that are no number are left out.

    Raises:
        ForeignError: it is something else, or no score is in it.
    """
    results = document.get("results") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(results, Mapping):
        raise ForeignError("it has no `results`, so it is not a results_*.json of lm-evaluation-harness")
    version = document.get("lm_eval_version")
    program = f"lm-evaluation-harness {one_line(str(version))}" if version else "lm-evaluation-harness"
    scores = []
    for task, metrics in results.items():
        if not isinstance(metrics, Mapping):
            raise ForeignError(f"results of {one_line(str(task))} are not an object")
        for metric, chosen, value, stderr in _metrics(metrics):
            scores.append(
                HarnessScore(
                    model=_model(document),
                    task=one_line(str(task)),
                    shots=_whole(_within(document, "n-shot", task)),
                    metric=metric,
                    filter=chosen,
                    value=value,
                    stderr=stderr,
                    n=_whole(_within(document, "n-samples", task, "effective")) or _whole(metrics.get("sample_len")),
                    program=program,
                )
            )
    if not scores:
        raise ForeignError("it holds no score; the run may have failed before its first task ended")
    return tuple(scores)


def from_samples(samples: Sequence[Mapping[str, Any]], task: str, model: str) -> tuple[HarnessScore, ...]:
    """The means of a `samples_*.jsonl`, whose lines name neither model nor task.

    Raises:
        ForeignError: no line has a metric that is a number.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples:
        for metric in _sample_metrics(sample):
            values[metric, one_line(str(sample.get("filter", "none")))].append(float(sample[metric]))
    if not values:
        raise ForeignError("no line has a metric, so it is not a samples_*.jsonl of lm-evaluation-harness")
    return tuple(
        HarnessScore(
            model=model,
            task=task,
            shots=None,
            metric=one_line(metric),
            filter=chosen,
            value=statistics.fmean(found),
            stderr=statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else None,
            n=len(found),
            program="lm-evaluation-harness",
        )
        for (metric, chosen), found in values.items()
    )


def _metrics(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float | None]]:
    for key, value in metrics.items():
        metric, comma, chosen = str(key).partition(",")
        if comma and not metric.endswith("_stderr") and _is_number(value):
            stderr = metrics.get(f"{metric}_stderr,{chosen}")
            yield one_line(metric), one_line(chosen), float(value), float(stderr) if _is_number(stderr) else None


def _sample_metrics(sample: Mapping[str, Any]) -> Iterator[str]:
    named = sample.get("metrics")
    names = named if isinstance(named, list) else [name for name in sample if name not in _NOT_METRICS]
    return (name for name in names if isinstance(name, str) and _is_number(sample.get(name)))


def _model(document: Mapping[str, Any]) -> str:
    name = document.get("model_name")
    if not name:
        config = document.get("config")
        name = config.get("model") if isinstance(config, Mapping) else None
    return one_line(str(name or "")) or "unknown model"


def _within(document: Mapping[str, Any], *path: str) -> object:
    value: object = document
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
