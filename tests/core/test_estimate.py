"""Estimates by hand: memory part by part, decode and prefill from rates."""

from __future__ import annotations

import msgspec
import pytest

from slmtui.core.ceiling import Ceiling, MatmulRate, StepRate
from slmtui.core.estimate import Cache, Group, Range
from slmtui.core.estimate_memory import (
    TOKEN_BYTES,
    WORKER_BYTES,
    Host,
    Packing,
    Setup,
    cells,
    kv_bytes,
    memory_parts,
    needed_bytes,
    process_bytes,
    reserved_bytes,
)
from slmtui.core.estimate_speed import LAYER_S, PLAIN_SHARE, Rates, speed, step_bytes_per_s
from slmtui.core.machine import EngineState
from tests.core.estimates import AMX, LAYER, MIB, RATES, SHORT, WEIGHTS, anatomy, sizes, tensor


def test_plain_weights_are_the_mapped_file() -> None:
    parts = sizes(memory_parts(anatomy(), SHORT, Host()))
    assert parts["weights"] == WEIGHTS // 32 * 34
    assert parts["KV cache"] == 8 * 512 * 2 * 256 * 2
    assert parts["worker"] == WORKER_BYTES
    assert parts["vocabulary"] == TOKEN_BYTES[False] * 32_768
    assert parts["output"] == 4 * 32_768
    assert not parts.keys() & {"repacked weights", "file copy", "recurrent state"}


def test_repacked_weights_are_there_twice_and_one_of_them_can_go() -> None:
    parts = memory_parts(anatomy(), SHORT, Host(packing=AMX))
    by_kind = sizes(parts)
    assert by_kind["repacked weights"] == WEIGHTS // 32 * 38, "four bytes a block more, the output matrix included"
    assert by_kind["file copy"] == WEIGHTS // 32 * 34
    assert "weights" not in by_kind
    assert process_bytes(parts) - needed_bytes(parts, gpu=False) == by_kind["file copy"]


def test_an_output_matrix_of_its_own_leaves_the_embedding_in_the_file() -> None:
    groups = (*anatomy().groups, Group(tensor("output.weight", "q8_0", 1024, 32_768), 1))
    by_kind = sizes(memory_parts(anatomy(groups=groups), SHORT, Host(packing=AMX)))
    assert by_kind["weights"] == 1024 * 32_768 // 32 * 34


def test_repacked_ends_of_the_file_are_given_back() -> None:
    """llama.cpp unmaps what lies before the first and behind the last tensor that it uses in the file."""
    first, last = tensor("output.weight", "q8_0", 1024, 32_768), tensor("blk.7.ffn_up.weight", "q8_0", 1024, 2560)
    odd = tensor("blk.7.odd.weight", "q8_0", 1024, 33)
    with_ends = anatomy(ends=((first,), (odd, last)))
    copy = sizes(memory_parts(anatomy(), SHORT, Host(packing=AMX)))["file copy"]
    left = sizes(memory_parts(with_ends, SHORT, Host(packing=AMX)))["file copy"]
    assert copy - left == first.bytes + last.bytes


@pytest.mark.parametrize(
    ("kind", "width", "rows", "packed"),
    [
        ("q8_0", 64, 32, 64 * 32 // 32 * 38),
        ("q4_K", 256, 32, 32 * 148),
        ("q5_K", 256, 32, 32 * 180),
        ("q6_K", 256, 32, 32 * 210),
        ("iq4_xs", 256, 32, 32 * 138),
        ("f16", 48, 32, 48 * 32 * 2),
        ("q8_0", 96, 32, None),
        ("q8_0", 64, 33, None),
        ("f32", 256, 32, None),
        ("bf16", 256, 32, None),
        ("q5_0", 256, 32, None),
        ("q4_K", 256, 40, 40 * 144),  # not AMX's 32, but AVX2's 8
    ],
)
def test_what_amx_takes(kind: str, width: int, rows: int, packed: int | None) -> None:
    assert AMX.packed_bytes(tensor("blk.0.x.weight", kind, width, rows)) == packed


NEON = "CPU : NEON = 1 | ARM_FMA = 1 | DOTPROD = 1 | REPACK = 1 |"


@pytest.mark.parametrize(
    ("build", "trial", "kinds"),
    [
        ("CPU : AVX2 = 1 | REPACK = 1 |", "sound", {"q4_0", "iq4_nl", "q4_K"}),
        ("CPU : AVX2 = 1 | AVX512 = 1 | REPACK = 1 |", "sound", {"q4_0", "iq4_nl", "q4_K", "q2_K"}),
        ("CPU : AVX2 = 1 | AMX_INT8 = 1 | REPACK = 1 |", "sound",
         {"q4_0", "iq4_nl", "q4_K", "q8_0", "q5_K", "q6_K", "iq4_xs", "f16"}),
        ("CPU : AVX2 = 1 | AMX_INT8 = 0 | REPACK = 1 |", "sound", {"q4_0", "iq4_nl", "q4_K"}),
        (NEON, "sound", {"q4_0", "iq4_nl", "q4_K", "q5_K", "q6_K", "q8_0"}),
        ("CPU : AVX2 = 1 |", "sound", set()),
        ("CPU : AVX2 = 1 | AMX_INT8 = 1 | REPACK = 1 |", "plain buffers only", set()),
        (None, "sound", set()),
    ],
)  # fmt: skip
def test_what_a_build_repacks(build: str | None, trial: str, kinds: set[str]) -> None:
    engine = msgspec.convert({"name": "llama.cpp", "build": build, "trial": trial}, EngineState)
    packing = Packing.of(engine)
    looked_at = ("q4_0", "iq4_nl", "q4_K", "q2_K", "q8_0", "q5_K", "q6_K", "iq4_xs", "f16", "f32", "q3_K")
    assert {kind for kind in looked_at if packing.packed_bytes(tensor("blk.0.x.weight", kind, 256, 64))} == kinds


def test_no_engine_repacks_nothing() -> None:
    assert Packing.of(None) == Packing()


def test_files_do_not_count_where_the_system_does_not_charge_them() -> None:
    parts = memory_parts(anatomy(), SHORT, Host(charges_files=False))
    weights = sizes(parts)["weights"]
    assert needed_bytes(parts, gpu=False) - process_bytes(parts) == weights


@pytest.mark.parametrize(
    ("context", "window", "expected"),
    [(512, None, 512), (513, None, 768), (1, None, 256), (4096, 512, 1024), (512, 512, 512), (100_000, 4096, 4608)],
)
def test_cells_of_a_cache(context: int, window: int | None, expected: int) -> None:
    assert cells(context, window) == expected


def test_layers_with_a_window_keep_the_window() -> None:
    mixed = anatomy(caches=(Cache(2, 256, 256, None), Cache(6, 256, 256, 512)))
    setup = Setup(context=8192, type_k="q8_0", type_v="f16")
    per_cell = 256 // 32 * 34 + 256 * 2
    assert kv_bytes(mixed, setup) == (2 * 8192 + 6 * 1024) * per_cell


def test_logits_may_be_the_largest_buffer() -> None:
    wide = anatomy(vocabulary=262_144)
    assert reserved_bytes(wide, SHORT) == 32 * 4 * 262_144 + 4 * 512 * 1024
    assert reserved_bytes(anatomy(), SHORT) == 512 * (4 * (3 * 2560 + 4 * 1024 + 10) + 2 * 512)


def test_layers_on_a_gpu() -> None:
    model, host = anatomy(), Host(packing=AMX)
    whole = memory_parts(model, Setup(context=4096, gpu_layers=99), host)
    there = sizes(whole, gpu=True)
    assert there["weights"] == WEIGHTS // 32 * 34, "eight layers, and the embedding as output matrix"
    assert there["KV cache"] == 8 * 4096 * 2 * 256 * 2
    assert there.keys() >= {"compute", "GPU context"}
    assert sizes(whole)["weights"] == 1024 * 32_768 // 32 * 34, "the embedding stays here"
    assert "KV cache" not in sizes(whole)
    half = memory_parts(model, Setup(context=4096, gpu_layers=5), host)
    assert sizes(half, gpu=True)["weights"] == (4 * LAYER + 1024 * 32_768) // 32 * 34, "the output goes first"
    assert sizes(half)["KV cache"] == sizes(half, gpu=True)["KV cache"]
    unified = memory_parts(model, Setup(context=4096, gpu_layers=99), Host(unified=True))
    assert "GPU context" not in sizes(unified, gpu=True)


# -- speed


def test_time_for_a_byte_lies_between_the_measured_sizes() -> None:
    steps = (StepRate(16, 50.0), StepRate(64, 25.0))
    assert step_bytes_per_s(steps, 1) == 50
    assert step_bytes_per_s(steps, 16) == 50
    assert step_bytes_per_s(steps, 32) == pytest.approx(1 / (0.5 / 50 + 0.5 / 25))
    assert step_bytes_per_s(steps, 1000) == 25
    assert step_bytes_per_s(steps[::-1], 32) == step_bytes_per_s(steps, 32)
    assert step_bytes_per_s(steps[:1], 1000) == 50
    three = (*steps, StepRate(256, 10.0))
    assert step_bytes_per_s(three, 32) == step_bytes_per_s(steps, 32)
    assert step_bytes_per_s(three, 128) == pytest.approx(1 / (0.5 / 25 + 0.5 / 10))


def test_decode_is_the_time_of_the_weights_and_of_the_layers() -> None:
    found = speed(anatomy(), SHORT, Host(), RATES)
    size = WEIGHTS // 32 * 34
    expected = size / step_bytes_per_s(RATES.steps["q8_0"], size) + 8 * LAYER_S
    assert found.decode_tps is not None
    assert found.decode_tps.likely == pytest.approx(1 / expected)
    assert found.decode_tps.low < found.decode_tps.likely < found.decode_tps.high
    assert found.weight_type == "q8_0"


def test_decode_is_slower_after_a_long_context_and_with_a_state() -> None:
    def decode(depth: int = 0, caches: tuple[Cache, ...] = anatomy().caches, state_bytes: int = 0) -> float:
        changed = anatomy(caches=caches, state_bytes=state_bytes)
        found = speed(changed, Setup(context=8192), Host(), RATES, depth).decode_tps
        assert found is not None
        return found.likely

    assert decode() > decode(depth=1000) > decode(depth=8000)
    windowed = (Cache(8, 256, 256, 512),)
    assert decode(depth=8000, caches=windowed) == pytest.approx(decode(depth=512))
    assert decode() > decode(state_bytes=20 * MIB)


def test_a_matrix_that_cannot_be_repacked_is_slower() -> None:
    odd = anatomy(groups=(Group(tensor("token_embd.weight", "q8_0", 1024, 32_769), 1),), layers=0)
    packed, plain = (speed(odd, SHORT, Host(packing=packing), RATES).decode_tps for packing in (Packing(), AMX))
    assert packed is not None
    assert plain is not None
    assert plain.likely / packed.likely == pytest.approx(PLAIN_SHARE)


def test_decode_from_the_bandwidth_alone() -> None:
    rates = Rates(read_bytes_per_s=50e9, basis="that you gave")
    found = speed(anatomy(), SHORT, Host(), rates)
    size = WEIGHTS // 32 * 34
    assert found.decode_tps is not None
    assert found.decode_tps.low < 0.45 * 50e9 / size
    assert 0.5 * 50e9 / size < found.decode_tps.likely < 0.6 * 50e9 / size
    assert found.decode_tps.high < 0.9 * 50e9 / size
    assert found.prefill_tps is None
    assert "40 % to 85 %" in found.basis[0]
    assert "not known" in found.basis[1]


def test_nothing_measured_means_nothing_said() -> None:
    found = speed(anatomy(), SHORT, Host(), Rates())
    assert (found.decode_tps, found.prefill_tps) == (None, None)


def test_prefill_takes_each_type_at_its_own_rate() -> None:
    mixed = list(anatomy().groups)
    mixed[-1] = Group(tensor("blk.0.ffn_down.weight", "f16", 2560, 1024), 8)
    slower = msgspec.structs.replace(RATES, matmul={**RATES.matmul, "f16": 50e9})
    whole = speed(anatomy(), SHORT, Host(), slower).prefill_tps
    part = speed(anatomy(groups=tuple(mixed)), SHORT, Host(), slower).prefill_tps
    assert whole is not None
    assert part is not None
    assert part.likely < 0.6 * whole.likely
    quantized = speed(anatomy(), Setup(context=512, type_k="q8_0", type_v="q8_0"), Host(), slower).prefill_tps
    assert quantized is not None
    assert quantized.likely < whole.likely, "attention over a quantized cache is slower"


def test_rates_of_a_ceiling() -> None:
    rate = MatmulRate(type="f16", flops=1e11, steps=(StepRate(16, 5e9),))
    found = Rates.of(Ceiling(read_bytes_per_s=1e10, matmul=(rate, MatmulRate(type="f32", flops=2e11)), threads=4))
    assert (found.read_bytes_per_s, found.threads, found.basis) == (1e10, 4, "measured on this machine")
    assert found.steps == {"f16": (StepRate(16, 5e9),)}
    assert found.matmul == {"f16": 1e11, "f32": 2e11}
    assert "other programs" in Rates.of(Ceiling(cpu_share=0.4)).basis


def test_a_type_that_was_not_measured_is_taken_for_its_neighbour() -> None:
    rates = Rates(steps={"q8_0": (StepRate(1, 40e9),), "q4_K": (StepRate(1, 10e9),)}, matmul={"f32": 1e11})
    near = speed(anatomy("q4_1"), SHORT, Host(), rates).decode_tps
    own = speed(anatomy("q4_K"), SHORT, Host(), rates).decode_tps
    assert near is not None
    assert own is not None
    size = {kind: anatomy(kind).weights_bytes for kind in ("q4_1", "q4_K")}
    assert near.likely / own.likely == pytest.approx(size["q4_K"] / size["q4_1"], rel=0.02)


def test_ranges() -> None:
    assert Range(1, 2, 4).times(0.5) == Range(0.5, 1, 2)
