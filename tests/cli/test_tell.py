"""`hardware`, `models`, `sessions`, `export`, `doctor`, and the help of all commands."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pandas as pd
import psutil
import pytest

from slmtui.sources.paths import Paths
from slmtui.sources.store import Store
from tests.cli.program import run
from tests.samples import ENVIRONMENT, full_measurement

COMMANDS = ("hardware", "models", "chat", "bench", "sessions", "export", "import", "tasks", "fit", "doctor")


@pytest.fixture
def measured() -> str:
    """A stored session of two repetitions of one cell, by its id."""
    store = Store.open(Paths.find().ensure().store)
    session = store.start_session(ENVIRONMENT)
    for repetition in range(2):
        store.add(full_measurement(repetition, session=session.id, kind="bench", model="pocket-2m:Q8_0"))
    store.end_session(session.id)
    store.close()
    return session.id


def test_help_names_every_command() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"\n    {name}" in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: slmtui {command}")
    assert "--json" in done.stdout


def test_version() -> None:
    from slmtui import __version__

    assert run("--version").stdout == f"slmtui {__version__}\n"


def test_hardware_says_what_the_system_says() -> None:
    done = run("hardware")
    assert (done.returncode, done.stderr) == (0, "")
    assert "llama.cpp" in done.stdout
    assert re.search(r"^Memory bandwidth +[\d.]+ GB/s read by \d+ threads?$", done.stdout, re.MULTILINE)
    assert re.search(r"^Matrix multiply +f16 [\d,]+ · q8_0 [\d,]+ · q4_K [\d,]+ ", done.stdout, re.MULTILINE)
    machine = json.loads(run("hardware", "--json").stdout)
    assert machine["ceiling"]["read_bytes_per_s"] > 0
    assert {"f16", "q8_0", "q4_K"} <= {rate["type"] for rate in machine["ceiling"]["matmul"]}
    assert 0 < machine["memory"]["total_bytes"] <= psutil.virtual_memory().total
    assert 1 <= machine["cpu"]["physical_cores"] <= machine["cpu"]["logical_cores"] <= (os.cpu_count() or 1)
    assert machine["engines"][0]["name"] == "llama.cpp"
    assert machine["engines"][0]["trial"] in ("sound", "plain buffers only")


def test_models_lists_the_bundled_ones_as_demos() -> None:
    done = run("models")
    assert done.returncode == 0
    rows = [line for line in done.stdout.splitlines() if line.startswith("pocket-")]
    assert {line.split(":")[0] for line in rows} == {"pocket-5m", "pocket-2m"}
    assert all(line.endswith("demo") for line in rows)
    document = json.loads(run("models", "--json").stdout)
    assert {"pocket-5m:Q4_K_M", "pocket-5m:Q8_0", "pocket-5m:F16"} <= {model["id"] for model in document}
    assert all(model["demo"] is True and Path(model["path"]).is_file() for model in document)
    assert all(model["decode_tps"] is None for model in document), "nothing was measured in this home"


def test_models_shows_what_was_measured(measured: str) -> None:
    document = {model["id"]: model for model in json.loads(run("models", "--json").stdout)}
    assert document["pocket-2m:Q8_0"]["prefill_tps"] > 0
    assert document["pocket-2m:Q8_0"]["decode_tps"] > 0
    assert document["pocket-5m:Q8_0"]["decode_tps"] is None


def test_sessions_before_and_after_measuring() -> None:
    empty = run("sessions")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "slmtui bench" in empty.stderr
    assert json.loads(run("sessions", "--json").stdout) == []
    assert run("export").returncode == 1, "there is nothing to export"


def test_a_session_by_id_by_its_beginning_and_as_the_latest(measured: str) -> None:
    assert measured in run("sessions").stdout
    for name in (measured, measured[:-2], "latest"):
        document = json.loads(run("sessions", name, "--json").stdout)
        assert document["session"]["id"] == measured
        assert [one["repetition"] for one in document["measurements"]] == [0, 1]
    table = run("sessions", measured)
    assert "Größe 5M | 「小」" in table.stdout
    assert "pp512" in table.stdout
    assert re.search(r"decode tok/s +TTFT ms .*\n[- ]+\n.* 300 ", table.stdout), "one unit, as in the app"
    unknown = run("sessions", "19990101")
    assert unknown.returncode == 1
    assert "19990101" in unknown.stderr


def test_export_in_every_format(measured: str, home: Path, tmp_path: Path) -> None:
    for form in ("csv", "json", "parquet", "md"):
        done = run("export", "--format", form)
        path = Path(done.stdout.removesuffix("\n"))
        assert (done.returncode, done.stderr) == (0, "")
        assert path == home / "exports" / f"slmtui-{measured}.{form}"
        assert path.stat().st_size
    with (home / "exports" / f"slmtui-{measured}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["repetition"] for row in rows] == ["0", "1"]
    frame = pd.read_parquet(home / "exports" / f"slmtui-{measured}.parquet")
    assert list(frame["model"]) == ["pocket-2m:Q8_0"] * 2
    assert list(frame.columns) == list(rows[0])
    assert "「小」" in (home / "exports" / f"slmtui-{measured}.md").read_text(encoding="utf-8")

    own = tmp_path / "größe.json"
    done = run("export", measured, "--format", "json", "-o", own, "--json")
    assert json.loads(done.stdout) == {"path": str(own), "format": "json"}
    assert len(json.loads(own.read_text(encoding="utf-8"))["measurements"]) == 2


def test_an_export_that_can_t_be_written(measured: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for place in (tmp_path / "nowhere" / "x.csv", tmp_path / "file" / "x.csv"):
        done = run("export", "-o", place)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(place) in done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_doctor_finds_everything_sound(home: Path) -> None:
    done = run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAIL" not in done.stdout
    assert str(home) in done.stdout
    findings = json.loads(run("doctor", "--json").stdout)
    assert {"data", "shipped files", "llama.cpp", "worker"} <= {finding["what"] for finding in findings}
    assert all(finding["sound"] for finding in findings)


@pytest.mark.parametrize("place", ["file/below", "~nobody-of-this-name"])
def test_doctor_goes_on_where_the_home_is_unusable(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = place if place.startswith("~") else str(tmp_path / place)
    done = run("doctor", env={"SLMTUI_HOME": home})
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL  data" in done.stdout
    assert home in done.stdout
    assert "ok    shipped files" in done.stdout


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('[[model]]\nid = "mine"\ncolour = "red"\n', r"model 1 \(mine\): .*`colour`"),
        ('[[model]]\nid = "qwen3-0.6b"\nparameters = "many"\n', r"model 1 \(qwen3-0\.6b\): .*`\$\.parameters`"),
        ("[[model]\n", "is not TOML: .*line 1.*; correct that place"),
    ],
)
def test_a_catalog_of_one_s_own_that_is_wrong_is_told_and_done_without(home: Path, entry: str, words: str) -> None:
    (home / "config").mkdir(parents=True)
    path = home / "config" / "model_catalog.toml"
    path.write_text(entry)
    wrong = re.compile(rf"{re.escape(str(path))}.* ?{words}")
    done = run("models", "--json")
    assert done.returncode == 0
    assert {model["card"]["id"] for model in json.loads(done.stdout)} == {"pocket-5m", "pocket-2m"}
    (line,) = done.stderr.splitlines()
    assert line.startswith("slmtui: Your catalog is not used: ")
    assert wrong.search(line)
    examined = run("doctor")
    assert examined.returncode == 1
    (found,) = [line for line in examined.stdout.splitlines() if line.startswith("FAIL")]
    assert found.startswith("FAIL  your catalog ")
    assert wrong.search(found)
    path.write_text('[[model]]\nid = "mine"\nname = "Mine"\nfamily = "Own"\ndeveloper = "me"\n')
    mended = run("doctor")
    assert (mended.returncode, mended.stderr) == (0, "")
    assert f"1 model more in {path}" in mended.stdout
