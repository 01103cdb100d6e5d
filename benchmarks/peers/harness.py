"""lm-evaluation-harness in an environment of its own: scores multiple choices with a model in Hugging Face's form.

python benchmarks/peers/harness.py MODEL_FOLDER QUESTIONS.jsonl

Each line of the questions is {"prompt": text, "options": [text …], "target": place of the right one}. The options
follow the prompt after one blank. Prints a line for each question, in their order: RESULT {"logprobs": […],
"greedy": […], "right": 0 or 1}, as the harness's own evaluation of a multiple-choice task has them.
"""

from __future__ import annotations

import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", LOGLEVEL="ERROR")


def main() -> None:
    """Evaluate and print."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    folder, questions = sys.argv[1:]
    task = ConfigurableTask(
        config={
            "task": "probe",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": questions}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "{{options}}",
            "doc_to_target": "{{target}}",
            "target_delimiter": " ",
            "num_fewshot": 0,
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    )
    model = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=1, add_bos_token=True)
    found = evaluate(lm=model, task_dict={"probe": task}, log_samples=True, bootstrap_iters=0)
    for sample in sorted(found["samples"]["probe"], key=lambda sample: sample["doc_id"]):
        scored = [response[0] for response in sample["resps"]]
        logprobs, greedy = zip(*scored, strict=True)
        line = {"logprobs": list(map(float, logprobs)), "greedy": list(map(bool, greedy)), "right": int(sample["acc"])}
        print("RESULT " + json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
