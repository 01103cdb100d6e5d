"""llama-cpp-python's high-level API in a process of its own: scores each option alone.

python benchmarks/peers/scoring.py MODEL --threads N --context N --micro-batch N

Reads one question a line, {"prompt": text, "options": [text …]}, evaluates the prompt with each option from the
beginning (`Llama.reset`, `Llama.eval`, `Llama.logits_to_logprobs`; an option's first token follows the prompt's own
tokens), and says {"logprobs": […], "seconds": time}.
"""

from __future__ import annotations

import argparse
import json
import sys
import time


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    for name in ("threads", "context", "micro-batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    import numpy as np
    from llama_cpp import Llama

    llama = Llama(
        options.model,
        n_ctx=options.context,
        n_threads=options.threads,
        n_threads_batch=options.threads,
        n_batch=options.micro_batch,
        n_ubatch=options.micro_batch,
        logits_all=True,
        verbose=False,
    )
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        logprobs = []
        before = len(llama.tokenize(question["prompt"].encode()))
        for option in question["options"]:
            tokens = llama.tokenize((question["prompt"] + option).encode())
            llama.reset()
            llama.eval(tokens[:-1])
            rows = Llama.logits_to_logprobs(llama.scores[before - 1 : len(tokens) - 1])
            logprobs.append(float(rows[np.arange(len(rows)), tokens[before:]].sum()))
        print(json.dumps({"logprobs": logprobs, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
