"""Writes the items of the tasks that can be computed; those of the others are written by hand.

python tools/tasks/generate.py [FOLDER]

The seed is fixed, so the same script writes the same files.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import arithmetic
import code_output
import dates
import extraction
import lists
import pocket
import sequences
import units
from made import Made

FOLDER = Path(__file__).resolve().parents[2] / "slmtui" / "tasks"
SEED = 20240925
MAKERS: dict[str, Callable[[random.Random], list[Made]]] = {
    "arithmetic": arithmetic.items,
    "code-output": code_output.items,
    "dates": dates.items,
    "json-extraction": extraction.items,
    "lists-and-strings": lists.items,
    "number-rules": sequences.items,
    "units": units.items,
    "pocket-2-categories": pocket.two_categories,
    "pocket-4-categories": pocket.four_categories,
    "pocket-first-word": pocket.first_words,
    "pocket-judgements": pocket.judgements,
    "pocket-look-up": pocket.look_up,
    "pocket-new-categories": pocket.new_categories,
}


def main() -> None:
    """Write one .jsonl for each task into the folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, make in MAKERS.items():
        lines = [json.dumps(item, ensure_ascii=False) for item in make(random.Random(f"{SEED} {name}"))]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
        print(f"{name}: {len(lines)} items")


if __name__ == "__main__":
    main()
