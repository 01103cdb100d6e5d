from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from slmtui.core import diff_words
from slmtui.core.diff import Comparison, DiffError, Finding, Phase, Verdict, compare, of_model
from slmtui.core.events import ModelFacts, ProcessMemory
from slmtui.core.machine import Cpu, Machine
from slmtui.core.measurement import Averages, Environment, Measurement, Settings
from slmtui.core.results import CellResult, cell_results
from slmtui.core.unlike import unlike
from tests.samples import ENVIRONMENT, full_measurement, measurement, session, timing

JITTER = (1.0, 0.99, 1.01, 0.995, 1.005)
SETTINGS = Settings(threads=2, batch=2048, micro_batch=512, context=512, type_k="f16", type_v="f16", device="cpu")


def runs(factor: float = 1.0, jitter: Sequence[float] = JITTER, **changes: object) -> list[Measurement]:
    """Repetitions of one cell that take `factor` times the usual time in every phase."""
    return [
        msgspec.structs.replace(
            measurement(number),
            **{
                "settings": SETTINGS,
                "timing": timing(prefill_s=0.25 * factor * one, decode_s=0.5 * factor * one, ttft_s=0.3 * factor * one),
                "process_memory": ProcessMemory(pss_bytes=40_000_000),
                **changes,
            },
        )
        for number, one in enumerate(jitter)
    ]


def cells(*groups: list[Measurement]) -> tuple[CellResult, ...]:
    return cell_results([each for group in groups for each in group])


def findings(comparison: Comparison) -> dict[Phase, Finding]:
    (cell,) = comparison.cells
    return {finding.phase: finding for finding in cell.findings}


def test_what_is_slower_by_more_than_the_tolerance_is_a_regression() -> None:
    found = compare(cells(runs()), cells(runs(1.2)))
    by_phase = findings(found)
    assert list(by_phase) == ["prefill", "decode", "TTFT", "memory"]
    decode = by_phase["decode"]
    assert decode.ratio.value == pytest.approx(1 / 1.2)
    assert decode.ratio.low is not None
    assert decode.ratio.high is not None
    assert decode.ratio.low < 1 / 1.2 < decode.ratio.high < 0.95
    assert (decode.verdict, decode.beyond, decode.within) == (Verdict.SLOWER, True, False)
    assert decode.a.median == pytest.approx(256)
    first_token = by_phase["TTFT"]
    assert first_token.ratio.value == pytest.approx(1.2)
    assert (first_token.verdict, first_token.slower_beyond) == (Verdict.SLOWER, True)
    assert (by_phase["memory"].verdict, by_phase["memory"].a.n) == (Verdict.FEW, 1)
    assert [finding.phase for _, finding in found.regressions] == ["prefill", "decode", "TTFT"]


def test_the_other_way_round_it_is_faster_and_no_regression() -> None:
    found = compare(cells(runs(1.2)), cells(runs()))
    assert {finding.verdict for finding in findings(found).values()} == {Verdict.FASTER, Verdict.FEW}
    assert found.regressions == ()


def test_a_regression_is_shown_only_if_the_whole_interval_lies_beyond_the_tolerance() -> None:
    a, b = cells(runs()), cells(runs(1.06))
    shown = findings(compare(a, b))["decode"]
    assert (shown.verdict, shown.beyond, shown.within) == (Verdict.SLOWER, False, False)
    assert compare(a, b).regressions == ()
    assert findings(compare(a, b, 0.02))["decode"].slower_beyond
    assert findings(compare(a, b, 0.2))["decode"].within


def test_the_same_again_shows_no_difference_and_that_none_is_large() -> None:
    found = findings(compare(cells(runs()), cells(runs(1.001))))
    assert (found["decode"].verdict, found["decode"].within) == (Verdict.OPEN, True)
    noisy = findings(compare(cells(runs(jitter=(1, 1.3, 0.8))), cells(runs(1.1))))
    assert (noisy["decode"].verdict, noisy["decode"].within) == (Verdict.OPEN, False)


def test_one_repetition_has_a_ratio_and_no_verdict() -> None:
    found = findings(compare(cells(runs()), cells(runs(2.0, jitter=(1.0,)))))["decode"]
    assert found.ratio.value == pytest.approx(0.5, rel=1e-3)
    assert (found.ratio.low, found.ratio.high, found.verdict, found.beyond) == (None, None, Verdict.FEW, False)


