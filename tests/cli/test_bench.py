"""`slmtui bench`: llama-bench's fields with ours, on standard output alone."""

from __future__ import annotations

import csv
import io
import json
import statistics
from pathlib import Path

import pytest

from slmtui.cli import main
from slmtui.core.ceiling import Ceiling
from slmtui.lab import ceiling
from tests.cli.program import STORY, run
from tests.engine.gguf_files import Gguf

FAST = ("-p", "16", "-n", "8", "-r", "3", "-t", "1")
LLAMA_BENCH = {
    "cpu_info", "backends", "model_filename", "model_type", "model_size", "model_n_params", "n_batch", "n_ubatch",
    "n_threads", "type_k", "type_v", "n_gpu_layers", "flash_attn", "n_prompt", "n_gen", "n_depth", "test_time",
    "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
}  # fmt: skip
OURS = {"median_ts", "q1_ts", "q3_ts", "ttft_s", "weights_bytes", "kv_cache_bytes", "compute_bytes", "file_sha256"}


def test_json_has_llama_bench_s_fields_and_ours() -> None:
    done = run("bench", "pocket-2m:Q4_K_M", STORY, *FAST, "-o", "json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert [(row["model_name"], row["n_prompt"], row["n_gen"]) for row in rows] == [
        ("Pocket 2M Q4_K_M", 16, 0),
        ("Pocket 2M Q4_K_M", 0, 8),
        ("stories260K", 16, 0),
        ("stories260K", 0, 8),
    ]
    for row in rows:
        assert set(row) >= LLAMA_BENCH | OURS | {"samples_ts", "samples_ns"}
        assert row["n_threads"] == 1
        assert row["type_k"] == "f16"
        assert len(row["samples_ts"]) == row["repetitions"] == 3
        assert row["avg_ts"] == pytest.approx(statistics.mean(row["samples_ts"]))
        assert row["stddev_ts"] == pytest.approx(statistics.stdev(row["samples_ts"]), rel=1e-6)
        assert row["median_ts"] == pytest.approx(statistics.median(row["samples_ts"]))
        assert len(row["file_sha256"]) == 64
        assert row["weights_bytes"] > 0
        assert row["warmup_runs"] >= 2
    assert rows[0]["model_n_params"] == 2_098_432
    assert rows[0]["demo"] is True
    assert rows[2]["demo"] is False


