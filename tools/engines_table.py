"""Runs every request on every engine and device of this machine and writes what came of it into a page.

`python tools/engines_table.py docs/engines.md` changes the rows of what this machine has and leaves the others as they
are, so that the page can be completed on machines of other kinds. A cell is a check that passed, or a note's number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from engine_checks import CHECKS, Place

from slmtui.core.machine import Machine, imitated, short_name
from slmtui.lab.surroundings import Surroundings
from slmtui.sources.resources import pocket_folder

TO_MLX = Path(__file__).parent / "pocket" / "to_mlx.py"
BEGIN, END = "<!-- table -->\n", "<!-- /table -->"
NOT_RUN = {
    ("llama.cpp", "cuda"): "not run yet: needs an NVIDIA GPU; what was run on one stands in [cuda.md](cuda.md)",
    ("llama.cpp", "metal"): "not run yet: needs Apple silicon",
    ("llama.cpp", "vulkan"): "not run yet: needs a build with Vulkan",
    ("MLX", "metal"): "not run yet: needs Apple silicon with macOS 14 or newer",
}


def forms(folder: Path) -> dict[str, Place]:
    """The models of each engine, and damaged ones; devices are put in later."""
    gguf = [pocket_folder() / f"pocket-5m-{label}.gguf" for label in ("F16", "Q8_0", "Q4_K_M")]
    data = gguf[0].read_bytes()
    broken = {"missing": folder / "none.gguf", "truncated": folder / "cut.gguf", "unknown": folder / "unknown.gguf"}
    broken["truncated"].write_bytes(data[: len(data) // 2])
    broken["unknown"].write_bytes(data.replace(b"llama", b"lxama"))
    broken["no model"] = folder / "letter.gguf"
    broken["no model"].write_text("Dear reader,")
    found = {"llama.cpp": Place("llama.cpp", "cpu", tuple(gguf), broken)}
    made = subprocess.run([sys.executable, TO_MLX, gguf[0], folder, "bf16", "8bit", "4bit"], capture_output=True)
    if made.returncode == 0:
        mlx = tuple(folder / f"pocket-5m-{form}" for form in ("bf16", "8bit", "4bit"))
        faults = {name: Path(shutil.copytree(mlx[0], folder / name)) for name in ("truncated", "unknown", "no model")}
        weights = faults["truncated"] / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5_000_000])
        config = json.loads((mlx[0] / "config.json").read_text("utf-8"))
        (faults["unknown"] / "config.json").write_text(json.dumps({**config, "model_type": "lxama"}))
        (faults["no model"] / "config.json").unlink()
        found["MLX"] = Place("MLX", "cpu", mlx, {"missing": folder / "none", **faults})
    return found


def devices(machine: Machine, engine: str) -> dict[str, str]:
    """Devices to run an engine on here, as a request names them, each with its own name: a GPU by its backend.

    Where Vulkan has no GPU, the processor in its place is good enough to see that everything works.
    """
    state = next((one for one in machine.engines if one.name == engine and one.version is not None), None)
    if state is None:
        return {}
    processor = machine.apple_chip or short_name(machine.cpu.name or "unknown")
    graphics = state.graphics or [name for name in state.others if imitated(name)]
    return {"cpu": processor, **{backend(name): name for name in reversed(graphics)}}


def backend(name: str) -> str:
    """What serves a device: "cuda" for "CUDA0 NVIDIA L4"."""
    word = re.sub(r"\d+$", "", name.split(maxsplit=1)[0].lower())
    return {"mtl": "metal"}.get(word, word)


async def rows(machine: Machine, only: Sequence[str], notes: list[str]) -> dict[tuple[str, str], str]:
    """One row of the table for each engine and device of this machine."""
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for engine, place in forms(folder).items():
            for device, name in devices(machine, engine).items():
                if not only or f"{engine} {device}" in only:
                    here = msgspec.structs.replace(place, device=device)
                    cells = [await cell(here, check, folder, notes) for check in CHECKS]
                    found[engine, device] = row(engine, device, [*cells, ran_on(machine, engine, name)])
    return found


async def cell(place: Place, check: Callable[[Place, Path], Awaitable[str]], folder: Path, notes: list[str]) -> str:
    """What came of one check: a word, or the number of a note that says what failed."""
    try:
        said = await check(place, folder)
    except AssertionError as error:
        said = str(error) or str(traceback.extract_tb(error.__traceback__)[-1].line)
        why = " ".join(said.split())[:300].replace("|", "/")
        notes.append(f"{place.engine} on {place.device}, {check.__name__}: {why}")
        said = f"✗ ({len(notes)})"
    print(f"{place.engine} {place.device} {check.__name__}: {said}", file=sys.stderr)
    return said


def ran_on(machine: Machine, engine: str, device: str) -> str:
    """Device, version and day."""
    state = next(one for one in machine.engines if one.name == engine)
    return f"{device}, {state.version}, {datetime.now(UTC):%Y-%m-%d}"


def row(engine: str, device: str, cells: Sequence[str]) -> str:
    """One line of Markdown."""
    return f"| {engine} | {device} | {' | '.join(cells)} |"


def table(old: str, new: dict[tuple[str, str], str], notes: Sequence[str]) -> str:
    """The table with new rows in place of old ones."""
    known = {
        (cells[1], cells[2]): line
        for line in old.splitlines()
        if len(cells := [cell.strip() for cell in line.split("|")]) > 3 and cells[1] in {"llama.cpp", "MLX"}
    }
    empty = ["—"] * len(CHECKS)
    unknown = {key: row(*key, [*empty, why]) for key, why in NOT_RUN.items()}
    heads = ["engine", "device", *(check.__name__ for check in CHECKS), "run on"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    merged = {**unknown, **known, **new}
    lines += [merged[key] for key in sorted(merged, key=lambda key: (key[0] != "llama.cpp", key[1]))]
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, start=1))] if notes else []
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run everything and change the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="docs/engines.md")
    parser.add_argument("--only", action="append", default=[], metavar="'ENGINE DEVICE'", help="run this row alone")
    arguments = parser.parse_args()
    page = arguments.page.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)

    async def everything() -> tuple[dict[tuple[str, str], str], list[str]]:
        with tempfile.TemporaryDirectory() as cache:
            machine = await Surroundings(Path(cache)).machine()
        notes: list[str] = []
        return await rows(machine, arguments.only, notes), notes

    found, notes = asyncio.run(everything())
    arguments.page.write_text(f"{before}{BEGIN}{table(old, found, notes)}{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