def test_memory_that_grew_is_told_and_is_no_slowness() -> None:
    def loads(size: int) -> tuple[CellResult, ...]:
        memory = [ProcessMemory(pss_bytes=size + 4096 * number) for number in range(3)]
        return cells(*(runs(plan=str(number), process_memory=one) for number, one in enumerate(memory)))

    found = compare(loads(40_000_000), loads(80_000_000))
    assert (findings(found)["memory"].verdict, findings(found)["memory"].beyond) == (Verdict.MORE, True)
    assert findings(found)["memory"].a.n == 3, "one value a load"
    assert found.regressions == ()
    assert findings(compare(loads(80_000_000), loads(40_000_000)))["memory"].verdict is Verdict.LESS
    assert "memory is 2.000 times A's" in diff_words.sentence(found.cells[0], findings(found)["memory"])


def test_means_of_another_program_have_no_interval_however_many_there_are() -> None:
    averages = Averages(mean_tps=200.0, sd_tps=2.0, repetitions=5)
    imported = [
        measurement(
            number, cell=f"row {number}", settings=SETTINGS, source="llama-bench", averaged=True, averages=averages
        )
        for number in range(2)
    ]
    found = findings(compare(cells(runs()), cells(imported)))["decode"]
    assert found.ratio.value == pytest.approx(200 / 256, rel=1e-3)
    assert (found.ratio.low, found.verdict) == (None, Verdict.FEW)


def test_rows_of_llama_bench_are_compared_phase_by_phase() -> None:
    apart: dict[str, Any] = {"settings": SETTINGS, "source": "llama-bench", "cell": ""}
    prefill = runs(timing=timing(prefill_s=0.25, decode_s=None, decode_steps=0, generated_tokens=0), **apart)
    decode = runs(timing=timing(prefill_s=None, prompt_tokens=0, decode_s=1.0), **apart)
    found = compare(cells(runs()), cells(prefill, decode))
    shown = {finding.phase: finding.ratio.value for _, finding in found.findings}
    assert shown["prefill"] == pytest.approx(1.0, rel=1e-3)
    assert shown["decode"] == pytest.approx(0.5, rel=1e-3)
    assert (found.only_a, found.only_b) == ((), ())
    assert [cell.a.shape for cell in found.cells] == ["pp512", "tg128"]


def test_decode_after_the_prompt_is_named_by_its_depth() -> None:
    found = compare(cells(runs(after_prompt=True)), cells(runs(after_prompt=True)))
    assert [diff_words.what(found.cells[0], phase) for phase in ("prefill", "decode", "TTFT")] == [
        "prefill pp512",
        "decode tg128 @ d512",
        "TTFT",
    ]


def test_a_column_of_first_tokens_has_one_unit() -> None:
    assert [diff_words.figure("TTFT", seconds) for seconds in (0.0123, 0.098, 0.105, 61.0)] == [
        "12.3 ms", "98.0 ms", "105 ms", "61,000 ms",
    ]  # fmt: skip


def test_what_is_missing_on_one_side_is_not_compared() -> None:
    no_decode = [msgspec.structs.replace(each, process_memory=None) for each in runs()]
    assert list(findings(compare(cells(no_decode), cells(runs())))) == ["prefill", "decode", "TTFT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", 4),
        ("threads_batch", 8),
        ("batch", 512),
        ("micro_batch", 128),
        ("context", 4096),
        ("type_k", "q8_0"),
        ("type_v", "q8_0"),
        ("flash_attention", "off"),
        ("device", "cuda:0"),
        ("gpu_layers", 99),
    ],
)
def test_cells_of_other_settings_are_no_match_and_the_listing_says_why(name: str, value: object) -> None:
    usual = msgspec.structs.replace(SETTINGS, threads_batch=2, flash_attention="auto", gpu_layers=0)
    other = msgspec.structs.replace(usual, **{name: value})
    found = compare(cells(runs(settings=usual)), cells(runs(settings=other)))
    assert found.cells == ()
    (only_a,), (only_b,) = found.only_a, found.only_b
    assert only_a.differs == only_b.differs == (name,)
    assert str(value) in diff_words.only_words(only_b)
    assert "the other has" in diff_words.only_words(only_b)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "pocket-2m:Q8_0"},
        {"together": True},
        {"kind": "chat"},
        {"timing": timing(depth=512)},
        {"after_prompt": True},
        {"timing": timing(prompt_tokens=256)},
    ],
)
def test_cells_of_another_model_mode_kind_or_shape_are_no_match(changes: dict[str, Any]) -> None:
    found = compare(cells(runs()), cells(runs(**changes)))
    assert (len(found.cells), len(found.only_a), len(found.only_b)) == (0, 1, 1)
    assert found.only_a[0].differs == ()