def test_the_other_formats_hold_the_same_rows() -> None:
    lines = run("bench", "pocket-2m", *FAST, "-o", "jsonl").stdout.splitlines()
    assert [set(json.loads(line)) >= LLAMA_BENCH | OURS for line in lines] == [True, True]
    table = run("bench", "pocket-2m", *FAST, "-d", "32", "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["n_prompt"], row["n_gen"], row["n_depth"]) for row in rows] == [("16", "0", "32"), ("0", "8", "32")]
    assert set(rows[0]) >= LLAMA_BENCH | OURS
    done = run("bench", "pocket-2m", *FAST)
    assert done.stdout.startswith("| model ")
    assert "pp16" in done.stdout
    assert "tg8" in done.stdout
    assert "±" in done.stdout
    assert "demo models" in done.stdout
    assert not set(done.stderr) & {"\x1b", "|"}, "no progress off a terminal, no results on standard error"


def test_json_is_whole_where_the_locale_has_not_every_character() -> None:
    done = run("bench", "pocket-2m", *FAST, "--json", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 2
    table = run("bench", "pocket-2m", *FAST, env={"PYTHONIOENCODING": "ascii"})
    assert table.returncode == 0
    assert "pp16" in table.stdout


def test_only_prefill_or_only_decode() -> None:
    prefill = json.loads(run("bench", "pocket-2m", "-p", "16", "-n", "0", "-r", "1", "-t", "1", "--json").stdout)
    assert [(row["n_prompt"], row["n_gen"]) for row in prefill] == [(16, 0)]
    decode = json.loads(run("bench", "pocket-2m", "-p", "0", "-n", "8", "-r", "1", "-t", "1", "--json").stdout)
    assert [(row["n_prompt"], row["n_gen"]) for row in decode] == [(0, 8)]


def test_a_model_that_cannot_be_measured_does_not_take_the_others_with_it() -> None:
    done = run("bench", STORY.with_suffix(".greedy.txt"), "pocket-2m", *FAST, "--json")
    assert done.returncode == 1
    assert {row["model"] for row in json.loads(done.stdout)} == {"pocket-2m:Q8_0"}
    assert done.stderr.count("slmtui: stories260K.greedy: ") == 1


@pytest.mark.parametrize("command", ["bench", "fit"])
def test_models_are_looked_at_before_the_machine_is_measured(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, where the measurement of its ceiling can be watched."""

    async def measured(*_: object, **__: object) -> Ceiling:
        raise AssertionError("the machine is measured for nothing")

    monkeypatch.setattr(ceiling, "measured", measured)
    (tmp_path / "cut.gguf").write_bytes(STORY.read_bytes()[:9000])
    dry = [["--dry-run"]] if command == "bench" else []
    for more in ([], *dry):
        for model in ("nope", str(tmp_path / "none.gguf"), str(tmp_path / "cut.gguf")):
            assert main([command, model, *more]) == 1
            assert Path(model).stem in capsys.readouterr().err.splitlines()[-1]


def test_a_dry_run_refuses_what_a_run_does(tmp_path: Path) -> None:
    odd = Gguf.read(STORY).set("general.architecture", "perceptron9").write(tmp_path / "odd.gguf")
    told, done = (
        run("bench", odd, "pocket-2m", "-p", "8", "-n", "0", "-r", "1", *more) for more in (["--dry-run"], [])
    )
    for each in (told, done):
        assert each.returncode == 1
        (said,) = [line for line in each.stderr.splitlines() if line.startswith("slmtui: odd: ")]
        assert "perceptron9" in said
    document = json.loads(run("bench", odd, "--dry-run", "--json").stdout)
    assert [each["model"] for each in document["refused"]] == [str(odd)]


def test_lists_are_combined_and_each_combination_is_a_cell() -> None:
    lists = ("-p", "8,16", "-n", "0", "-d", "0,32", "-t", "1,2", "-ctk", "f16,q8_0", "-fa", "on", "-ub", "128")
    document = json.loads(run("bench", "pocket-2m", *lists, "-r", "2", "--dry-run", "--json").stdout)
    assert len(document["cells"]) == document["repetitions"] / 2 == 16
    assert document["cells"][0]["test"] == "pp8"
    assert document["cells"][-1]["label"] == "pp16 @ d32 · 2 threads · micro-batch 128 · keys q8_0 · flash attention on"
    assert document["will_not_fit"] == []
    assert document["seconds"] is None
    assert "nothing was measured here before with Pocket 2M Q8_0" in document["basis"]


def test_a_dry_run_runs_nothing() -> None:
    done = run("bench", "pocket-2m", "--preset", "survey", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "survey: 1 cell, 5 repetitions",
        "  Pocket 2M Q8_0  pp50+tg50 · context 2,048",
        "expected: time not known yet: nothing was measured here before with Pocket 2M Q8_0",
    ]
    assert json.loads(run("sessions", "--json").stdout) == []


def test_the_plan_before_it_runs_and_the_selfcheck_after() -> None:
    done = run("bench", "pocket-2m", "-pg", "16,8", "-pg", "8,4", "-r", "2", "-t", "1", "--selfcheck", "--delay", "0.1")
    assert done.returncode == 0
    assert done.stderr.startswith("standard: 2 cells, 4 repetitions, time not known yet")
    check = [line.split() for line in done.stdout.splitlines() if "%" in line and line.startswith("Pocket")]
    assert [line[3] for line in check] == ["pp16+tg8", "pp8+tg4"]
    for line in check:
        assert abs(float(line[5])) < 100, "our prefill beside the engine's"
        assert abs(float(line[7])) < 100, "our decode beside the engine's"
    again = run("bench", "pocket-2m", "-p", "16", "-n", "8", "-t", "1", "--dry-run")
    assert "from earlier measurements on this machine" in again.stdout


def test_together_is_marked() -> None:
    rows = json.loads(run("bench", "pocket-2m", STORY, *FAST, "--together", "--json").stdout)
    assert {row["together"] for row in rows} == {True}
