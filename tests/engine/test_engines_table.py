"""The script that makes the table in docs/engines.md, with one of its checks; the others are type-checked only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from slmtui.core.machine import EngineState, Machine

ROOT = Path(__file__).resolve().parents[2]
MACHINE = Machine(
    apple_chip="Apple M3",
    engines=(
        EngineState(name="llama.cpp", version="1.2", devices=("CPU",), trial="sound"),
        EngineState(name="MLX", version="3.4", devices=("Metal", "CPU"), trial="sound"),
    ),
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    return import_module("engines_table")


async def test_a_row_tells_what_was_found(table: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuted(*_: object) -> str:
        raise AssertionError("it is not\nso | at all")

    (refusals,) = (check for check in table.CHECKS if check.__name__ == "refusals")
    monkeypatch.setattr(table, "CHECKS", (refusals, refuted))
    notes: list[str] = []
    found = await table.rows(MACHINE, ["llama.cpp cpu"], notes)
    (line,) = found.values()
    assert line.startswith("| llama.cpp | cpu | ✓ | ✗ (1) | Apple M3, 1.2, ")
    page = table.table("| MLX | cpu | ✓ | ✓ | an older run |\n", found, notes).splitlines()
    assert page[0] == "| engine | device | refusals | refuted | run on |"
    assert page[2] == line
    assert page[3].startswith("| llama.cpp | cuda | — | — | not run yet: ")
    assert page[6] == "| MLX | cpu | ✓ | ✓ | an older run |"
    assert page[-1] == "1. llama.cpp on cpu, refuted: it is not so / at all"


def test_every_engine_and_device_of_the_machine_is_tried(table: ModuleType) -> None:
    assert table.devices(MACHINE, "llama.cpp") == {"cpu": "Apple M3"}
    assert table.devices(MACHINE, "MLX") == {"cpu": "Apple M3", "metal": "Metal"}
    assert table.devices(MACHINE, "none") == {}


def test_a_gpu_is_named_by_what_serves_it(table: ModuleType) -> None:
    names = ("CUDA0 NVIDIA L4", "CUDA1 NVIDIA L4", "MTL0 Apple M3", "BLAS Accelerate", "CPU")
    state = EngineState(name="llama.cpp", version="1.2", devices=names, trial="sound")
    assert table.devices(Machine(engines=(state,)), "llama.cpp") == {
        "cpu": "unknown",
        "metal": "MTL0 Apple M3",
        "cuda": "CUDA0 NVIDIA L4",
    }
    software = EngineState(name="llama.cpp", version="1.2", devices=("Vulkan0 llvmpipe", "CPU"), trial="sound")
    assert table.devices(Machine(engines=(software,)), "llama.cpp")["vulkan"] == "Vulkan0 llvmpipe"


def test_the_page_has_a_row_for_each_and_says_which_were_not_run() -> None:
    page = (ROOT / "docs" / "engines.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    runs = {(row[0], row[1]): row[2:] for row in rows if row[0] in ("llama.cpp", "MLX")}
    assert {device for engine, device in runs if engine == "llama.cpp"} >= {"cpu", "cuda", "metal", "vulkan"}
    assert {device for engine, device in runs if engine == "MLX"} >= {"cpu", "metal"}
    for cells in runs.values():
        assert "—" not in cells[:-1] or cells[-1].startswith("not run yet: ")
