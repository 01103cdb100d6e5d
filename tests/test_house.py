"""Rules of the house that no linter knows: what importing costs, how long modules are, what the README promises."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmtui.ui.commands import COMMANDS, markdown_table

ROOT = Path(__file__).parents[1]
HEAVY = {
    "textual", "rich", "pandas", "numpy", "huggingface_hub", "llama_cpp", "mlx", "mlx_lm", "jinja2", "pyarrow",
    "pynvml", "cpuinfo", "psutil", "tabulate", "sqlite3", "asyncio",
}  # fmt: skip
SCREENS = {"textual", "rich"}
LATER = HEAVY - {"psutil", "sqlite3", "asyncio"}
"""What commands import inside the functions that need it."""
LONGEST_MODULE = 400


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has after the statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert not HEAVY & loaded_by("import slmtui.cli")
    assert not HEAVY & loaded_by("from slmtui.cli.parser import parser; parser().format_help()")
    assert "textual" in loaded_by("import slmtui.ui.app"), "the test sees what is loaded"


@pytest.mark.parametrize("module", ["tell", "chat", "bench", "probe", "diff", "start", "tasks", "terminal"])
def test_commands_load_no_screens_and_nothing_heavy_before_it_is_needed(module: str) -> None:
    assert not LATER & loaded_by(f"import slmtui.cli.{module}")


@pytest.mark.parametrize("arguments", [["models"], ["hardware"], ["sessions"]], ids=lambda words: str(words[0]))
def test_running_a_command_loads_no_screens(arguments: list[str]) -> None:
    names = loaded_by(f"from slmtui.cli import main; main({arguments!r})")
    assert "slmtui" in names
    assert not (SCREENS | {"pandas", "llama_cpp", "huggingface_hub", "mlx", "pyarrow"}) & names


def test_the_worker_loads_no_screens_and_no_other_engine() -> None:
    assert not LATER & loaded_by("import slmtui.engine.worker")


DOCS = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md"))


def modules() -> Iterator[Path]:
    found = sorted((ROOT / "slmtui").rglob("*.py"))
    assert len(found) > 50
    yield from found


def test_no_module_is_longer_than_one_can_keep_in_mind() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines >= LONGEST_MODULE} == {}


def test_the_page_of_keys_is_the_command_table() -> None:
    page = (ROOT / "docs" / "keys.md").read_text("utf-8")
    table = page.partition("<!-- keys -->\n")[2].partition("\n<!-- /keys -->")[0]
    assert table == markdown_table(), "put what slmtui.ui.commands.markdown_table() returns between the marks"


def test_the_table_of_keys_names_keys_as_keyboards_do() -> None:
    lines = markdown_table().splitlines()
    assert len(lines) == 2 + len(COMMANDS)
    table = "\n".join(lines)
    for key in ("`Ctrl+P`", "`F1` `?`", "`Esc`", "`Space`", "`/`", "`Shift+S`", "`Del` `d`", "`c`"):
        assert f"| {key} |" in table
    assert "| everywhere | `Ctrl+Q` | End every model's worker" in table


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", "tools/pocket/README.md", "docs/engines.md", "docs/fit.md", "docs/tasks.md"],
)
def test_what_documents_link_to_is_there(document: str) -> None:
    page = ROOT / document
    links = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []
