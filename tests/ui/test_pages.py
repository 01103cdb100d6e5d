from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slmtui.core.catalog import LocalModel
from slmtui.core.events import MemoryPart, ModelFacts, ProcessMemory, Timing
from slmtui.core.measurement import Averages, Measurement, MemorySample, Settings
from slmtui.core.plan import Cell, Setup, Shape
from slmtui.core.results import cell_results
from slmtui.ui.pages.clock import CLOCK, TOKENS, along, between_tokens
from slmtui.ui.pages.devices import DEVICES, side_by_side
from slmtui.ui.pages.entry import Bars, Exhibit, Memories, Page, View, entries_of
from slmtui.ui.pages.memory import IN_TIME, SPLIT, in_time, split
from slmtui.ui.pages.pages import PAGES
from slmtui.ui.pages.speed import SIZE, against_size, speeds
from slmtui.ui.pages.sweep import against_depth, against_threads
from slmtui.ui.widgets.page_table import filled, matches
from slmtui.ui.widgets.plot_chart import Plot, Point
from tests.samples import measurement, timing

MIB = 1024**2
SMALL, LARGE = "Pocket 2M Q8_0", "Pocket 5M Q8_0"


def run(
    name: str = LARGE, repetition: int = 0, *, cell: str = "a", parameters: int = 5_000_000, **changes: object
) -> Measurement:
    """A repetition of a cell with the figures that charts need."""
    base = measurement(
        repetition,
        model=name,
        cell=cell,
        name=name,
        wall_s=1.0,
        facts=ModelFacts(parameters=parameters, weights_bytes=parameters),
        settings=Settings(threads=2, context=512),
    )
    return msgspec.structs.replace(base, **changes)


def seen(*measurements: Measurement, cells: dict[str, Cell] | None = None) -> View:
    varying = frozenset(("threads",)) if cells else frozenset[str]()
    return View(entries=entries_of(cell_results(measurements), cells, varying))


def the_plot(exhibit: Exhibit, place: int = 0) -> Plot:
    chart = exhibit.charts[place]
    assert isinstance(chart, Plot)
    return chart


def points(plot: Plot, series: int = 0) -> list[tuple[float | None, float | None]]:
    return [(point.x, point.y) for point in plot.series[series].points]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.key)
def test_a_page_without_measurements_says_so_in_a_sentence(page: Page) -> None:
    shown = page.build(View())
    assert shown.charts == ()
    assert shown.missing.endswith(".")
    assert shown.rows == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.key)
def test_a_page_takes_a_measurement_that_leaves_everything_empty(page: Page) -> None:
    bare = msgspec.structs.replace(run(), timing=Timing(), facts=ModelFacts(), settings=Settings(), wall_s=None)
    shown = page.build(seen(bare))
    assert bool(shown.charts) != bool(shown.missing)
    for row in shown.rows.values():
        assert row.keys() - {"order"} <= {column.key for column in page.columns}


def test_labels_say_only_what_differs() -> None:
    def labels(*found: Measurement) -> list[str]:
        return [entry.label for entry in entries_of(cell_results(found))]

    assert labels(run()) == [LARGE]
    assert labels(run(), run(SMALL)) == [LARGE, SMALL]
    deep = msgspec.structs.replace(timing(), depth=256)
    assert labels(run(), run(cell="b", timing=deep)) == ["d0", "d256"]
    four = Settings(threads=4, context=512)
    assert labels(run(), run(SMALL, cell="b", settings=four)) == [f"{LARGE} · 2 threads", f"{SMALL} · 4 threads"]
    untold = Settings(context=512)
    assert labels(run(), run(SMALL, cell="b", settings=untold)) == [LARGE, SMALL], "not told is no other value"
    assert labels(run(), run(cell="b", together=True)) == [LARGE, "together"]
    assert labels(run(), run(cell="b", source="llama-bench b6 (6789), a.json")) == [
        LARGE,
        f"{LARGE} (llama-bench a.json)",
    ]


