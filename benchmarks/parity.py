"""Speed of slmtui's worker against llama-cpp-python's high-level streaming API, on the same files, interleaved.

python benchmarks/parity.py [--rounds N] [--long-rounds N] [--answer N] [MODEL.gguf ...]

Both run in processes of their own with the same threads, context, batch size, KV types and no flash attention, and get
the same greedy request in turn: a fresh prompt of about 300 tokens and an answer of a fixed length (end-of-generation
tokens are ignored). Each process reads its own clock. Prefill is prompt tokens by the time of their evaluation alone
(the peer's `Llama.eval` inside the streaming call); "first token" is prompt tokens by time to first token, with
tokenizing, sampling and the way to text on both sides; decode is steps by the time between first and last token; "last
quarter" is decode over the last quarter of the answer, where an API that reads its whole answer again for each token
falls behind. Prefill and first token come from many short answers, decode from long ones. Prints medians and the median
of the rounds' ratios slmtui / llama-cpp-python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROMPT_WORDS = 200
SHORT_ANSWER = 16
PAUSE_S = 0.1
"""Between answers: until then the other side's OpenMP threads may still spin at a barrier."""
WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "tree",
    "sun",
    "model",
    "token",
    "cache",
    "small",
    "red",
    "big",
    "and",
    "with",
    "in",
    "on",
    "of",
    "to",
    "runs",
    "sees",
    "likes",
]


class Speeds(NamedTuple):
    """Tokens per second of one answer."""

    prefill: float
    first_token: float
    decode: float
    last_quarter: float


def main() -> None:
    """Measure and print; with `--peer` serve as the peer's process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="default: the bundled Pocket models")
    parser.add_argument("--rounds", type=int, default=21, help="rounds with short answers, after a warm-up (21)")
    parser.add_argument("--long-rounds", type=int, default=3, help="rounds with long answers (3)")
    parser.add_argument("--answer", type=int, default=1500, help="tokens of a long answer (1500)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both (default: 2)")
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        serve_peer(options.peer, options.threads)
        return
    models = options.models or sorted((ROOT / "slmtui" / "pocket").glob("*.gguf"))
    print(f"{'model':<24} {'phase':<13} {'slmtui':>9} {'peer':>9}  ratio   tokens per second, medians")
    for model in models:
        short, long = asyncio.run(compare(model, options))
        for index, phase in enumerate(Speeds._fields):
            rounds = short if phase in ("prefill", "first_token") else long
            ours = statistics.median(pair[0][index] for pair in rounds)
            peer = statistics.median(pair[1][index] for pair in rounds)
            ratio = statistics.median(pair[0][index] / pair[1][index] for pair in rounds)
            print(f"{model.stem:<24} {phase:<13} {ours:>9,.0f} {peer:>9,.0f}  {ratio:.2f}", flush=True)


Rounds = list[tuple[Speeds, Speeds]]


async def compare(model: Path, options: argparse.Namespace) -> tuple[Rounds, Rounds]:
    """(slmtui, peer) of each counted round with short and with long answers; who goes first alternates."""
    from slmtui.engine.client import WorkerClient
    from slmtui.engine.protocol import Load

    draw = random.Random(1)
    rounds: Rounds = []
    lengths = [SHORT_ANSWER] * (options.rounds + 1) + [options.answer] * options.long_rounds
    with tempfile.TemporaryDirectory() as folder, peer_process(model, options.threads) as peer:
        client = await WorkerClient.start(Path(folder) / "worker.log")
        load = Load(path=str(model), threads=options.threads, context=2048, batch=512, flash_attention="off")
        async with aclosing(client.request(load)) as events:
            _ = [event async for event in events]
        for number, length in enumerate(lengths):
            prompt = " ".join(draw.choice(WORDS) for _ in range(PROMPT_WORDS))
            if number % 2:
                theirs = ask_peer(peer, prompt, length)
                ours = await ask_worker(client, prompt, length)
            else:
                ours = await ask_worker(client, prompt, length)
                theirs = ask_peer(peer, prompt, length)
            rounds.append((ours, theirs))
        await client.close()
        peer.kill()
    return rounds[1 : options.rounds + 1], rounds[options.rounds + 1 :]


async def ask_worker(client: Any, prompt: str, answer: int) -> Speeds:  # noqa: ANN401 - imported late
    """One answer of slmtui's worker."""
    from slmtui.core.events import Done
    from slmtui.core.sampling import Sampling
    from slmtui.engine.protocol import Generate

    await asyncio.sleep(PAUSE_S)
    request = Generate(prompt=prompt, sampling=Sampling(temperature=0, max_tokens=answer), ignore_end=True)
    async with aclosing(client.request(request)) as events:
        async for event in events:
            if isinstance(event, Done) and event.timing is not None:
                return speeds(event.timing.prompt_tokens, event.timing.prefill_s or 0.0, event.timing.token_at_s)
    raise SystemExit("slmtui's worker gave no answer")


def speeds(prompt_tokens: int, prefill_s: float, at_s: Sequence[float]) -> Speeds:
    """Speeds from the time of prefill and the time of each token since the request."""
    late = at_s[len(at_s) * 3 // 4 :]
    return Speeds(
        prompt_tokens / prefill_s,
        prompt_tokens / at_s[0],
        (len(at_s) - 1) / (at_s[-1] - at_s[0]),
        (len(late) - 1) / (late[-1] - late[0]),
    )


def peer_process(model: Path, threads: int) -> subprocess.Popen[str]:
    """llama-cpp-python's high-level API in a process of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, "--peer", str(model), "--threads", str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask_peer(peer: subprocess.Popen[str], prompt: str, answer: int) -> Speeds:
    """One answer of the peer."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    time.sleep(PAUSE_S)
    peer.stdin.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")
    peer.stdin.flush()
    said = json.loads(peer.stdout.readline())
    return speeds(said["prompt_tokens"], said["prefill_s"], said["at_s"])


def serve_peer(model: Path, threads: int) -> None:
    """Answer requests with `Llama.create_completion(stream=True)` until the input ends."""
    import llama_cpp

    # Both sides must write answers of one length; the high-level API has no switch for it.
    llama_cpp.llama_cpp.llama_token_is_eog = lambda *_: False
    llama_cpp.llama_cpp.llama_vocab_is_eog = lambda *_: False
    llama = llama_cpp.Llama(
        str(model), n_ctx=2048, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
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
        llama.reset()
        evaluations.clear()
        started = time.perf_counter()
        stream = llama.create_completion(
            request["prompt"], max_tokens=request["answer"], temperature=0, repeat_penalty=1.0, stream=True
        )
        at = [time.perf_counter() - started for _ in stream]
        tokens = len(llama.tokenize(request["prompt"].encode()))
        said = {"prompt_tokens": tokens, "prefill_s": evaluations[0], "at_s": at[: request["answer"]]}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
