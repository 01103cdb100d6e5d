"""Prints what GGUF files of Pocket models reply, decoded greedily by llama.cpp."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llama_cpp import Llama

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


def reply(model: Llama, question: str) -> str:
    """Greedy reply to ``question`` in a new chat."""
    messages: Any = [{"role": "user", "content": question}]
    completion: Any = model.create_chat_completion(messages, temperature=0.0, max_tokens=120)
    return str(completion["choices"][0]["message"]["content"])


def main() -> None:
    """Print transcripts from the command line."""
    parser = argparse.ArgumentParser(description="Ask Pocket models in GGUF files some questions.")
    parser.add_argument("models", type=Path, nargs="+", help="GGUF files")
    parser.add_argument("--question", action="append", help="ask this instead (may be repeated)")
    arguments = parser.parse_args()
    for path in arguments.models:
        model = Llama(str(path), n_ctx=512, n_threads=1, n_gpu_layers=0, verbose=False)
        print(f"## {path.name}")
        for question in arguments.question or QUESTIONS:
            print(f"> {question}\n{reply(model, question)}\n")


if __name__ == "__main__":
    main()
