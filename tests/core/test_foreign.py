from __future__ import annotations

from collections.abc import Callable

import pytest

from slmtui.core.events import MemoryPart
from slmtui.core.foreign import ForeignError, read_rows
from slmtui.core.foreign_rows import Readings, readings
from slmtui.core.measurement import Averages, Settings
from tests.llama_bench import BOTH, DECODE, MARKDOWN, OLD, PREFILL, SQL, Row, as_csv, as_json, as_jsonl

NAME = "results.txt"


def read(text: str) -> Readings:
    return readings(read_rows(text), NAME)


@pytest.mark.parametrize("form", [as_json, as_jsonl])
def test_every_sample_is_a_measurement(form: Callable[..., str]) -> None:
    found = read(form(PREFILL, DECODE))
    prefill, decode = found.measurements[:3], found.measurements[3:]
    assert [m.timing.prefill_tps for m in prefill] == pytest.approx([2048.0, 512 / 0.26, 512 / 0.24])
    assert [m.timing.decode_tps for m in decode] == pytest.approx([128 / 0.495, 128 / 0.505])
    assert [m.repetition for m in found.measurements] == [0, 1, 2, 0, 1]
    assert [m.cell for m in found.measurements] == ["1"] * 3 + ["2"] * 2
    assert {(m.timing.depth, m.kind, m.averaged) for m in found.measurements} == {(64, "bench", False)}
    assert all(m.timing.decode_tps is None for m in prefill)
    assert all(m.timing.prefill_tps is None for m in decode)
    assert found.combined == 0


def test_a_row_says_what_is_known_of_model_machine_and_settings() -> None:
    found = read(as_json(PREFILL))
    first = found.measurements[0]
    assert (found.program, first.source) == ("llama-bench 0c1e570 (6789)", f"llama-bench 0c1e570 (6789), {NAME}")
    assert (found.machine.cpu.name, found.machine.gpus) == ("Intel(R) Xeon(R) Processor", ())
    assert (first.model, first.name) == ("models/stories-Q8_0.gguf", "stories-Q8_0")
    assert first.measured_at == "2026-11-21T09:43:00.000+00:00"
    facts = first.facts
    assert (facts.architecture, facts.quantization, facts.name) == ("llama", "Q4_K_M", "llama 1B Q4_K - Medium")
    assert (facts.weights_bytes, facts.parameters) == (2233344, 2098432)
    assert facts.engine == "llama.cpp b6789 (0c1e570)"
    assert first.settings == Settings(
        threads=2,
        threads_batch=2,
        batch=2048,
        micro_batch=512,
        type_k="f16",
        type_v="q8_0",
        flash_attention="auto",
        device="cpu",
        gpu_layers=0,
        extra_buffers=True,
    )
    assert (first.file_sha256, first.load_s, first.process_memory, first.warmup_runs) == (None, None, None, None)


def test_an_old_build_has_a_flag_for_each_backend() -> None:
    found = read(as_json(OLD))
    first = found.measurements[0]
    settings = first.settings
    assert (settings.device, settings.gpu_layers, settings.flash_attention) == ("cuda,gpu_blas,blas", 99, "on")
    assert (settings.split_mode, settings.tensor_split) == ("row", None)
    assert settings.other == "use_mmap=False"
    assert settings.extra_buffers is None
    assert (first.name, first.facts.quantization) == ("seven", "Q4_0")
    assert [(gpu.name, gpu.vendor) for gpu in found.machine.gpus] == [("NVIDIA GeForce RTX 4070", "NVIDIA")]
    assert first.timing.depth == 0


def test_csv_holds_means_only_and_keeps_their_deviation() -> None:
    found = read(as_csv(PREFILL, DECODE, {**OLD, **DECODE, "flash_attn": 1}))
    assert len(found.measurements) == 3
    prefill, decode, again = found.measurements
    assert prefill.averaged
    assert prefill.timing.prefill_tps == 2048.0
    assert prefill.averages == Averages(mean_tps=2050.190031, sd_tps=82.068379, sd_s=0.01)
    assert decode.timing.decode_s == 0.5
    assert (prefill.settings.flash_attention, again.settings.flash_attention) == ("auto", "on")
    assert (prefill.settings.extra_buffers, prefill.settings.other) == (True, None)


@pytest.mark.parametrize("form", [as_json, as_jsonl, as_csv])
def test_one_figure_for_both_phases_is_left_out_and_counted(form: Callable[..., str]) -> None:
    found = read(form(PREFILL, BOTH, BOTH))
    assert found.combined == 2
    assert {m.timing.generated_tokens for m in found.measurements} == {0}
    with pytest.raises(ForeignError, match="all of its 1 rows measure prompt and generation as one figure"):
        read(form(BOTH))


