"""Memory by kind: llama.cpp's own log, line by line, and what its caches must take by the model's figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from slmtui.core.events import Loaded, Loading, MemoryKind, MemoryPart, ModelFacts, total_bytes
from slmtui.engine.protocol import Load
from tests.engine import architectures
from tests.engine.architectures import HIDDEN, LAYERS
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY, of, run, worker

HALF_STEP = 0.005 * 1024**2 + 0.5
"""The log has two decimals of MiB; we have whole bytes."""
BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
POCKET, STORIES = (6, 4, 32), (5, 4, 8)
"""Layers, KV heads, head size."""
WORDS: dict[str, MemoryKind] = {
    "model": "weights",
    "KV": "KV cache",
    "RS": "recurrent state",
    "compute": "compute",
    "output": "output",
}


async def load(tmp_path: Path, request: Load) -> tuple[tuple[MemoryPart, ...], Loaded]:
    """What the dry run said, and the ending."""
    async with worker(tmp_path / "log") as client:
        events = await run(client, request)
    assert isinstance(events[-1], Loaded), events[-1]
    return of(events, Loading)[0].planned, events[-1]


def logged(log: Path) -> list[MemoryPart]:
    """Every buffer that the log names after the last time that a file was opened; the first time is the dry run."""
    parts = []
    for line in log.read_text(encoding="utf-8").split("loading model tensors")[-1].splitlines():
        before, found, after = line.partition(" buffer size = ")
        if found:
            *_, buffer, kind = before.split()
            assert re.match(r"CPU|AMX", buffer), buffer
            parts.append(MemoryPart(WORDS[kind], "CPU", round(float(after.removesuffix(" MiB")) * 1024**2)))
    return parts


def kv_bytes(shape: tuple[int, int, int], cells: int, kinds: tuple[str, str] = ("f16", "f16")) -> float:
    layers, kv_heads, head_size = shape
    return layers * kv_heads * head_size * cells * sum(BYTES[kind] for kind in kinds)


@pytest.mark.parametrize(
    "request_",
    [
        Load(path=str(F16), context=512),
        Load(path=str(Q4_K_M), context=2048, type_k="q8_0", type_v="q8_0"),
        Load(path=str(Q8_0), context=1024, extra_buffers=False, flash_attention="off"),
        Load(path=str(STORY), context=4096, micro_batch=64),
    ],
)
async def test_the_breakdown_is_the_engines_log_line_by_line(tmp_path: Path, request_: Load) -> None:
    _, ending = await load(tmp_path, request_)
    lines = logged(tmp_path / "log")
    assert list(ending.memory) == lines
    assert {part.kind for part in lines} == {"weights", "KV cache", "compute", "output"}


@pytest.mark.parametrize("context", [256, 512, 1000, 4096, 40_000])
@pytest.mark.parametrize(
    ("path", "shape", "kinds"),
    [
        (Q4_K_M, POCKET, ("f16", "f16")),
        (F16, POCKET, ("q8_0", "q8_0")),
        (Q8_0, POCKET, ("q8_0", "f16")),
        (STORY, STORIES, ("f16", "f16")),
        (STORY, STORIES, ("f32", "bf16")),
    ],
)
async def test_the_kv_cache_is_what_the_models_figures_say(
    tmp_path: Path, path: Path, shape: tuple[int, int, int], kinds: tuple[str, str], context: int
) -> None:
    planned, ending = await load(tmp_path, Load(path=str(path), context=context, type_k=kinds[0], type_v=kinds[1]))
    facts = ending.facts
    assert (facts.layers, facts.kv_heads, facts.head_size) == shape
    assert facts.context is not None
    assert context <= facts.context < context + 256, "llama.cpp rounds up"
    expected = kv_bytes(shape, facts.context, kinds)
    for parts in (planned, ending.memory):
        assert abs(total_bytes(parts, "KV cache") - expected) <= HALF_STEP
    if (expected / 1024**2 * 100).is_integer():
        assert total_bytes(ending.memory, "KV cache") == pytest.approx(expected, abs=1)


def qwen3(facts: ModelFacts, cells: int) -> tuple[float, float]:
    assert (facts.kv_heads, facts.head_size) == (2, 32)
    return kv_bytes((LAYERS, 2, 32), cells), 0


def gemma3(facts: ModelFacts, cells: int) -> tuple[float, float]:
    """One layer keeps everything, five keep the window of 64 and a micro-batch of 512, in steps of 256 cells."""
    assert facts.head_size == 32
    return kv_bytes((1, 2, 32), cells) + kv_bytes((5, 2, 32), 768), 0


def mamba(facts: ModelFacts, cells: int) -> tuple[float, float]:
    assert facts.head_size is None
    assert cells
    return 0, LAYERS * (3 * 2 * HIDDEN + 1024 * 2 * HIDDEN) * BYTES["f32"]


def lfm2(facts: ModelFacts, cells: int) -> tuple[float, float]:
    assert facts.head_size == HIDDEN // 4
    return kv_bytes((2, 2, HIDDEN // 4), cells), 4 * HIDDEN * 2047 * BYTES["f32"]


@pytest.mark.parametrize("context", [1024, 8192])
@pytest.mark.parametrize("expect", [qwen3, gemma3, mamba, lfm2])
async def test_caches_of_other_architectures(
    tmp_path: Path, build: Build, expect: Callable[[ModelFacts, int], tuple[float, float]], context: int
) -> None:
    make: Callable[[], Gguf] = getattr(architectures, expect.__name__)
    path = build(f"{expect.__name__}.gguf", make())
    planned, ending = await load(tmp_path, Load(path=str(path), context=context))
    assert list(ending.memory) == logged(tmp_path / "log")
    kv, state = expect(ending.facts, context)
    for parts in (planned, ending.memory):
        assert abs(total_bytes(parts, "KV cache") - kv) <= 2 * HALF_STEP
        assert abs(total_bytes(parts, "recurrent state") - state) <= HALF_STEP
    assert (ending.facts.flash_attention is None) == (expect is mamba)


def nodes(log: Path) -> int:
    """How many operations the engine's graph has; flash attention takes the place of several."""
    return int(re.findall(r"graph: nodes = (\d+)", log.read_text(encoding="utf-8"))[-1])


@pytest.mark.parametrize(("path", "type_v"), [(Q4_K_M, "f16"), (STORY, "f16"), (Q8_0, "q8_0")])
async def test_what_automatic_flash_attention_became(tmp_path: Path, path: Path, type_v: str) -> None:
    """Told by the graph itself: it is the one of `on`, which is not that of `off`."""
    found = {}
    for setting, kind in (("auto", type_v), ("on", type_v), ("off", "f16")):
        _, ending = await load(tmp_path, Load(path=str(path), context=512, flash_attention=setting, type_v=kind))
        found[setting] = (ending.facts.flash_attention, nodes(tmp_path / "log"))
    assert found["on"][0] is True
    assert found["off"][0] is False
    assert found["on"][1] != found["off"][1]
    assert found["auto"] in (found["on"], found["off"])
