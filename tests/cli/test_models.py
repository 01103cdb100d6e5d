"""`slmtui models`: what is here, the whole catalog, and what a person looks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import run

MINE = '[[model]]\nid = "mine"\nname = "My model"\nfamily = "Mine"\ndeveloper = "me"\n'


def listed(*arguments: str) -> dict[str, dict[str, Any]]:
    done = run("models", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return {model["id"]: model for model in json.loads(done.stdout)}


def test_all_lists_the_catalog_after_what_is_here(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "model_catalog.toml").write_text(MINE)
    found = listed("--all")
    assert next(iter(found)).startswith("pocket-")
    assert list(found)[-1] == "mine"
    assert len(found) > 110
    assert sum(model["here"] for model in found.values()) == 5
    qwen = found["qwen3-0.6b"]
    assert (qwen["path"], qwen["size_bytes"], qwen["card"]["family"]) == (None, 396_705_472, "Qwen3")
    assert qwen["expected"]["memory_bytes"] > 396_705_472
    assert qwen["expected"]["fits"] in ("yes", "tight", "no")
    assert found["opt-125m"]["variant"] is None
    assert found["opt-125m"]["expected"] is None


def test_words_and_filters_look_through_the_catalog() -> None:
    done = run("models", "qwen", "--up-to", "1B", "--thinking", "--licence", "open", "--format", "MLX")
    assert done.returncode == 0
    rows = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert rows == ["qwen3.5-0.8b", "qwen3-0.6b"]
    assert "397 MB" in done.stdout
    assert "slmtui pull" in done.stderr


def test_filters_for_the_place_and_for_nothing() -> None:
    assert set(listed("--here", "pocket-2m")) == {"pocket-2m:Q8_0", "pocket-2m:Q4_K_M"}
    done = run("models", "no such words")
    assert (done.returncode, done.stdout) == (0, "")
    assert "--all" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--up-to", "many"), "--up-to: 'many' is no number of parameters; write 500M or 1.5B"),
        (("--licence", "free"), "invalid choice: 'free'"),
        (("--here", "--not-here"), "not allowed with"),
    ],
)
def test_a_wrong_filter_is_a_usage_error(arguments: tuple[str, ...], complaint: str) -> None:
    done = run("models", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_wrong_catalog_of_the_person_s_is_named_and_done_without(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "model_catalog.toml").write_text(MINE + "colour = 1\n")
    done = run("models")
    assert done.returncode == 0
    assert "model 1 (mine)" in done.stderr
    assert "`colour`" in done.stderr
    assert "pocket-5m" in done.stdout
