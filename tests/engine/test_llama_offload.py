"""Where a dry run's memory lies and how many layers fit, on made-up devices; what a real GPU does is in tests/gpu."""

from __future__ import annotations

import pytest

from slmtui.core.events import FailureKind, MemoryPart, ModelFacts
from slmtui.core.offload import ALL, FIT
from slmtui.core.work import Tensor
from slmtui.engine import llama_library
from slmtui.engine.backends import EngineError
from slmtui.engine.llama_checks import split_mode
from slmtui.engine.llama_devices import Device, device_shares, devices, free_bytes
from slmtui.engine.llama_offload import (
    RESERVE_BYTES,
    Placed,
    cache,
    check_video_memory,
    fewer,
    fitted,
    video_memory,
    weights,
)
from slmtui.engine.llama_tensors import read_tensors
from slmtui.engine.protocol import Load
from tests.engine.support import F16

GIB = 1024**3
REQUEST = Load(path="a.gguf", device="gpu", gpu_layers=FIT)
GPUS = (Device("CUDA0", "GPU", "One", None, 1), Device("CUDA1", "GPU", "Two", None, 2))


def tensors(*, tied: bool) -> tuple[Tensor, ...]:
    """Three layers of 10 and 1 bytes, an embedding of 100 and an output of 200 unless they are one."""
    named = {"token_embd.weight": 100, "output_norm.weight": 3} | ({} if tied else {"output.weight": 200})
    for layer in range(3):
        named |= {f"blk.{layer}.ffn_up.weight": 10, f"blk.{layer}.attn_norm.weight": 1}
    return tuple(Tensor(name, "f16", (1, 1, 1, 1), size) for name, size in named.items())


@pytest.mark.parametrize(
    ("offloaded", "expected"),
    [(0, Placed(336, 0)), (1, Placed(133, 203)), (2, Placed(122, 214)), (4, Placed(100, 236))],
)
def test_the_output_goes_first_and_the_embedding_stays(offloaded: int, expected: Placed) -> None:
    assert weights(tensors(tied=False), 3, offloaded) == expected


@pytest.mark.parametrize(("offloaded", "expected"), [(0, Placed(136, 0)), (1, Placed(133, 103)), (4, Placed(100, 136))])
def test_an_embedding_that_is_the_output_too_has_two_copies(offloaded: int, expected: Placed) -> None:
    assert weights(tensors(tied=True), 3, offloaded) == expected


def test_a_real_model_without_a_gpu_is_all_in_main_memory() -> None:
    found = read_tensors(F16)
    assert weights(found, 6, 0) == Placed(sum(tensor.bytes for tensor in found), 0)


def test_a_cache_follows_its_layers() -> None:
    assert cache(90, 3, 0) == Placed(90, 0)
    assert cache(90, 3, 1) == Placed(90, 0), "the output layer has no cache"
    assert cache(90, 3, 3) == Placed(30, 60)
    assert cache(90, 3, 4) == Placed(0, 90)
    assert Placed(30, 60).parts("KV cache", "CUDA0") == [
        MemoryPart("KV cache", "CUDA0", 60),
        MemoryPart("KV cache", "CPU", 30),
    ]
    assert Placed(0, 0).parts("KV cache", "CUDA0") == []


def dry(request: Load) -> tuple[ModelFacts, tuple[MemoryPart, ...]]:
    """A model of 10 layers and an output, a GiB each, with half a GiB of scratch."""
    count = 11 if request.gpu_layers == ALL else request.gpu_layers
    scratch = MemoryPart("compute", "CUDA0", GIB // 2 if count else 0)
    return ModelFacts(layers=10), (MemoryPart("weights", "CUDA0", count * GIB), scratch)


@pytest.mark.parametrize(("free", "layers"), [(12 * GIB, 11), (11 * GIB, 10), (int(3.5 * GIB), 3), (GIB, 0), (0, 0)])
def test_as_many_layers_as_fit(free: int, layers: int) -> None:
    assert fitted(REQUEST, {"CUDA0": free}, dry).gpu_layers == layers


def test_where_nobody_says_what_is_free_all_layers_are_tried() -> None:
    assert fitted(REQUEST, {}, dry).gpu_layers == 11


def test_fewer_layers_after_a_load_that_failed() -> None:
    tried = [33]
    request = Load(path="a.gguf", gpu_layers=33)
    while request.gpu_layers:
        request = fewer(request)
        tried.append(request.gpu_layers)
    assert tried[:4] == [33, 29, 26, 23]
    assert tried[-3:] == [2, 1, 0]


def test_what_a_gpu_does_not_hold_is_refused_with_what_would_need_less() -> None:
    planned = (MemoryPart("weights", "CUDA1", 2 * GIB), MemoryPart("compute", "CUDA1", GIB))
    with pytest.raises(EngineError) as caught:
        check_video_memory(planned, {"CUDA0": 0, "CUDA1": 2 * GIB})
    assert caught.value.kind is FailureKind.OUT_OF_MEMORY
    assert "It needs 3 GiB on CUDA1 and 2 GiB is free there" in caught.value.message
    assert "-ngl fit" in caught.value.message
    check_video_memory(planned, {"CUDA0": 0, "CUDA1": 3 * GIB})
    check_video_memory(planned, {})


def test_the_room_of_several_gpus_is_known_under_their_joined_names(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"CUDA0": 4 * GIB, "CUDA1": GIB // 4}
    monkeypatch.setattr("slmtui.engine.llama_offload.free_bytes", lambda device: free.get(device.name))
    first = 4 * GIB - RESERVE_BYTES
    assert video_memory(GPUS) == {"CUDA0": first, "CUDA1": 0, "CUDA0+CUDA1": first}
    own = (MemoryPart("weights", "CUDA1", GIB), MemoryPart("output", "CPU", GIB))
    assert video_memory(GPUS, own)["CUDA1"] == GIB + GIB // 4 - RESERVE_BYTES
    del free["CUDA1"]
    assert video_memory(GPUS) == {"CUDA0": first}, "a part of the sum would be a wrong figure"
    assert video_memory(()) == {}


def test_the_processors_memory_is_known_to_its_backend() -> None:
    (processor,) = [device for device in devices() if device.kind == "CPU"]
    assert (free_bytes(processor) or 0) > 0


def test_shares_and_ways_to_split() -> None:
    bindings = llama_library.load()
    assert list(device_shares(bindings, (3.0, 1.0), GPUS))[:2] == [3.0, 1.0]
    assert device_shares(bindings, (), GPUS) is None
    assert device_shares(bindings, (1.0, 1.0), ()) is None
    with pytest.raises(EngineError, match="3 shares for 2 GPUs"):
        device_shares(bindings, (1.0, 1.0, 1.0), GPUS)
    assert [split_mode(bindings, name) for name in ("none", "layer", "row")] == [0, 1, 2]
    with pytest.raises(EngineError, match="'diagonal'"):
        split_mode(bindings, "diagonal")
