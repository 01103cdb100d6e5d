from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmtui.sources.resources import pocket_folder
from tests.cli.program import STORY, run, start
from tests.hub import LoopbackHub, connect
from tests.sources.downloads import NAME, serve, weights


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        serve(opened, weights(2_000_000))
        yield opened


def test_add_pull_list_and_rm(hub: LoopbackHub, tmp_path: Path) -> None:
    added = run("add", NAME)
    assert (added.returncode, added.stdout) == (
        0,
        f"{NAME} is in your catalog now, as tiny: `slmtui pull tiny` downloads it.\n",
    )
    assert run("pull", "tiny").returncode == 0
    listed = {model["id"]: model for model in json.loads(run("models", "--json").stdout)}
    assert (listed["tiny:Q4_K_M"]["place"], listed["tiny:Q4_K_M"]["size_bytes"]) == ("hub cache", 2_000_000)
    removed = run("rm", "tiny", "pocket-5m")
    assert removed.returncode == 1
    assert removed.stdout == "tiny:Q4_K_M is deleted; 2 MB are free again.\n"
    assert "pocket-5m:Q8_0 comes with slmtui" in removed.stderr
    gone = run("rm", "tiny")
    assert gone.returncode == 1
    assert "tiny:Q4_K_M is in the catalog, but not on this machine" in gone.stderr


def test_a_file_is_added_and_forgotten(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    shutil.copy(pocket_folder() / "pocket-2m-Q4_K_M.gguf", own)
    assert json.loads(run("add", own, "--json").stdout)["models"][0]["path"] == str(own)
    assert str(own) in run("models").stdout
    assert run("rm", own).stdout == f"{own} is no longer listed; the file stays.\n"
    assert str(own) not in run("models").stdout
    assert own.is_file()


def test_what_is_nothing_is_said(hub: LoopbackHub) -> None:
    done = run("add", "nobody/here")
    assert done.returncode == 1
    assert "has no model nobody/here" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_that_are_added_at_the_same_time_are_all_listed(tmp_path: Path) -> None:
    own = [tmp_path / f"own-{number}.gguf" for number in range(4)]
    for path in own:
        shutil.copy(STORY, path)
    processes = [start("add", path) for path in own]
    assert [process.communicate(timeout=60)[1] for process in processes] == [b""] * 4
    listed = {model["path"] for model in json.loads(run("models", "--json").stdout)}
    assert listed >= set(map(str, own))
