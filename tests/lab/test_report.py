from __future__ import annotations

import csv
import io
import json
import platform
import re

import msgspec

from slmtui import __version__
from slmtui.core.bench_rows import bench_rows
from slmtui.core.events import ModelFacts
from slmtui.core.machine import Cpu, Machine
from slmtui.core.measurement import Averages, Environment, Settings
from slmtui.core.results import CellResult, cell_results
from slmtui.lab.report import escaped, render
from slmtui.lab.session_report import session_markdown
from tests.samples import FULL_ENVIRONMENT, full_measurement, measurement, session, timing

MACHINE = Machine(cpu=Cpu(name="Testium 9000"))
HERE = Environment(slmtui=__version__, python=platform.python_version(), machine=MACHINE)


def results(**changes: object) -> tuple[CellResult, ...]:
    seconds = (0.25, 0.26, 0.24)
    return cell_results(
        [
            msgspec.structs.replace(
                full_measurement(n, kind="bench", name="Pocket 5M Q8_0", timing=timing(s, s)), **changes
            )
            for n, s in enumerate(seconds)
        ]
    )


def test_json_is_llama_benchs_array() -> None:
    rows = json.loads(render(results(), MACHINE, "json"))
    assert rows == bench_rows(results(), HERE)
    assert [(row["n_prompt"], row["n_gen"]) for row in rows] == [(512, 0), (0, 128)]


def test_jsonl_is_one_document_a_line() -> None:
    printed = render(results(), MACHINE, "jsonl")
    assert printed.endswith("}\n")
    assert [json.loads(line) for line in printed.splitlines()] == bench_rows(results(), HERE)


def test_csv_holds_the_same_without_the_lists() -> None:
    first, second = csv.DictReader(io.StringIO(render(results(), MACHINE, "csv")))
    expected = bench_rows(results(), HERE)[0]
    assert set(expected) - set(first) == {"samples_ns", "samples_ts"}
    assert float(first["avg_ts"]) == expected["avg_ts"]
    assert (first["n_prompt"], first["demo"], first["noisy"]) == ("512", "1", "0")
    assert second["n_gen"] == "128"
    assert second["file_sha256"] == "b7" * 32


def test_csv_leaves_what_is_missing_empty() -> None:
    first = next(csv.DictReader(io.StringIO(render(cell_results([measurement()]), Machine(), "csv"))))
    assert first["cpu_info"] == first["weights_bytes"] == first["ttft_s"] == ""


def test_nothing_measured() -> None:
    assert render((), MACHINE, "json") == "[]\n"
    assert render((), MACHINE, "jsonl") == ""
    assert render((), MACHINE, "md").startswith("| model ")


def test_markdown_looks_like_llama_benchs() -> None:
    lines = render(results(), MACHINE, "md").splitlines()
    # The first two lines are llama-bench's own, character for character, and go on with our median.
    assert lines[0] == (
        "| model                          |       size |     params | backend    | threads |"
        "            test |                  t/s |    median |"
    )
    assert lines[1] == (
        "| ------------------------------ | ---------: | ---------: | ---------- | ------: |"
        " --------------: | -------------------: | --------: |"
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:4]]
    assert cells[0][:6] == ["Pocket 5M Q8_0", "5.34 MiB", "5.25 M", "CPU", "2", "pp512"]
    assert cells[1][5] == "tg128"
    assert cells[0][6] == "2050.19 ± 82.07"
    prefill = results()[0].prefill_tps
    assert prefill is not None
    assert cells[0][7] == f"{prefill.median:.2f}"
    assert {len(line) for line in lines[:4]} == {len(lines[0])}
    assert "Engine: llama.cpp via llama-cpp-python 0.3.36" in lines
    assert any(line.startswith("t/s: mean ± standard deviation of 3 repetitions") for line in lines)
    assert "demo models, good for trying slmtui only: Pocket 5M Q8_0" in lines
    assert not any("noisy" in line for line in lines)


def test_markdown_shows_depth_offloaded_layers_and_big_models() -> None:
    big = results(
        timing=timing(depth=4096),
        facts=ModelFacts(parameters=3_800_000_000, weights_bytes=5 * 1024**3),
        settings=Settings(device="cuda:0", gpu_layers=33),
        demo=False,
    )
    printed = render(big, MACHINE, "md")
    assert re.search(r"backend +\| ngl \| threads \|", printed)
    assert re.search(r"\| +5\.00 GiB \| +3\.80 B \| CUDA +\|  33 \| +— \| +pp512 @ d4096 \|", printed)
    assert "demo" not in printed


def test_a_setting_that_one_engine_does_not_have_is_not_varied() -> None:
    ours = results(model="other", settings=Settings(batch=512, device="cpu"))
    theirs = results(settings=Settings(batch=512, micro_batch=256, flash_attention="auto", device="cpu"))
    head = render([*theirs, *ours], MACHINE, "md").splitlines()[0]
    assert "n_ubatch" not in head
    assert " fa " not in head


