from __future__ import annotations

import math
from typing import Any

import pytest

from slmtui.core.foreign import ForeignError
from slmtui.core.harness import from_results, from_samples

RESULTS: dict[str, Any] = {
    "results": {
        "arc_easy": {
            "alias": "arc_easy",
            "sample_len": 2376,
            "acc,none": 0.62,
            "acc_stderr,none": 0.00996,
            "acc_norm,none": 0.58,
            "acc_norm_stderr,none": "N/A",
        },
        "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.0433},
        "broken": {"alias": "broken", "word_perplexity,none": math.nan, "note,none": "text"},
    },
    "n-shot": {"arc_easy": 5, "gsm8k": 8},
    "n-samples": {"arc_easy": {"original": 2376, "effective": 100}},
    "config": {"model": "hf", "model_args": "pretrained=acme/tiny"},
    "model_name": "acme/\x1b[31mtiny",
    "lm_eval_version": "0.4.13",
}


def test_results_become_one_score_a_metric() -> None:
    first, second, third = from_results(RESULTS)
    assert (first.model, first.task, first.shots, first.metric, first.filter) == (
        "acme/tiny", "arc_easy", 5, "acc", "none",
    )  # fmt: skip
    assert (first.value, first.stderr, first.n) == (0.62, 0.00996, 100)
    assert first.program == "lm-evaluation-harness 0.4.13"
    assert (second.metric, second.value, second.stderr) == ("acc_norm", 0.58, None)
    assert (third.task, third.metric, third.filter) == ("gsm8k", "exact_match", "strict-match")
    assert (third.shots, third.n) == (8, None)


def test_what_the_harness_leaves_out_is_none() -> None:
    (score,) = from_results({"results": {"t": {"acc,none": 1, "sample_len": 7}}, "config": {"model": "gguf"}})
    assert (score.model, score.shots, score.stderr, score.n) == ("gguf", None, None, 7)
    assert score.program == "lm-evaluation-harness"
    (score,) = from_results({"results": {"t": {"acc,none": 1}}, "n-shot": {"t": " "}})
    assert (score.model, score.shots) == ("unknown model", None)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "it has no `results`"),
        ({"results": [1]}, "it has no `results`"),
        ({"results": {"t": 1}}, "results of t are not an object"),
        ({"results": {}}, "it holds no score"),
        ({"results": {"t": {"acc": 0.5}}}, "it holds no score"),
    ],
)
def test_what_is_no_result_is_refused(document: object, message: str) -> None:
    with pytest.raises(ForeignError, match=message):
        from_results(document)


def test_samples_are_averaged_for_each_metric_and_filter() -> None:
    samples = [
        {"doc_id": number, "filter": chosen, "metrics": ["acc", "f1"], "acc": right, "f1": [1, 0], "sample_len": 3}
        for chosen, answers in (("none", (1.0, 0.0, 1.0, 1.0)), ("strict", (0.0, 0.0, 0.0, 1.0)))
        for number, right in enumerate(answers)
    ]
    loose, strict = from_samples(samples, "t", "m")
    assert (loose.metric, loose.filter, loose.value, loose.n) == ("acc", "none", 0.75, 4)
    assert loose.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert (strict.filter, strict.value) == ("strict", 0.25)
    (old,) = from_samples([{"doc_id": 0, "doc": {}, "exact_match": True}], "t", "m")
    assert (old.metric, old.value, old.stderr, old.n) == ("exact_match", 1.0, None, 1)
    with pytest.raises(ForeignError, match="no line has a metric"):
        from_samples([{"doc_id": 0}], "t", "m")
