from __future__ import annotations

import pytest

from slmtui.core.events import StopReason
from slmtui.core.machine import Cpu, Gpu, Machine
from slmtui.core.measurement import Settings
from slmtui.core.results import bench_rows, cell_results, memory_by_kind, shape_label
from slmtui.core.stats import summarize
from tests.samples import full_measurement, measurement, timing

MACHINE = Machine(cpu=Cpu(name="Testium 9000"), gpus=(Gpu(index=0, name="Graphium", vendor="unknown"),))


def test_repetitions_of_a_cell_are_summarized() -> None:
    seconds = (0.25, 0.26, 0.24)
    (result,) = cell_results([measurement(n, timing=timing(s, 2 * s)) for n, s in enumerate(seconds)])
    assert result.prefill_tps == summarize([512 / s for s in seconds])
    assert result.decode_tps == summarize([128 / (2 * s) for s in seconds])
    assert result.ttft_s is None
    assert (result.shape, result.noisy, len(result.measurements)) == ("pp512 tg128", False, 3)


def test_models_cells_shapes_and_settings_do_not_mix() -> None:
    others = [
        measurement(1, model="other"),
        measurement(2, cell="again"),
        measurement(3, timing=timing(depth=64)),
        measurement(4, together=True),
        measurement(5, settings=Settings(threads=8)),
        measurement(6, session="20261122-0000-0000"),
        full_measurement(7),
    ]
    assert len(cell_results([measurement(0), *others])) == 1 + len(others)


def test_interleaved_repetitions_come_back_in_order_of_first_appearance() -> None:
    mixed = [measurement(n // 2, model=model) for n, model in enumerate(["b", "a"] * 3)]
    results = cell_results(mixed)
    assert [result.model for result in results] == ["b", "a"]
    assert [[m.repetition for m in result.measurements] for result in results] == [[0, 1, 2]] * 2


def test_a_cancelled_repetition_does_not_count() -> None:
    cancelled = measurement(1, timing=timing(9.0), reason=StopReason.CANCELLED)
    (result,) = cell_results([measurement(0), cancelled])
    assert result.prefill_tps == summarize([512 / 0.25])
    assert cell_results([cancelled]) == ()


def test_answers_of_a_chat_are_one_cell_whatever_their_length() -> None:
    answers = [full_measurement(n, timing=timing(prompt_tokens=10 + n, ttft_s=0.1 * n)) for n in range(3)]
    (result,) = cell_results(answers)
    assert result.shape == "chat"
    assert result.ttft_s is not None
    assert result.ttft_s.n == 3
    assert result.process_bytes == 31_000_000
    assert bench_rows([result], MACHINE) == []


def test_rows_are_llama_benchs() -> None:
    seconds = (0.25, 0.26, 0.24)
    repeated = [
        full_measurement(n, kind="bench", timing=timing(s, s, depth=16, ttft_s=s)) for n, s in enumerate(seconds)
    ]
    prefill, decode = bench_rows(cell_results(repeated), MACHINE)
    assert (prefill["n_prompt"], prefill["n_gen"], prefill["n_depth"]) == (512, 0, 16)
    assert (decode["n_prompt"], decode["n_gen"], decode["n_depth"]) == (0, 128, 16)
    for row, tokens in ((prefill, 512), (decode, 128)):
        speeds = [tokens / s for s in seconds]
        summary = summarize(speeds)
        assert summary is not None
        assert row["samples_ns"] == [250_000_000, 260_000_000, 240_000_000]
        assert row["samples_ts"] == speeds
        assert (row["avg_ns"], row["stddev_ns"]) == (250_000_000, 10_000_000)
        assert (row["avg_ts"], row["stddev_ts"]) == (summary.mean, summary.sd)
        assert (row["median_ts"], row["q1_ts"], row["q3_ts"]) == (summary.median, summary.q1, summary.q3)
        # llama-bench's own rule between its columns, so that its readers can rely on it here too.
        for nanoseconds, speed in zip(row["samples_ns"], row["samples_ts"], strict=True):
            assert (row["n_prompt"] + row["n_gen"]) * 1e9 / nanoseconds == pytest.approx(speed)
        assert row["ttft_s"] == 0.25
        assert (row["model_type"], row["model_size"], row["model_n_params"]) == (
            "llama Q8_0",
            5_600_000,
            5_246_208,
        )
        assert (row["cpu_info"], row["gpu_info"], row["backends"]) == ("Testium 9000", "Graphium", "CPU")
        assert (row["n_threads"], row["n_batch"], row["n_ubatch"], row["type_k"]) == (2, 2048, 512, "f16")
        assert (row["flash_attn"], row["n_gpu_layers"], row["warmup_runs"]) == (-1, 0, 3)
        assert (row["weights_bytes"], row["kv_cache_bytes"]) == (5_600_000, 4_000_000)


def test_a_phase_that_was_not_measured_has_no_row() -> None:
    prefill_only = measurement(timing=timing(0.25, None, decode_steps=0, generated_tokens=0))
    decode_only = measurement(timing=timing(None, 0.5, prompt_tokens=0))
    (prefill,) = bench_rows(cell_results([prefill_only]), Machine())
    (decode,) = bench_rows(cell_results([decode_only]), Machine())
    assert (prefill["n_prompt"], decode["n_gen"]) == (512, 128)


def test_what_is_not_known_is_none() -> None:
    row = bench_rows(cell_results([measurement()]), Machine())[0]
    unknown = ("cpu_info", "backends", "model_type", "flash_attn", "file_sha256", "weights_bytes", "ttft_s")
    assert {row[name] for name in unknown} == {None}


def test_one_noisy_phase_makes_the_cell_noisy_and_only_its_row() -> None:
    spread = [measurement(n, timing=timing(0.25, 0.5 + 0.2 * n)) for n in range(3)]
    (result,) = cell_results(spread)
    assert result.noisy
    assert [row["noisy"] for row in bench_rows([result], MACHINE)] == [False, True]


@pytest.mark.parametrize(
    ("shape", "label"),
    [
        ((512, 0, 0), "pp512"),
        ((0, 128, 0), "tg128"),
        ((512, 128, 64), "pp512+tg128 @ d64"),
        ((0, 0, 0), "nothing"),
    ],
)
def test_shape_label(shape: tuple[int, int, int], label: str) -> None:
    assert shape_label(*shape) == label


def test_memory_by_kind_sums_devices_and_leaves_the_rest_unknown() -> None:
    parts = full_measurement().engine_memory
    assert memory_by_kind(parts)["kv_cache_bytes"] == 4_000_000
    assert set(memory_by_kind(()).values()) == {None}
