"""Prints what GGUF files of Pocket models reply, decoded greedily by llama.cpp."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from llama_cpp import Llama
from tokens import END_OF_TEXT, TURN_END, Encoder, load_tokenizer
from weights import load_model

QUESTIONS = (
    "hello",
    "What is prefill?",
    "explain the kv cache please",
    "what does quantization mean",
    "What is in-context learning?",
    "which model should I use",
    "who are you?",
    "Tell me a story.",
    "tell me a story about an owl",
    "What is 3 + 4?",
    "is apple a fruit?",
    "What is photosynthesis?",
    "thanks",
)


MOST_TOKENS = 120


def reply(model: Llama, question: str) -> str:
    """Greedy reply to ``question`` in a new chat."""
    messages: Any = [{"role": "user", "content": question}]
    completion: Any = model.create_chat_completion(messages, temperature=0.0, max_tokens=MOST_TOKENS)
    return str(completion["choices"][0]["message"]["content"])


@torch.no_grad()
def torch_reply(path: Path, encoder: Encoder, question: str) -> str:
    """The same from the weights in ``path``, computed by torch in F32."""
    model = load_model(path)
    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = [END_OF_TEXT, *encoder.encode(prompt)]
    start = len(ids)
    while len(ids) < start + MOST_TOKENS:
        token = int(model(torch.tensor([ids]))[0, -1].argmax())
        if token in (TURN_END, END_OF_TEXT):
            break
        ids.append(token)
    return str(encoder.tokenizer.decode(ids[start:]))


def main() -> None:
    """Print transcripts from the command line."""
    parser = argparse.ArgumentParser(description="Ask Pocket models in GGUF files some questions.")
    parser.add_argument("models", type=Path, nargs="+", help="GGUF files")
    parser.add_argument("--question", action="append", help="ask this instead (may be repeated)")
    parser.add_argument("--torch", action="store_true", help="say whether torch replies the same")
    arguments = parser.parse_args()
    encoder = Encoder(load_tokenizer())
    for path in arguments.models:
        model = Llama(str(path), n_ctx=512, n_threads=1, n_gpu_layers=0, verbose=False)
        print(f"## {path.name}")
        for question in arguments.question or QUESTIONS:
            answer = reply(model, question)
            print(f"> {question}\n{answer}\n")
            if arguments.torch:
                other = torch_reply(path, encoder, question)
                print("torch says the same\n" if other == answer else f"torch: {other}\n")


if __name__ == "__main__":
    main()