def test_speeds_are_bars_with_their_spread_and_rows_with_all_figures() -> None:
    found = [run(repetition=n, timing=timing(prefill_s=s, decode_s=0.5)) for n, s in enumerate((0.25, 0.5, 0.512))]
    shown = speeds(seen(*found, run(SMALL)))
    assert [chart.title for chart in shown.charts if isinstance(chart, Bars)] == ["Prefill, tok/s", "Decode, tok/s"]
    bars = shown.charts[0]
    assert isinstance(bars, Bars)
    assert [bar.label for bar in bars.bars] == [LARGE, SMALL]
    summary = bars.bars[0].summary
    assert summary is not None
    assert (summary.median, summary.q1, summary.q3) == (1024.0, 1012.0, 1536.0)
    row = shown.rows["0 prefill"]
    assert [row[key].text for key in ("median", "quartiles", "least", "most", "n")] == [
        "1,024",
        "1,012–1,536",
        "1,000",
        "2,048",
        "3",
    ]
    assert "1 of 2 cells are noisy" in shown.note


def test_only_the_picked_phase_is_shown() -> None:
    shown = speeds(View(entries=seen(run()).entries, phases=("decode",)))
    assert len(shown.charts) == 1
    assert list(shown.rows) == ["0 decode"]


def test_means_of_another_program_have_no_quartiles() -> None:
    averages = Averages(mean_tps=250.0, sd_tps=5.0, repetitions=5)
    foreign = run(averaged=True, averages=averages, source="llama-bench, a.json", timing=timing(prefill_s=None))
    row = speeds(seen(foreign)).rows["0 decode"]
    assert [row[key].text for key in ("median", "quartiles", "least", "n")] == ["250", "± 5.00", "—", "5"]
    assert "measured here" in along(seen(foreign)).missing


def test_size_is_fitted_with_a_power_law() -> None:
    def sized(parameters: int, decode_s: float) -> Measurement:
        return run(str(parameters), parameters=parameters, timing=timing(prefill_s=None, decode_s=decode_s))

    shown = against_size(seen(sized(1_000_000, 0.1), sized(10_000_000, 1.0), sized(100_000_000, 10.0)))
    plot = the_plot(shown)
    assert plot.x.log
    assert plot.y.log
    decode = next(each for each in plot.series if each.label.startswith("decode"))
    assert [(point.x, point.y) for point in decode.points] == [(1e6, 1280.0), (1e7, 128.0), (1e8, 12.8)]
    assert [point.y for point in decode.fitted] == pytest.approx([1280.0, 12.8])
    assert decode.label == "decode ∝ n^−1.00"
    assert "twice as many, 0.50 × the speed" in shown.note
    assert shown.rows["0"]["parameters"].text == "1M"


def test_size_says_what_it_lacks() -> None:
    assert "one size, 5M parameters" in against_size(seen(run(), run(SMALL))).missing
    assert "how many parameters" in against_size(seen(run(facts=ModelFacts()))).missing
    two = against_size(seen(run(), run(SMALL, parameters=2_000_000)))
    assert "two points only" in two.note


def memory_of(**sizes: int) -> ProcessMemory:
    return ProcessMemory(**{f"{name}_bytes": size * MIB for name, size in sizes.items()})