def test_a_setting_that_one_side_does_not_tell_keeps_nothing_apart() -> None:
    untold = msgspec.structs.replace(SETTINGS, context=None, micro_batch=None)
    assert len(compare(cells(runs()), cells(runs(settings=untold))).cells) == 1
    deep = msgspec.structs.replace(SETTINGS, context=4096)
    unclear = compare(cells(runs(), runs(settings=deep, cell="deep")), cells(runs(settings=untold)))
    assert unclear.cells == (), "it could be either"
    assert "not told" in diff_words.only_words(unclear.only_b[0])


def test_repetitions_of_several_plans_in_one_session_are_one_cell() -> None:
    twice = [*runs(cell="1.001", plan="1"), *runs(cell="2.001", plan="2")]
    (found,) = compare(cells(twice), cells(runs())).cells
    assert (found.findings[0].a.n, found.findings[0].b.n) == (10, 5)


def test_two_models_of_one_session_are_matched_by_shape_and_settings() -> None:
    all_cells = cells(runs(), runs(1.5, model="pocket-2m:Q8_0", name="Pocket 2M Q8_0"))
    found = compare(of_model(all_cells, "pocket-5m"), of_model(all_cells, "Pocket 2M Q8_0"), across_models=True)
    assert findings(found)["decode"].ratio.value == pytest.approx(1 / 1.5)
    assert diff_words.models(found.cells[0]) == "Pocket 5M Q8_0 / Pocket 2M Q8_0"


def test_one_model_in_two_engines_is_matched_by_the_settings_that_both_have() -> None:
    own = Settings(batch=2048, context=512, type_k="bf16", type_v="bf16", device="cpu")
    ours = runs(1.5, model="pocket-5m:bf16", settings=own, facts=ModelFacts(engine="MLX 0.31.2", kv_type="bf16"))
    theirs = runs(facts=ModelFacts(engine="llama.cpp"))
    found = compare(cells(theirs), cells(ours), across_models=True)
    assert findings(found)["decode"].ratio.value == pytest.approx(1 / 1.5)
    said = unlike(found, session(), session(), across_models=True)
    assert "KV cache: f16 in A, bf16 in B." in said
    wide = runs(settings=msgspec.structs.replace(SETTINGS, batch=64), facts=ModelFacts(engine="llama.cpp"))
    (only,) = compare(cells(wide), cells(ours), across_models=True).only_a
    assert only.differs == ("batch",)


def test_a_model_is_named_so_that_only_one_is_meant() -> None:
    all_cells = cells(runs(), runs(model="pocket-5m:F16", name="Pocket 5M F16"))
    assert {each.model for each in of_model(all_cells, "pocket-5m:F16")} == {"pocket-5m:F16"}
    with pytest.raises(DiffError, match="pocket-5m:Q8_0 or pocket-5m:F16"):
        of_model(all_cells, "pocket-5m")
    with pytest.raises(DiffError, match="it has pocket-5m:Q8_0, pocket-5m:F16"):
        of_model(all_cells, "qwen")


def test_answers_of_a_chat_are_compared_and_are_no_regression() -> None:
    found = compare(cells(runs(kind="chat")), cells(runs(2.0, kind="chat")))
    assert findings(found)["decode"].slower_beyond
    assert found.regressions == ()


def test_settings_that_vary_stand_beside_the_shape() -> None:
    four = msgspec.structs.replace(SETTINGS, threads=4)
    side = cells(runs(), runs(settings=four, cell="four"))
    found = compare(side, side)
    assert found.varying == ("threads",)
    assert [diff_words.shape(cell.a, found.varying) for cell in found.cells] == [
        "pp512 tg128 · threads 2",
        "pp512 tg128 · threads 4",
    ]
    assert compare(cells(runs()), cells(runs())).varying == ()
    untold = cells(runs(), runs(settings=msgspec.structs.replace(SETTINGS, threads=None), cell="untold"))
    assert compare(untold, untold).varying == (), "what is not told is no other value"


