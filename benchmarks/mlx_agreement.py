"""How far what MLX and llama.cpp say of one model in several forms lies from its F16 form in llama.cpp.

python benchmarks/mlx_agreement.py

Needs MLX; Pocket 5M is converted. The F16 form answers greedily, with 32-bit keys and values; each form then says how
likely each word of those answers is after the words before it. "off" is the difference of these log-probabilities in
nats a token, and "text" how much of its own greedy answers is what the F16 form says before they part.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from contextlib import aclosing
from functools import partial
from itertools import accumulate
from pathlib import Path

from slmtui.core.events import AnyEvent, Loaded, Scored, Tokens
from slmtui.core.openings import shared
from slmtui.core.sampling import Sampling
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Generate, Load, Question, Request, Score
from slmtui.sources.resources import pocket_folder

TO_MLX = Path(__file__).resolve().parents[1] / "tools" / "pocket" / "to_mlx.py"
MLX_FORMS = ("fp32", "bf16", "8bit", "4bit")
TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [
    *map(TURN.format, ("What is prefill?", "What is a token?", "Hello", "Tell me a story.", "What is quantization?")),
    "Once upon a time",
    "cat -> vamo\nhammer -> zuki\ndog -> vamo\nsaw -> zuki\nhorse ->",
]


def gguf(label: str) -> Path:
    """A bundled form of Pocket 5M."""
    return pocket_folder() / f"pocket-5m-{label}.gguf"


async def run(client: WorkerClient, request: Request) -> list[AnyEvent]:
    """All events of a request."""
    async with aclosing(client.request(request)) as stream:
        return [event async for event in stream]


async def answers(client: WorkerClient) -> list[str]:
    """Its greedy answers."""
    greedy = Sampling(temperature=0, max_tokens=48)
    told = [await run(client, Generate(prompt=prompt, sampling=greedy)) for prompt in PROMPTS]
    return ["".join(event.text for event in events if isinstance(event, Tokens)) for events in told]


async def logprobs(client: WorkerClient, texts: list[str]) -> list[float]:
    """Of each word of these answers to the prompts, in nats a token."""
    asked = []
    for prompt, text in zip(PROMPTS, texts, strict=True):
        words = [part if not number else f" {part}" for number, part in enumerate(text.split(" ")) if part]
        starts = accumulate(words, initial=prompt)
        asked += [Question(prompt=start, options=(word,)) for start, word in zip(starts, words, strict=False)]
    scored = [event for event in await run(client, Score(questions=tuple(asked))) if isinstance(event, Scored)]
    scored.sort(key=lambda event: event.index)
    return [event.options[0].logprob / event.options[0].tokens for event in scored]


async def said(load: Load, texts: list[str] | None = None) -> tuple[list[str], list[float]]:
    """A form's own greedy answers, and how likely it finds the words of `texts`; None takes its own."""
    with tempfile.TemporaryDirectory() as logs:
        client = await WorkerClient.start(Path(logs) / "log")
        try:
            ending = (await run(client, load))[-1]
            if not isinstance(ending, Loaded):
                raise SystemExit(f"{load.path}: {ending}")
            own = await answers(client)
            return own, await logprobs(client, texts or own)
        finally:
            await client.close()


async def compare(made: Path) -> None:
    """Print a line for each form."""
    exact = partial(Load, type_k="f32", type_v="f32", flash_attention="off", sequences=8)
    loads = {f"llama.cpp {label}": exact(path=str(gguf(label))) for label in ("F16", "Q8_0", "Q4_K_M")}
    loads |= {f"MLX {form}": Load(path=str(made / f"pocket-5m-{form}"), engine="MLX") for form in MLX_FORMS}
    texts, reference = await said(loads.pop("llama.cpp F16"))
    print(f"{'form':<18} {'words':>5} {'off, mean':>10} {'off, most':>10} {'text':>6}   beside llama.cpp's F16")
    for name, load in loads.items():
        own, found = await said(load, texts)
        off = [abs(one - other) for one, other in zip(found, reference, strict=True)]
        alike = sum(map(shared, own, texts)) / sum(map(len, texts))
        print(f"{name:<18} {len(off):>5} {sum(off) / len(off):>10.5f} {max(off):>10.5f} {alike:>6.0%}", flush=True)


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run([sys.executable, str(TO_MLX), str(gguf("F16")), temporary, *MLX_FORMS], check=True)
        asyncio.run(compare(Path(temporary)))
