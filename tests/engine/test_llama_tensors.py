"""What the tensors of real files say about decode and prefill, and what made-up lists of tensors do."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.core.events import Inspected, ModelFacts
from slmtui.core.work import Header, Tensor, Work, work
from slmtui.engine.llama_tensors import model_work, read_tensors
from slmtui.engine.protocol import Load
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY, run, worker

LAYERS, HIDDEN, KEYS, INNER, VOCABULARY = 6, 256, 128, 768, 2048
"""Pocket 5M's shape, from its header."""
LAYER_WEIGHTS = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KEYS + 3 * HIDDEN * INNER
NORMS = (2 * LAYERS + 1) * HIDDEN


def header(windowed: bool = False, **values: int) -> Header:
    known = {"general.architecture": "any", **{f"any.{key}": str(value) for key, value in values.items()}}
    return Header(known.get, windowed)


def tensor(name: str, *shape: int, kind: str = "f16", size: int = 2) -> Tensor:
    """A tensor of `size` bytes a value."""
    count = 1
    for length in shape:
        count *= length
    return Tensor(name, kind, (*shape, 1, 1, 1)[:4], count * size)


async def facts_of(path: Path, tmp_path: Path) -> ModelFacts:
    async with worker(tmp_path / "log") as client:
        told = (await run(client, Load(path=str(path), threads=1, inspect_only=True)))[-1]
    assert isinstance(told, Inspected), told
    return told.facts


@pytest.mark.parametrize("path", [F16, Q8_0, Q4_K_M, STORY], ids=lambda path: path.stem)
async def test_sizes_add_up_to_the_engines_own_sum(path: Path, tmp_path: Path) -> None:
    facts = await facts_of(path, tmp_path)
    tensors = read_tensors(path)
    assert sum(one.bytes for one in tensors) == facts.weights_bytes
    assert facts.decode_read_bytes == facts.weights_bytes, "the embedding of these models is the output matrix too"
    expected = work(tensors, header(block_count=99))
    assert (facts.prefill_flops, facts.attention_flops) == (expected.prefill_flops, expected.attention_flops)
    assert facts.weight_type == expected.weight_type


def test_pocket_by_hand() -> None:
    assert work(read_tensors(F16), header()) == Work(
        decode_read_bytes=2 * (LAYERS * LAYER_WEIGHTS + VOCABULARY * HIDDEN) + 4 * NORMS,
        prefill_flops=2 * LAYERS * LAYER_WEIGHTS,
        attention_flops=4 * LAYERS * HIDDEN,
        weight_type="f16",
    )
    blocks_of_32 = (LAYERS * LAYER_WEIGHTS + VOCABULARY * HIDDEN) // 32
    eight = work(read_tensors(Q8_0), header())
    assert eight.decode_read_bytes == 34 * blocks_of_32 + 4 * NORMS
    assert eight.prefill_flops == 2 * LAYERS * LAYER_WEIGHTS
    assert (eight.weight_type, work(read_tensors(Q4_K_M), header()).weight_type) == ("q8_0", "q4_K")


async def test_of_an_embedding_of_its_own_one_row_is_read(build: Build, pocket: Gguf, tmp_path: Path) -> None:
    pocket.tensors["output.weight"] = pocket.tensors["token_embd.weight"]
    facts = await facts_of(build("untied.gguf", pocket), tmp_path)
    matrices = 2 * (LAYERS * LAYER_WEIGHTS + VOCABULARY * HIDDEN)
    assert facts.decode_read_bytes == matrices + 4 * NORMS + 2 * HIDDEN
    assert facts.weights_bytes == matrices + 4 * NORMS + 2 * HIDDEN * VOCABULARY
    assert facts.prefill_flops == 2 * LAYERS * LAYER_WEIGHTS


def test_experts_count_by_the_share_that_is_used() -> None:
    layer = [
        tensor("blk.0.ffn_gate_inp.weight", 64, 8, kind="f32", size=4),
        tensor("blk.0.ffn_up_exps.weight", 64, 32, 8),
        tensor("blk.0.ffn_up_exps.bias", 32, 8),
        tensor("blk.0.ffn_up_shexp.weight", 64, 16),
    ]
    told = work([tensor("output.weight", 64, 100), *layer], header(expert_count=8, expert_used_count=2))
    router, expert, shared = 64 * 8, 64 * 32, 64 * 16
    assert told.decode_read_bytes == 2 * 64 * 100 + 4 * router + 2 * (2 * expert + 2 * 32) + 2 * shared
    assert told.prefill_flops == 2 * (router + 2 * expert + shared)
    assert told.weight_type == "f16"


def test_layers_for_further_tokens_are_not_evaluated() -> None:
    tensors = [tensor("token_embd.weight", 64, 100), *(tensor(f"blk.{n}.ffn_up.weight", 64, 32) for n in range(3))]
    told = work(tensors, header(block_count=3, nextn_predict_layers=1))
    assert told.decode_read_bytes == 2 * (64 * 100 + 2 * 64 * 32)
    assert told.prefill_flops == 2 * 2 * 64 * 32


def test_vectors_are_read_and_not_multiplied() -> None:
    told = work([tensor("output.weight", 8, 4), tensor("blk.0.attn_norm.weight", 8, kind="f32", size=4)], header())
    assert (told.decode_read_bytes, told.prefill_flops, told.weight_type) == (2 * 32 + 32, 0, None)


def test_a_sliding_window_leaves_attention_out() -> None:
    tensors = [tensor("blk.0.attn_output.weight", 64, 32)]
    assert work(tensors, header()).attention_flops == 4 * 64
    assert work(tensors, header(windowed=True)).attention_flops is None


def test_a_part_of_a_model_says_nothing_of_the_whole(tmp_path: Path) -> None:
    whole = sum(one.bytes for one in read_tensors(F16))
    assert model_work(F16, whole, header()) is not None
    assert model_work(F16, whole + 1, header()) is None
    assert model_work(tmp_path / "missing.gguf", whole, header()) is None


def test_what_is_no_gguf_has_no_tensors(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF" + bytes(100))
    assert read_tensors(other) == ()
    assert read_tensors(tmp_path / "missing.gguf") == ()