def words(factor: float, tolerance: float = 0.05) -> str:
    found = compare(cells(runs()), cells(runs(factor)), tolerance)
    cell = found.cells[0]
    return diff_words.sentence(cell, next(each for each in cell.findings if each.phase == "decode"))


def test_a_figure_in_words() -> None:
    assert words(1.25).startswith("Pocket 5M Q8_0, pp512 tg128: decode is 20 % slower (19 % to 21 %)")
    assert "decode is 25 % faster (" in words(0.8)
    assert "decode is 3.000 times A's (" in words(1 / 3)
    assert "decode shows no difference (B/A 1.000" in words(1.0)
    few = compare(cells(runs()), cells(runs(jitter=(1.0,))))
    assert "too few repetitions" in diff_words.sentence(few.cells[0], few.cells[0].findings[0])


def test_a_verdict_in_words_says_what_is_known_of_its_size() -> None:
    def said(factor: float) -> str:
        found = compare(cells(runs()), cells(runs(factor)))
        return diff_words.verdict(findings(found)["decode"], found.tolerance)

    assert said(1.2) == "slower by more than 5 %"
    assert said(1.06) == "slower"
    assert said(1.025) == "slower by less than 5 %"
    assert said(1.0) == "no difference shown, none over 5 %"
    assert said(0.8) == "faster by more than 5 %"


def test_the_summary_begins_with_the_regressions_or_with_their_absence() -> None:
    bad = diff_words.summary(compare(cells(runs()), cells(runs(1.2))))
    assert bad[0] == "B is slower by more than 5 % in 3 figures:"
    assert "TTFT is 20 % longer" in "\n".join(bad)
    good = diff_words.summary(compare(cells(runs()), cells(runs())))
    assert good[0].startswith("No regression is shown")
    assert good[1] == "Of 4 figures: 3 without a difference that can be shown, 1 with too few repetitions or loads."


def different(a: list[Measurement], b: list[Measurement], environment: Environment = ENVIRONMENT) -> str:
    comparison = compare(cells(a), cells(b))
    return "\n".join(unlike(comparison, session(), session(environment=environment)))


def test_like_things_have_nothing_unlike() -> None:
    assert different(runs(), runs(1.2)) == ""
    same = [full_measurement(number, kind="bench") for number in range(2)]
    assert different(same, same) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file_sha256": "ab" * 32}, "file is not the same (SHA-256 b7b7b7b7b7b7… in A, abababababab… in B)"),
        (
            {"facts": ModelFacts(engine="llama.cpp 2")},
            "Engine: llama.cpp via llama-cpp-python 0.3.36 in A, llama.cpp 2",
        ),
        ({"facts": ModelFacts(engine_build="CPU : AVX2 = 1 | AMX = 1")}, "Engine build: FMA = 1 in A, AMX = 1 in B."),
        ({"facts": ModelFacts()}, "Engine build: known in A, not told in B."),
        ({"power": "mains"}, "Power: battery in A, mains in B."),
        ({"governor": None}, "Frequency governor: powersave in A, not told in B."),
    ],
)
def test_unlike_things_are_told(changes: dict[str, Any], said: str) -> None:
    a = [full_measurement(number, kind="bench") for number in range(2)]
    b = [full_measurement(number, kind="bench", **changes) for number in range(2)]
    assert said in different(a, b)


def test_another_machine_or_program_is_told() -> None:
    other = Environment(slmtui="0.2.0", python="3.12", machine=Machine(cpu=Cpu(name="Other 1"), power="battery 50 %"))
    told = different(runs(), runs(), other)
    for sentence in (
        "Program: slmtui 0.1.0 in A, slmtui 0.2.0 in B.",
        "Processor: Testium 9000 in A, Other 1 in B.",
        "Memory: 16 GiB in A, not told in B.",
        "Power: not told in A, battery in B.",
    ):
        assert sentence in told


def test_the_charge_of_a_battery_is_no_other_source() -> None:
    assert different(runs(power="battery 80 %"), runs(power="battery 79 %")) == ""
    assert "Power: mains in A, battery in B." in different(runs(power="mains"), runs(power="battery 79 %"))


def test_chats_about_other_prompts_are_told() -> None:
    a, b = runs(kind="chat", prompt_sha256="aa"), runs(kind="chat", prompt_sha256="bb")
    assert "other prompts" in different(a, b)
    assert different(a, a) == ""
