from __future__ import annotations

import pytest

from slmtui.core.bench_rows import bench_rows
from slmtui.core.events import Energy, StopReason
from slmtui.core.machine import Cpu, Gpu, Machine
from slmtui.core.measurement import Averages, Environment, Settings
from slmtui.core.results import by_phase, cell_results, memory_by_kind, shape_label
from slmtui.core.rows import COLUMNS
from slmtui.core.stats import summarize
from tests.samples import FULL_ENVIRONMENT, full_measurement, measurement, timing

MACHINE = Machine(cpu=Cpu(name="Testium 9000"), gpus=(Gpu(index=0, name="Graphium", vendor="unknown"),))
ENVIRONMENT = Environment(slmtui="0.1.0", python="3.11.7", machine=MACHINE)


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


def test_a_cell_that_an_older_version_began_stays_one_when_it_is_continued() -> None:
    old = measurement(0, plan="1", settings=Settings(batch=512, micro_batch=256, device="cpu"))
    new = [measurement(n, plan="1", settings=Settings(batch=512, device="cpu")) for n in (1, 2)]
    (result,) = cell_results([old, *new])
    assert len(result.measurements) == 3
    assert len(by_phase([result])) == 2
    apart = [measurement(n, plan="1", settings=Settings(gpu_layers=20 + n)) for n in (0, 1)]
    assert len(cell_results(apart)) == 2, "as many layers as fit are not always as many"


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
    assert bench_rows([result], ENVIRONMENT) == []


def test_rows_are_llama_benchs() -> None:
    seconds = (0.25, 0.26, 0.24)
    repeated = [
        full_measurement(n, kind="bench", timing=timing(s, s, depth=16, ttft_s=s)) for n, s in enumerate(seconds)
    ]
    prefill, decode = bench_rows(cell_results(repeated), ENVIRONMENT)
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
    (prefill,) = bench_rows(cell_results([prefill_only]), ENVIRONMENT)
    (decode,) = bench_rows(cell_results([decode_only]), ENVIRONMENT)
    assert (prefill["n_prompt"], decode["n_gen"]) == (512, 128)


def test_what_is_not_known_is_none() -> None:
    row = bench_rows(cell_results([measurement()]), Environment(slmtui="0.1.0", python="3.11.7"))[0]
    unknown = ("cpu_info", "backends", "model_type", "flash_attn", "file_sha256", "weights_bytes", "ttft_s")
    assert {row[name] for name in unknown} == {None}


def test_one_noisy_phase_makes_the_cell_noisy_and_only_its_row() -> None:
    spread = [measurement(n, timing=timing(0.25, 0.5 + 0.2 * n)) for n in range(3)]
    (result,) = cell_results(spread)
    assert result.noisy
    assert [row["noisy"] for row in bench_rows([result], ENVIRONMENT)] == [False, True]


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


def test_a_bench_row_says_where_its_figures_come_from() -> None:
    repeated = [full_measurement(n, kind="bench", plan="0123abcd", load_average=1.0 + n) for n in range(3)]
    prefill, decode = bench_rows(cell_results(repeated), FULL_ENVIRONMENT)
    for row in (prefill, decode):
        assert (row["slmtui_version"], row["python_version"], row["system"]) == ("0.1.0", "3.11.7", "Linux 6")
        assert (row["instruction_sets"], row["gpu_driver"]) == ("AVX2; FMA", "580.12")
        assert (row["plan"], row["preset"], row["cool_down_s"]) == ("0123abcd", "standard", 2.0)
        assert (row["flash_attn"], row["flash_attn_used"]) == (-1, True)
        assert (row["load_average"], row["temperature_c"], row["temperature_after_c"]) == (1.0, 51.5, 54.5)
        assert row["ceiling_read_bytes_per_s"] == 2e10
        assert row["process_peak_pss_bytes"] == 33_000_000
        assert (row["energy_meter"], row["decode_j_per_token"]) == ("RAPL package-0", 12 / 128)
        assert row["overhead_s"] == pytest.approx(0.105)
        assert (row["power"], row["governor"]) == ("battery 83 %", "powersave")


def test_every_column_that_holds_for_a_cell_is_in_a_bench_row() -> None:
    (row, _) = bench_rows(cell_results([full_measurement(kind="bench")]), FULL_ENVIRONMENT)
    assert {column.name for column in COLUMNS if column.of_cell} <= set(row)


def test_decode_after_a_prompt_is_deeper_and_a_cell_of_its_own() -> None:
    apart, after = measurement(0), measurement(1, after_prompt=True)
    first, second = cell_results([apart, after])
    assert (first.shape, second.shape) == ("pp512 tg128", "pp512+tg128")
    prefill, decode = bench_rows([second], ENVIRONMENT)
    assert (prefill["n_depth"], decode["n_depth"]) == (0, 512)


def test_another_programs_average_is_the_centre_and_its_deviation_the_spread() -> None:
    averages = Averages(mean_tps=2048.5, sd_tps=12.0, sd_s=0.004, repetitions=5)
    mean = measurement(
        timing=timing(0.25, None, decode_steps=0), averaged=True, averages=averages, source="llama-bench"
    )
    (result,) = cell_results([mean])
    assert result.averaged
    assert result.source == "llama-bench"
    assert result.prefill_tps is not None
    assert (result.prefill_tps.mean, result.prefill_tps.median, result.prefill_tps.sd) == (2048.5, 2048.5, 12.0)
    assert (result.prefill_tps.n, result.noisy, result.decode_tps) == (5, False, None)


def test_a_cell_has_the_median_of_energy_and_the_largest_of_memory() -> None:
    energies = (6.0, 5.0, 9.0)
    (result,) = cell_results(
        [
            full_measurement(n, kind="bench", timing=timing(energy=Energy(meter="RAPL", prefill_j=j, decode_j=None)))
            for n, j in enumerate(energies)
        ]
    )
    assert (result.energy_meter, result.prefill_j_per_token) == ("RAPL", 6.0 / 512)
    assert result.decode_j_per_token is None
    assert (result.peak_uss_bytes, result.peak_gpu_bytes) == (28_000_000, 13_000_000)