def test_rows_of_slmtui_keep_what_llama_bench_does_not_know() -> None:
    ours: Row = {
        **PREFILL,
        "slmtui_version": "0.1.0",
        "python_version": "3.11.7",
        "model": "pocket-5m:Q8_0",
        "model_name": "Pocket 5M Q8_0",
        "file_sha256": "b7" * 32,
        "engine": "llama.cpp via llama-cpp-python 0.3.36",
        "device": "cpu",
        "weights_bytes": 5_600_000,
        "together": True,
        "instruction_sets": "AVX2; FMA",
    }
    del_build = {name: value for name, value in ours.items() if not name.startswith("build_")}
    found = read(as_json(del_build))
    first = found.measurements[0]
    assert (found.program, found.slmtui, found.python) == ("slmtui 0.1.0", "0.1.0", "3.11.7")
    assert (first.model, first.name, first.file_sha256) == ("pocket-5m:Q8_0", "Pocket 5M Q8_0", "b7" * 32)
    assert first.facts.engine == "llama.cpp via llama-cpp-python 0.3.36"
    assert first.engine_memory == (MemoryPart("weights", "cpu", 5_600_000),)
    assert first.together
    assert found.machine.cpu.instruction_sets == ("AVX2", "FMA")


def test_control_characters_in_any_field_are_dropped() -> None:
    evil = "\x1b[2Jname\u202e\x07"
    names = ("build_commit", "cpu_info", "model_filename", "model_type", "backends", "type_k", "split_mode")
    found = read(as_json({**PREFILL, **dict.fromkeys(names, evil)}))
    said = repr(found)
    assert "name" in said
    assert not any(char in said for char in ("\\x1b", "\\x07", "\\u202e"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is empty"),
        (" \n\t", "it is empty"),
        ("[\n]\n", "it holds no rows; llama-bench may have failed"),
        (MARKDOWN, "it is llama-bench's Markdown table, .* run llama-bench again with -o json"),
        (SQL, "it is llama-bench's SQL; run llama-bench again with -o json"),
        ("hello\nworld\n", "it is none of llama-bench's JSON, JSONL or CSV, nor an export of slmtui"),
        (as_json(PREFILL)[:-40], "line 46: it is no JSON .*; perhaps the program was stopped while it wrote"),
        (as_jsonl(PREFILL, DECODE) + '{"n_prompt": ', "line 3: it is no JSON"),
        (as_jsonl(PREFILL) + "[1]\n", "line 2: it is not an object with fields"),
        ("[1, 2]", "row 1: it is not an object with fields"),
        ("[" * 100_000, "line 1: its lists are nested too deeply"),
        (
            '{"model": "x"}',
            "line 1: it has no model_filename and no n_prompt and no n_gen and no test_time, so it is not",
        ),
        (as_csv(PREFILL)[:-30], "line 2: it is no CSV .unexpected end of data."),
        (as_csv(PREFILL) + '"a","b"\n', "line 3: it has 2 values under 42 names; it may be cut off"),
        (as_csv(PREFILL).replace("build_number,", "build_commit,", 1), "line 1: a column stands there twice"),
        (as_json(PREFILL, {**PREFILL, "n_prompt": "many"}), "row 2: n_prompt 'many' is not a whole number"),
        (as_json(PREFILL, {**PREFILL, "n_prompt": True}), "row 2: n_prompt True is not a whole number"),
        (as_jsonl(PREFILL, {**PREFILL, "n_gen": -1}), "line 2: n_gen -1 is not from 0 to"),
        (as_json({**PREFILL, "samples_ns": [1, 0]}), "row 1: samples_ns holds 0, which is not a whole number over 0"),
        (as_json({**PREFILL, "samples_ns": 7}), "row 1: samples_ns 7 is not a list"),
        (as_json({**PREFILL, "test_time": "yesterday"}), "row 1: test_time 'yesterday' is no date and time"),
        (as_json({**PREFILL, "model_filename": 7}), "row 1: model_filename 7 is not text"),
        (as_csv({**PREFILL, "avg_ns": ""}), "line 2: it has neither samples_ns nor avg_ns"),
        (as_csv({**PREFILL, "avg_ts": "nan"}), "line 2: avg_ts 'nan' is not a number of 0 or more"),
        (as_csv({**PREFILL, "flash_attn": "perhaps"}), "line 2: flash_attn 'perhaps' is neither true nor false"),
        (as_json({**PREFILL, "n_prompt": 0}), "row 1: n_prompt and n_gen are both 0, so it measures nothing"),
        (as_json(PREFILL, OLD), "row 2: it was measured on another machine than row 1; split the file"),
        (as_json(PREFILL).replace("2050.190031", "NaN"), "it is no JSON .NaN is no number"),
        (as_json(PREFILL).replace("2050.190031", "9" * 5000), "it is no JSON .*digits"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ForeignError, match=f"^(?:{complaint})"):
        read(text)
