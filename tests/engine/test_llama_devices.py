"""Devices: what this build has, and which of a made-up build's a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.core.events import FailureKind, Loaded, StopReason
from slmtui.engine.backends import EngineError
from slmtui.engine.llama_devices import Device, chosen, device_list, devices, placed
from slmtui.engine.protocol import Load
from tests.engine.support import STORY, done, failed, loaded, run, tell, worker

MACHINE = (
    Device("BLAS", "accelerator", "OpenBLAS", None, 1),
    Device("CUDA0", "GPU", "NVIDIA RTX 4090", "0000:01:00.0", 2),
    Device("CUDA1", "GPU", "NVIDIA RTX 4090", "0000:02:00.0", 3),
    Device("MTL0", "GPU", "Apple M4", None, 4),
    Device("CPU", "CPU", "AMD Ryzen", None, 5),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu", []),
        (" CPU ", []),
        ("CUDA0", ["CUDA0"]),
        ("cuda1", ["CUDA1"]),
        ("cuda:1", ["CUDA1"]),
        ("cuda", ["CUDA0", "CUDA1"]),
        ("metal", ["MTL0"]),
        ("Metal:0", ["MTL0"]),
        ("gpu", ["CUDA0", "CUDA1", "MTL0"]),
    ],
)
def test_what_a_name_means(name: str, expected: list[str]) -> None:
    assert [device.name for device in chosen(name, MACHINE)] == expected


LAPTOP = (
    Device("CUDA0", "GPU", "NVIDIA RTX 4060", "0000:01:00.0", 1),
    Device("Vulkan0", "integrated GPU", "AMD Radeon 780M", "0000:c1:00.0", 2),
    Device("Vulkan1", "GPU", "NVIDIA RTX 4060", "0000:01:00.0", 3),
    Device("CPU", "CPU", "AMD Ryzen", None, 4),
)
INTEGRATED = (
    Device("ROCm0", "integrated GPU", "AMD Radeon 780M", "0000:c1:00.0", 1),
    Device("Vulkan0", "integrated GPU", "AMD Radeon 780M", "0000:c1:00.0", 2),
    Device("Vulkan1", "integrated GPU", "AMD Radeon 610M", "0000:c2:00.0", 3),
    Device("CPU", "CPU", "AMD Ryzen", None, 4),
)


@pytest.mark.parametrize(
    ("found", "name", "expected"),
    [
        (LAPTOP, "gpu", ["CUDA0"]),
        (LAPTOP, "vulkan", ["Vulkan1"]),
        (LAPTOP, "vulkan0", ["Vulkan0"]),
        (LAPTOP, "vulkan:1", ["Vulkan1"]),
        (INTEGRATED, "gpu", ["ROCm0"]),
        (INTEGRATED, "vulkan", ["Vulkan0", "Vulkan1"]),
        (INTEGRATED, "Vulkan1", ["Vulkan1"]),
    ],
)
def test_integrated_graphics_and_a_second_name_of_one_device_are_for_who_names_them(
    found: tuple[Device, ...], name: str, expected: list[str]
) -> None:
    assert [device.name for device in chosen(name, found)] == expected


@pytest.mark.parametrize(
    "name", ["cuda:2", "cuda10", "vulkan", "rocm:0", "blas", "", "0", "metal:x", "cpu:0", "\x1b[2J"]
)
def test_an_unknown_device_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        chosen(name, MACHINE)
    assert caught.value.kind is FailureKind.BAD_REQUEST
    assert "it can use cpu, CUDA0, CUDA1, MTL0 here" in caught.value.message
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(("split", "expected"), [("layer", ["CUDA0", "CUDA1"]), ("none", ["CUDA0"])])
def test_the_first_alone_is_used_where_nothing_is_split(split: str, expected: list[str]) -> None:
    request = Load(path="m.gguf", device="cuda", split_mode=split)
    assert [device.name for device in placed(request, MACHINE)] == expected


def test_what_the_processor_imitates_is_meant_by_its_name_alone() -> None:
    renderer = Device("Vulkan0", "GPU", "llvmpipe (LLVM 15.0.6, 256 bits)", None, 1)
    assert chosen("vulkan", (renderer,)) == chosen("vulkan:0", (renderer,)) == (renderer,)
    assert [device.name for device in chosen("gpu", (renderer, *MACHINE))] == ["CUDA0", "CUDA1", "MTL0"]
    with pytest.raises(EngineError, match="it can use cpu, Vulkan0 here"):
        chosen("gpu", (renderer,))


def test_the_list_for_llama_cpp_ends_with_null() -> None:
    assert list(device_list(MACHINE[1:3])) == [2, 3, None]
    assert list(device_list(())) == [None]


def test_devices_of_this_build() -> None:
    found = devices()
    (processor,) = [device for device in found if device.kind == "CPU"]
    assert processor.name == "CPU"
    assert processor.pci is None
    assert all(device.name and device.description and device.pointer for device in found)


async def test_a_worker_refuses_a_device_that_is_not_there(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1)) as client:
        for device in ("cuda:7", "nonsense"):
            failure = failed(await run(client, Load(path=str(STORY), device=device)), FailureKind.BAD_REQUEST)
            assert f"'{device}'" in failure.message
            assert "cpu" in failure.message
            assert "slmtui doctor" in failure.message
        done(await run(client, tell("Once upon a time", 2)), StopReason.LIMIT)


async def test_the_processor_takes_no_layers(tmp_path: Path) -> None:
    async with worker(tmp_path / "log") as client:
        ending = (await run(client, Load(path=str(STORY), device="CPU", gpu_layers=-1)))[-1]
        assert isinstance(ending, Loaded)
        assert (ending.facts.device, ending.facts.gpu_layers) == ("cpu", 0)
        for layers in (-3, 100_000):
            request = Load(path=str(STORY), gpu_layers=layers)
            assert "gpu_layers" in failed(await run(client, request), FailureKind.BAD_REQUEST).message