def test_markdown_names_noisy_and_contended_cells() -> None:
    noisy = cell_results([measurement(n, timing=timing(0.25, 0.5 + n), together=True) for n in range(3)])
    lines = render(noisy, MACHINE, "md").splitlines()
    assert "noisy (spread over 20 % of the median), run again: Pocket 5M Q8_0 tg128" in lines
    assert "measured while other models ran: Pocket 5M Q8_0 pp512, Pocket 5M Q8_0 tg128" in lines


def test_foreign_names_break_no_table() -> None:
    printed = render(results(name="a|b\n\x1b[31m<c> [d](e)"), MACHINE, "md")
    assert r"a\|b \<c> \[d](e)" in printed
    assert "\x1b" not in printed
    assert escaped("`*\\") == r"\`\*\\"


def test_a_session_reads_as_a_report() -> None:
    spread = [measurement(n, timing=timing(0.25, 0.5 + n)) for n in range(3)]
    report = session_markdown(session(name="first | light"), [*spread, full_measurement(9)])
    assert report.startswith("# slmtui session first \\| light\n")
    assert "- CPU: Testium 9000, 4 cores" in report
    assert "- Memory: 16 GiB" in report
    assert "- GPU: —" in report
    assert "Models marked *demo*" in report
    cells = [line for line in report.splitlines() if line.startswith(("| Pocket", "| Größe"))]
    assert len(cells) == 2
    assert "2,048 (2,048 – 2,048), n = 3" in cells[0]
    assert "85.3 (68.3 – 171), n = 3" in cells[0]
    assert "| noisy" in cells[0]
    assert "| demo" in cells[1]
    assert report.count("| 2026-11-21T01:31:") == 4
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in report.splitlines() if line.startswith("| ")}
    assert widths == {12, 13}, "every row must have as many cells as its head"


def test_the_rows_survive_another_reader_of_json() -> None:
    decoded = msgspec.json.decode(render(results(), MACHINE, "json"))
    assert decoded[0]["model_name"] == "Pocket 5M Q8_0"


def test_both_reports_say_where_the_figures_come_from() -> None:
    measured = [full_measurement(n, kind="bench") for n in range(2)]
    report = session_markdown(session(environment=FULL_ENVIRONMENT), measured)
    printed = render(cell_results(measured), FULL_ENVIRONMENT.machine, "md")
    told = (
        "CPU: Testium chip, x86_64, 4 cores, 6 usable",
        "Instruction sets: AVX2, FMA",
        "Memory: 16 GiB (limited by cgroup v2 memory.max)",
        "GPU: Graphium (8 GiB, driver 580.12)",
        "System: Linux 6",
        f"SHA-256 {'b7' * 32}",
        "Engine build: CPU : AVX2 = 1 \\| FMA = 1",
        "threads 2, threads for prefill 4, batch 2048, micro-batch 512, context 4096, KV cache f16/f16, "
        "flash attention auto (used: on), device cpu, layers offloaded 0, split by layer, shares 3/1, "
        "repacked weights allowed",
        f"Chat template: {'cd' * 32}",
        "temperature 0, top-k 40, top-p 0.95, min-p 0.05, repeat penalty 1 over 64, seed 4294967295",
        "Warm-up runs: 3",
        "Cool-down: 2 s",
        "Power, governor: battery 83 %, powersave",
        "Load average: before 1, after 1.25",
        "Temperature: before 51.5 °C, after 54.5 °C",
        "Ceiling: reads 20 GB/s, q8_0 matrices 150 GFLOP/s, f16 matrices 90 GFLOP/s (4 threads",
        "Energy meter: RAPL package-0",
        "Tool overhead: 0.105 s a repetition (median)",
    )
    for words in told:
        assert words in report
        assert words in printed
    assert "0.0938 J" in report


def test_a_missing_meter_is_named() -> None:
    assert "Energy meter: none: no meter can be read here" in session_markdown(session(), [measurement()])


def test_columns_that_vary_are_shown_as_llama_bench_shows_them() -> None:
    types = ("f16", "q8_0")
    varied = cell_results(
        [measurement(cell=kind, settings=Settings(type_k=kind, type_v="f16", flash_attention="on")) for kind in types]
    )
    head = render(varied, MACHINE, "md").splitlines()[0]
    assert re.search(r"threads \| type_k \| +test", head)
    assert "type_v" not in head


def test_another_programs_mean_is_no_median() -> None:
    averages = Averages(mean_tps=2048.5, sd_tps=12.0)
    source = "llama-bench 3b15924 (6789), a\x1b[2J|b.csv"
    mean = measurement(averaged=True, averages=averages, source=source, timing=timing(0.25, None, decode_steps=0))
    report = session_markdown(session(), [mean])
    assert "2,048 ± 12.0 " in report
    assert r"averaged, by llama-bench 3b15924 (6789), a\|b.csv" in report
    assert "\x1b" not in report
