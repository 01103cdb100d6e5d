"""Files of lm-evaluation-harness: `results_*.json` and `samples_*.jsonl`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from slmtui.core.foreign import ForeignError
from slmtui.core.harness import HarnessScore, from_results, from_samples
from slmtui.core.text import one_line
from slmtui.sources.textfile import TextFileError, decoded, read_bytes

LARGEST_BYTES = 500_000_000
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<moment>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")


class HarnessError(ValueError):
    """A file of lm-evaluation-harness can't be read; the message names it and says why."""


def read_scores(path: Path) -> tuple[HarnessScore, ...]:
    """The scores of a `results_*.json`, or the means of a `samples_*.jsonl`.

    Lines of samples name neither model nor task: the task is taken from the file's name, the model from the results
    of the same run beside it, or else from the folder, which the harness names after the model.

    Raises:
        HarnessError: the file can't be read, or it is something else.
    """
    try:
        text = decoded(read_bytes(path, LARGEST_BYTES))
        return _from_samples(path, text) if path.suffix.lower() == ".jsonl" else from_results(_document(text))
    except (ForeignError, TextFileError) as error:
        raise HarnessError(f"can't read {one_line(str(path))}: {error}") from error


def _from_samples(path: Path, text: str) -> tuple[HarnessScore, ...]:
    named = _SAMPLES.fullmatch(path.name)
    if named is None:
        raise ForeignError("its name is not samples_TASK_TIME.jsonl, so the task is not known; give it back its name")
    samples = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            sample = _document(line, number)
            if not isinstance(sample, dict):
                raise ForeignError(f"line {number}: it is not an object")
            samples.append(sample)
    return from_samples(samples, one_line(named["task"]), _model_beside(path, named["moment"]))


def _model_beside(path: Path, moment: str) -> str:
    results = path.with_name(f"results_{moment}.json")
    if results.is_file():
        return read_scores(results)[0].model
    return one_line(path.absolute().parent.name)


def _document(text: str, line: int | None = None) -> object:
    # Not core.foreign.document: the harness writes NaN where a metric is none, which strict JSON does not have.
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ForeignError(f"line {line or error.lineno}: it is no JSON ({error.msg})") from error
    except RecursionError as error:
        raise ForeignError("its lists are nested too deeply") from error
