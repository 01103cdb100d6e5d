"""`slmtui import`, and every export of a session that was really measured."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from slmtui.core.measurement import Environment, Measurement
from slmtui.core.rows import COLUMNS, row
from tests.cli.program import STORY, on_terminal, run
from tests.llama_bench import BOTH, DECODE, MARKDOWN, PREFILL, as_csv, as_json, as_jsonl

EVIL = "\x1b[2Jname\u202e\x07"


def sessions() -> list[dict[str, object]]:
    done = run("sessions", "--json")
    assert done.returncode == 0
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_each_file_becomes_a_session(tmp_path: Path) -> None:
    texts = {"a.csv": as_jsonl(PREFILL, BOTH), "b": as_csv(DECODE), "c.txt": as_json(DECODE)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    done = run("import", *(tmp_path / name for name in texts))
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    assert first.startswith("3 measurements of a.csv are session 20261121-0943-")
    assert first.endswith("Left out: 1 row of one figure for prompt and generation together (-pg).")
    assert second.startswith("1 measurement of b is session")
    assert third.startswith("2 measurements of c.txt are session")
    assert sorted(str(each["name"]) for each in sessions()) == ["a.csv", "b", "c.txt"]
    shown = run("sessions", second.split()[-1].rstrip(".")).stdout
    assert "averaged, by llama-bench 0c1e570 (6789), b" in shown
    again = run("import", tmp_path / "b")
    assert (again.returncode, again.stdout) == (
        0,
        f"b was imported before, as {second[second.index('session') : -1]}; nothing was added.\n",
    )
    assert len(sessions()) == 3


def test_json_says_what_was_imported(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(as_jsonl(PREFILL), "utf-8")
    (outcome,) = json.loads(run("import", path, "--json").stdout)
    assert (outcome["known"], outcome["combined"], outcome["session"]["measurements"]) == (False, 0, 3)


def test_a_bad_file_fails_and_the_others_are_imported(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text(MARKDOWN, "utf-8")
    (tmp_path / "good.json").write_text(as_json(PREFILL), "utf-8")
    done = run("import", tmp_path / "table.md", tmp_path / "good.json", tmp_path / "missing")
    assert done.returncode == 1
    bad, missing = done.stderr.splitlines()
    assert bad.startswith(f"slmtui import: can't import {tmp_path}/table.md: it is llama-bench's Markdown table")
    assert bad.endswith("run llama-bench again with -o json, -o jsonl or -o csv; nothing of it was imported")
    assert "missing: there is no such file" in missing
    assert [each["name"] for each in sessions()] == ["good.json"]


def test_foreign_control_characters_never_reach_a_terminal_or_a_report(tmp_path: Path) -> None:
    names = ("build_commit", "cpu_info", "gpu_info", "model_filename", "model_type", "backends", "type_k", "split_mode")
    path = tmp_path / "evil\x1b[2J.json"
    path.write_text(as_json({**PREFILL, **dict.fromkeys(names, EVIL)}), "utf-8")
    code, shown = on_terminal("import", path)
    assert code == 0
    identity = str(sessions()[0]["id"])
    for arguments in (
        ("sessions",),
        ("sessions", identity),
        ("export", identity, "--format", "md", "-o", tmp_path / "r.md"),
    ):
        shown += on_terminal(*arguments)[1]
    shown += (tmp_path / "r.md").read_text("utf-8")
    assert "name" in shown
    assert not any(bad in shown for bad in ("\x1b[2J", "\x07", "\u202e"))


@pytest.fixture
def measured() -> str:
    """llama-bench's rows of a session that was measured just now."""
    done = run("bench", STORY, "-p", "32", "-n", "8", "-r", "2", "-o", "json")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_export_of_a_measured_session_reads_back(measured: str, tmp_path: Path) -> None:
    for form in ("csv", "json", "parquet", "md"):
        assert run("export", "--format", form, "-o", tmp_path / f"x.{form}").returncode == 0
    document = json.loads((tmp_path / "x.json").read_text("utf-8"))
    environment = msgspec.convert(document["session"]["environment"], Environment)
    kept = [msgspec.convert(each, Measurement) for each in document["measurements"]]
    rows = [row(each, environment) for each in kept]
    assert len(rows) == 2
    assert document["rows"] == rows
    parquet = pd.read_parquet(tmp_path / "x.parquet")
    assert list(parquet.columns) == [column.name for column in COLUMNS]
    assert parquet.astype(object).where(parquet.notna(), None).to_dict("records") == rows
    lines = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text("utf-8"))))
    for line, expected in zip(lines, rows, strict=True):
        assert {name for name, value in line.items() if value} == {
            name for name, value in expected.items() if value not in (None, "")
        }
    told = rows[0]
    known = ("slmtui_version", "python_version", "engine", "engine_build", "file_sha256", "file_bytes", "quantization",
        "n_threads", "n_batch", "n_ubatch", "n_ctx", "type_k", "type_v", "flash_attn", "device", "n_gpu_layers",
        "cpu_info", "instruction_sets", "memory_total_bytes", "system", "warmup_runs", "wall_s", "overhead_s", "plan",
        "weights_bytes", "kv_cache_bytes", "process_rss_bytes", "process_peak_rss_bytes", "process_peak_uss_bytes",
        "engine_prefill_s", "engine_decode_s", "load_average", "load_average_after")  # fmt: skip
    assert [name for name in known if told[name] is None] == []
    assert 0 <= told["overhead_s"] < told["wall_s"]
    assert kept[0].timing.token_at_s
    assert kept[0].memory_samples
    report = (tmp_path / "x.md").read_text("utf-8")
    assert f"SHA-256 {told['file_sha256']}" in report
    assert f"Software: slmtui {told['slmtui_version']}, Python {told['python_version']}" in report


def test_our_own_rows_come_back_from_another_home(measured: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(measured, "utf-8")
    there = {"SLMTUI_HOME": str(tmp_path / "there")}
    done = run("import", path, env=there)
    assert (done.returncode, done.stderr) == (0, "")
    ours = json.loads(measured)
    document = json.loads(run("sessions", "latest", "--json", env=there).stdout)
    assert document["session"]["environment"]["imported"]["program"] == f"slmtui {ours[0]['slmtui_version']}"
    kept = [msgspec.convert(each, Measurement) for each in document["measurements"]]
    assert len(kept) == 4, "two repetitions of each phase"
    for phase, found in zip(ours, (kept[:2], kept[2:]), strict=True):
        speeds = [each.timing.prefill_tps or each.timing.decode_tps for each in found]
        assert speeds == pytest.approx(phase["samples_ts"], rel=1e-6)
        assert {each.file_sha256 for each in found} == {phase["file_sha256"]}
        assert {each.model for each in found} == {phase["model"]}