def test_memory_is_split_by_kind_beside_the_process() -> None:
    parts = (
        MemoryPart("weights", "CPU", 3 * MIB),
        MemoryPart("weights", "AMX", 2 * MIB),
        MemoryPart("KV cache", "CPU", MIB),
    )
    found = run(
        engine_memory=parts,
        process_memory=memory_of(rss=60, pss=40, uss=30),
        peak_rss_bytes=70 * MIB,
        memory_samples=(MemorySample(at_s=0.0, memory=memory_of(rss=65, pss=50, uss=35)),),
    )
    shown = split(seen(found, run(SMALL)))
    (chart,) = shown.charts
    assert isinstance(chart, Memories)
    (use,) = chart.uses
    assert use.label == f"{LARGE} · context 512"
    assert dict(use.engine) == {"weights": 5 * MIB, "KV cache": MIB, "state": None, "compute": None, "output": None}
    assert [(each.name, (each.now or 0) // MIB, (each.peak or 0) // MIB) for each in use.process] == [
        ("PSS", 40, 50),
        ("USS", 30, 35),
        ("RSS", 60, 70),
    ]
    assert [(row["by"].text, row["kind"].text, row["now"].text) for row in shown.rows.values()] == [
        ("engine", "weights", "5 MiB"),
        ("engine", "KV cache", "1 MiB"),
        ("process", "PSS", "40 MiB"),
        ("process", "USS", "30 MiB"),
        ("process", "RSS", "60 MiB"),
    ]
    assert "does not say" in split(seen(run())).missing


def test_memory_in_time_stands_on_one_clock() -> None:
    def sampled(repetition: int) -> Measurement:
        samples = tuple(MemorySample(at_s=at, memory=memory_of(pss=40 + repetition)) for at in (0.25, 0.5))
        return run(repetition=repetition, memory_samples=samples)

    shown = in_time(seen(sampled(0), sampled(2)))
    assert points(the_plot(shown)) == [(0.25, 40.0), (0.5, 40.0), (2.25, 42.0), (2.5, 42.0)]
    assert the_plot(shown).y.words == "worker's PSS, MiB"
    assert [row["at"].text for row in shown.rows.values()] == ["0.25 s", "0.50 s", "2.25 s", "2.50 s"]
    assert "No memory was sampled" in in_time(seen(run())).missing


def test_speed_on_the_clock_has_the_temperature_beside_it() -> None:
    found = [run(repetition=n, temperature_c=50.0 + n, temperature_after_c=51.0 + n) for n in range(3)]
    shown = along(seen(*found))
    assert points(the_plot(shown)) == [(0.0, 256.0), (1.0, 256.0), (2.0, 256.0)]
    heat = the_plot(shown, 1)
    assert heat.y.unit == "°C"
    assert heat.series[0].points[:2] == (Point(0.0, 50.0), Point(1.0, 51.0))
    cold = along(seen(*(run(repetition=n) for n in range(3))))
    assert len(cold.charts) == 1
    assert "No temperature" in cold.note
    assert "one repetition so far" in along(seen(run())).missing


def test_a_long_run_is_told_in_minutes() -> None:
    late = run(repetition=1, measured_at="2026-11-21T01:51:00Z")
    assert the_plot(along(seen(run(), late))).x.unit == "min"


def test_latency_is_the_median_over_the_repetitions() -> None:
    def steps(repetition: int, *at_s: float) -> Measurement:
        return run(repetition=repetition, timing=timing(token_at_s=at_s))

    shown = between_tokens(seen(steps(0, 0.0, 0.001, 0.003), steps(1, 0.0, 0.003), steps(2, 0.0, 0.002, 0.008)))
    assert [at for at, _ in points(the_plot(shown))] == [2.0, 3.0]
    assert [latency for _, latency in points(the_plot(shown))] == pytest.approx([2.0, 4.0])
    first = next(iter(shown.rows.values()))
    assert [first[key].text for key in ("n", "p50", "max", "where")] == ["3", "1.50", "2.00", "3"]
    assert "fewer than two tokens" in between_tokens(seen(run())).missing


def test_depth_is_drawn_for_each_model_apart() -> None:
    def deep(name: str, depth: int, decode_s: float) -> Measurement:
        settings = Settings(threads=2, context=depth + 512)
        return run(name, cell=f"{name} {depth}", settings=settings, timing=timing(depth=depth, decode_s=decode_s))

    shown = against_depth(
        seen(deep(LARGE, 1024, 1.0), deep(LARGE, 0, 0.5), deep(SMALL, 0, 0.25), deep(SMALL, 1024, 0.5))
    )
    decode = the_plot(shown, 1)
    assert decode.y.label == "decode"
    assert [each.label for each in decode.series] == [LARGE, SMALL]
    assert points(decode) == [(0.0, 256.0), (1024.0, 128.0)]
    assert decode.x.marks == (0.0, 1024.0)
    assert shown.rows["0"]["depth"].text == "1,024"
    assert "at depth 0" in against_depth(seen(run())).missing


def planned(key: str, threads: int | None, tmp_path: Path) -> Cell:
    model = LocalModel(id=LARGE, name=LARGE, path=tmp_path / "a.gguf", size_bytes=1)
    return Cell(key=key, model=model, setup=Setup(threads=threads), shape=Shape())


def test_threads_are_drawn_although_the_context_differs(tmp_path: Path) -> None:
    found = [
        run(cell=str(threads), settings=Settings(threads=threads, context=256 * threads, batch=256 * threads))
        for threads in (1, 2, 4)
    ]
    cells = {str(threads): planned(str(threads), threads, tmp_path) for threads in (1, 2, 4)}
    view = seen(*found, cells=cells)
    assert [entry.label for entry in view.entries] == ["1 thread", "2 threads", "4 threads"]
    shown = against_threads(view)
    assert points(the_plot(shown, 1)) == [(1.0, 256.0), (2.0, 256.0), (4.0, 256.0)]
    assert [each.label for each in the_plot(shown).series] == [LARGE]
    assert "on 2 threads" in against_threads(seen(run())).missing


@pytest.mark.parametrize(
    ("words", "found"), [("", True), ("5m", True), ("POCKET prefill", True), ("2m", False), ("pp512 1,024", False)]
)
def test_a_filter_looks_for_every_word_in_the_row(words: str, found: bool) -> None:
    row = speeds(seen(run(timing=timing(prefill_s=1.0)))).rows["0 prefill"]
    assert matches(row, words) is found


def test_columns_that_nothing_fills_are_left_out() -> None:
    assert filled(SIZE.columns, ()) == SIZE.columns
    shown = speeds(seen(run())).rows
    left = {column.key for column in filled(PAGES[0].columns, shown.values())}
    assert "setup" not in left
    assert {"model", "median", "n"} <= left


def test_pages_have_distinct_keys_and_sort_by_something_they_have() -> None:
    assert len({page.key for page in PAGES}) == len(PAGES) == 9
    for page in (CLOCK, TOKENS, SPLIT, IN_TIME):
        assert page.sort == "order"


def test_series_keep_their_marks_when_others_are_hidden() -> None:
    def steps(name: str) -> Measurement:
        return run(name, timing=timing(token_at_s=(0.0, 0.001)))

    every = seen(steps(LARGE), steps(SMALL))
    some = View(entries=every.entries[1:])
    assert the_plot(between_tokens(some)).series[0] == the_plot(between_tokens(every)).series[1]


def test_a_gpu_stands_beside_the_processor() -> None:
    fast = msgspec.structs.replace(timing(), prefill_s=0.025, decode_s=0.125)
    gpu = run(cell="b", timing=fast, settings=Settings(threads=2, context=512, device="gpu", gpu_layers=-1))
    gpu = msgspec.structs.replace(gpu, facts=ModelFacts(device="CUDA0"))
    cpu = run(settings=Settings(threads=2, context=512, device="cpu", gpu_layers=0))
    shown = side_by_side(seen(cpu, gpu, run(SMALL, cell="c")))
    assert shown.note == "CUDA0 has 10.0 times the speed of cpu in prefill, 4.000 times in decode."
    prefill, decode = shown.rows.values()
    assert [prefill[key].text for key in ("test", "a", "b", "ratio")] == ["prefill pp512", "cpu", "CUDA0", "10.0"]
    assert [decode[key].text for key in ("a speed", "b speed", "ratio")] == ["256", "1,024", "4.000"]
    assert prefill.keys() == {column.key for column in DEVICES.columns} | {"order"}
    (bars, _) = shown.charts
    assert isinstance(bars, Bars)
    assert len(bars.bars) == 2, "the cell that ran in one place only is left out"
    assert "one device" in side_by_side(seen(cpu)).missing
