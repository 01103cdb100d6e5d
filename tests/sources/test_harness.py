from __future__ import annotations

import json
from pathlib import Path

import pytest

from slmtui.sources.harness import HarnessError, read_scores

MOMENT = "2026-01-31T12-34-56.789012"
RESULTS = (
    '{"results": {"my_task": {"acc,none": 0.5, "ppl,none": NaN}}, "model_name": "acme/tiny", "n-shot": {"my_task": 2}}'
)


def samples(*right: float) -> str:
    lines = [
        {"doc_id": number, "filter": "none", "metrics": ["acc"], "acc": value} for number, value in enumerate(right)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_results_are_read_with_the_nan_that_the_harness_writes(tmp_path: Path) -> None:
    path = tmp_path / f"results_{MOMENT}.json"
    path.write_text(RESULTS)
    (score,) = read_scores(path)
    assert (score.model, score.task, score.shots, score.metric, score.value) == ("acme/tiny", "my_task", 2, "acc", 0.5)


def test_samples_take_task_and_model_from_names_and_from_the_results_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "acme__tiny"
    folder.mkdir()
    path = folder / f"samples_my_task_{MOMENT}.jsonl"
    path.write_text(samples(1.0, 0.0))
    (score,) = read_scores(path)
    assert (score.model, score.task, score.value, score.n) == ("acme__tiny", "my_task", 0.5, 2)
    (folder / f"results_{MOMENT}.json").write_text(RESULTS)
    assert read_scores(path)[0].model == "acme/tiny"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", "{\n", "results.json: line 2: it is no JSON ("),
        ("results.json", "[" * 100_000, "nested too deeply"),
        ("results.json", "[]", "it has no `results`"),
        ("my.jsonl", samples(1.0), "its name is not samples_TASK_TIME.jsonl"),
        (f"samples_t_{MOMENT}.jsonl", samples(1.0) + "[]\n", "line 2: it is not an object"),
        (f"samples_t_{MOMENT}.jsonl", samples(1.0) + "{\n", "line 2: it is no JSON"),
        (f"samples_t_{MOMENT}.jsonl", "\n", "no line has a metric"),
    ],
)
def test_what_can_t_be_read_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(HarnessError) as caught:
        read_scores(path)
    assert str(caught.value).startswith(f"can't read {path}: ")
    assert message in str(caught.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="there is no such file"):
        read_scores(tmp_path / "results.json")
