"""llama-cpp-python's high-level streaming API in a process of its own.

python benchmarks/peers/streaming.py MODEL --threads N …

Reads one request a line, {"prompt": text or token ids, "answer": tokens, "before": tokens of the prompt to evaluate
uncounted}, answers it with `Llama.create_completion(stream=True)`, and says when: {"prompt_tokens": counted ones,
"prefill_s": time of `Llama.eval` inside the streaming call, "at_s": time of each piece since the request}.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    for name in ("threads", "context", "batch", "micro-batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--flash-attention", choices=("on", "off"), required=True)
    options = parser.parse_args()
    import llama_cpp

    # All sides must write answers of one length; the high-level API has no switch for it.
    llama_cpp.llama_cpp.llama_token_is_eog = lambda *_: False
    llama_cpp.llama_cpp.llama_vocab_is_eog = lambda *_: False
    llama = llama_cpp.Llama(
        options.model,
        n_ctx=options.context,
        n_threads=options.threads,
        n_threads_batch=options.threads,
        n_batch=options.batch,
        n_ubatch=options.micro_batch,
        flash_attn=options.flash_attention == "on",
        verbose=False,
    )
    evaluations: list[float] = []
    evaluate = llama.eval

    def timed(tokens: Sequence[int]) -> None:
        started = time.perf_counter()
        evaluate(tokens)
        evaluations.append(time.perf_counter() - started)

    llama.eval = timed
    for line in sys.stdin:
        request = json.loads(line)
        prompt, before = request["prompt"], request["before"]
        llama.reset()
        if before:
            evaluate(prompt[:before])
        evaluations.clear()
        started = time.perf_counter()
        stream = llama.create_completion(
            prompt, max_tokens=request["answer"], temperature=0, repeat_penalty=1.0, stream=True
        )
        at = [time.perf_counter() - started for _ in stream]
        tokens = len(prompt if isinstance(prompt, list) else llama.tokenize(prompt.encode()))
        said = {"prompt_tokens": tokens - before, "prefill_s": evaluations[0], "at_s": at[: request["answer"]]}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
