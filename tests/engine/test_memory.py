"""Memory and facts of a load: what a dry run foretells, what is refused, what the header says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from slmtui.core import text
from slmtui.core.events import (
    FailureKind,
    Inspected,
    Loaded,
    Loading,
    MemoryPart,
    StopReason,
    total_bytes,
)
from slmtui.engine.protocol import Load
from tests.engine.conftest import Build
from tests.engine.gguf_files import Q4_0, Gguf, Tensor
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY, done, failed, loaded, of, run, tell, worker

LOG_ROUNDING_BYTES = 0.01 * 1024**2
F16_BYTES, Q8_0_BYTES = 2.0, 34 / 32


def kv_bytes(layers: int, kv_heads: int, head_size: int, context: int, element_bytes: float = F16_BYTES) -> float:
    """Keys and values of every layer for the whole context."""
    return layers * kv_heads * head_size * 2 * element_bytes * context


def size_of(path: str) -> int:
    return Path(path).stat().st_size


async def load(tmp_path: Path, request: Load) -> tuple[Loading, Loaded]:
    async with worker(tmp_path / "log") as client:
        events = await run(client, request)
    assert isinstance(events[-1], Loaded), events[-1]
    return of(events, Loading)[0], events[-1]


@pytest.mark.parametrize(
    ("request_", "kv"),
    [
        (Load(path=str(F16), context=512), kv_bytes(6, 4, 32, 512)),
        (Load(path=str(Q4_K_M), context=2048), kv_bytes(6, 4, 32, 2048)),
        (Load(path=str(Q8_0), context=1024, type_k="q8_0", type_v="q8_0"), kv_bytes(6, 4, 32, 1024, Q8_0_BYTES)),
        (
            Load(path=str(F16), context=1024, type_k="f32", type_v="f32", flash_attention="off"),
            kv_bytes(6, 4, 32, 1024, 4),
        ),
        (Load(path=str(STORY), context=4096, micro_batch=64), kv_bytes(5, 4, 8, 4096)),
        (Load(path=str(Q4_K_M), context=512, extra_buffers=False), kv_bytes(6, 4, 32, 512)),
    ],
)
async def test_the_dry_run_foretells_what_is_allocated(tmp_path: Path, request_: Load, kv: float) -> None:
    first, ending = await load(tmp_path, request_)
    for parts in (first.planned, ending.memory):
        assert total_bytes(parts, "KV cache") == pytest.approx(kv, abs=LOG_ROUNDING_BYTES)
        assert {part.device for part in parts} == {"CPU"}
    assert total_bytes(first.planned, "compute") == total_bytes(ending.memory, "compute") > 0
    assert total_bytes(first.planned, "output") == total_bytes(ending.memory, "output")
    weights = ending.facts.weights_bytes
    assert weights is not None
    assert total_bytes(first.planned, "weights") == weights
    assert total_bytes(ending.memory, "weights") >= weights - LOG_ROUNDING_BYTES
    assert weights < size_of(request_.path) < weights + 200_000
    assert ending.load_s > 0


@pytest.mark.parametrize("path", [F16, STORY])
async def test_inspecting_tells_the_same_and_loads_nothing(tmp_path: Path, path: Path) -> None:
    async with worker(tmp_path / "log") as client:
        events = await run(client, Load(path=str(path), context=512, inspect_only=True))
        assert isinstance(events[-1], Inspected)
        failed(await run(client, tell("Once")), FailureKind.BAD_REQUEST)
    first, ending = await load(tmp_path, Load(path=str(path), context=512))
    assert events[-1].planned == first.planned
    assert events[-1].facts == ending.facts


async def test_a_large_vocabulary_takes_no_large_compute_buffer(tmp_path: Path, build: Build) -> None:
    """Logits are wanted of one token at a time; those of a whole batch would be 105 MB here."""
    model, size = Gguf.read(STORY), 51_200
    for name, more in (("tokens", "word{}"), ("scores", 0.0), ("token_type", 1)):
        values = model.array(f"tokenizer.ggml.{name}")
        values += [more.format(n) if isinstance(more, str) else more for n in range(size - len(values))]
    model.set("llama.vocab_size", size)
    model.tensors["token_embd.weight"] = Tensor((64, size), Q4_0, bytes(64 * size // 32 * 18))
    async with worker(tmp_path / "log") as client:
        path = build("words.gguf", model)
        (told,) = of(await run(client, Load(path=str(path), context=512, inspect_only=True)), Inspected)
    assert told.facts.vocabulary == size
    assert total_bytes(told.planned, "compute") < 512 * size * 4 / 5


async def test_inspecting_leaves_the_loaded_model_alone(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        await run(client, Load(path=str(F16), inspect_only=True))
        done(await run(client, tell("Once upon a time", 2)), StopReason.LIMIT)


async def test_facts_of_a_bundled_model(tmp_path: Path) -> None:
    _, ending = await load(tmp_path, Load(path=str(Q4_K_M), threads=2, context=512))
    facts = ending.facts
    assert (facts.name, facts.architecture, facts.quantization) == ("Pocket 5M", "llama", "Q4_K_M")
    assert (facts.layers, facts.hidden_size, facts.heads, facts.kv_heads) == (6, 256, 8, 4)
    assert (facts.vocabulary, facts.trained_context, facts.context) == (2048, 512, 512)
    assert facts.parameters == 5_246_208
    assert (facts.licence, facts.template_source) == ("mit", "file header")
    template = Gguf.read(Q4_K_M).metadata["tokenizer.chat_template"][1]
    assert isinstance(template, str)
    assert facts.template_sha256 == hashlib.sha256(template.encode()).hexdigest()
    assert facts.flash_attention is True
    assert (facts.threads, facts.device, facts.gpu_layers, facts.extra_buffers) == (2, "cpu", 0, True)
    assert facts.engine is not None
    assert facts.engine.startswith("llama.cpp via llama-cpp-python ")
    assert ending.page_cache in ("warm", "unknown")


async def test_a_large_budget_lets_the_model_through(tmp_path: Path) -> None:
    first, _ = await load(tmp_path, Load(path=str(STORY), threads=1, memory_budget_bytes=1024**3))
    await load(tmp_path, Load(path=str(STORY), threads=1, memory_budget_bytes=total_bytes(first.planned)))


@pytest.mark.parametrize("budget", [0, 1, 5_000_000])
async def test_too_small_a_budget_is_refused_with_figures(tmp_path: Path, budget: int) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        request = Load(path=str(F16), context=4096, memory_budget_bytes=budget)
        events = await run(client, request)
        failure = failed(events, FailureKind.OUT_OF_MEMORY)
        assert not of(events, Loading), "nothing was begun"
        assert "weights 10 MiB" in failure.message
        assert "KV cache 12 MiB" in failure.message
        assert f"{text.memory(budget)} is free" in failure.message
        done(await run(client, tell("Once upon a time", 2)), StopReason.LIMIT)


async def test_an_impossible_context_is_refused(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        for context in (0, 7, -1, 4_194_305, 10**12):
            failure = failed(await run(client, Load(path=str(STORY), context=context)), FailureKind.BAD_REQUEST)
            assert "context" in failure.message
        request = Load(path=str(F16), context=4_194_304, memory_budget_bytes=2 * 1024**3)
        failure = failed(await run(client, request), FailureKind.OUT_OF_MEMORY)
        assert "12 GiB" in failure.message


def test_parts_name_their_device() -> None:
    part = MemoryPart("weights", "CPU", 5)
    assert (part.kind, part.device, part.bytes) == ("weights", "CPU", 5)
