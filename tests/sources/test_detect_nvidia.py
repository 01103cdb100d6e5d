"""The reader of NVML against a stand-in for the driver, with the functions and errors of pynvml."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from slmtui.core.machine import GpuUser
from slmtui.sources.detect_nvidia import gpu_users, nvidia_gpus

GIB = 1024**3
NOT_SUPPORTED, NOT_FOUND, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, GPU_IS_LOST, MISMATCH = 3, 6, 9, 12, 15, 18


class NvmlError(Exception):
    """As pynvml's: the code is in `value`."""

    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


class Device:
    """One processor or slice; an error in place of a fact is raised when it is asked for."""

    def __init__(
        self,
        name: str,
        memory: tuple[int, int] | int,
        slices: list[Device | None] | None = None,
        capability: tuple[int, int] | int = (8, 9),
        lost: bool = False,
    ) -> None:
        self.name = name
        self.memory = memory
        self.slices = slices
        self.capability = capability
        self.lost = lost
        self.watts: tuple[int, int] | None = None
        self.celsius: int | None = None
        self.users: dict[int, int | None] = {}


class Driver:
    """The functions of pynvml on a list of devices; `shut` counts how often it was let go."""

    def __init__(self, devices: list[Device], init: int | None = None, cuda: int | None = 13000) -> None:
        self.devices = devices
        self.init = init
        self.cuda = cuda
        self.shut = 0

    def nvmlInit(self) -> None:
        if self.init is not None:
            raise NvmlError(self.init)

    def nvmlShutdown(self) -> None:
        self.shut += 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        if self.cuda is None:
            raise NvmlError(NOT_SUPPORTED)
        return self.cuda

    def nvmlDeviceGetPowerUsage(self, device: Device) -> int:
        if device.watts is None:
            raise NvmlError(NOT_SUPPORTED)
        return device.watts[0] * 1000

    def nvmlDeviceGetEnforcedPowerLimit(self, device: Device) -> int:
        if device.watts is None:
            raise NvmlError(NOT_SUPPORTED)
        return device.watts[1] * 1000

    def nvmlDeviceGetTemperature(self, device: Device, sensor: int) -> int:
        assert sensor == 0
        if device.celsius is None:
            raise NvmlError(NOT_SUPPORTED)
        return device.celsius

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in device.users.items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: Device) -> list[SimpleNamespace]:
        if not device.users:
            raise NvmlError(NOT_SUPPORTED)
        return self.nvmlDeviceGetComputeRunningProcesses(device)[:1]

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        if self.devices[index].lost:
            raise NvmlError(GPU_IS_LOST)
        return self.devices[index]

    def nvmlDeviceGetName(self, device: Device) -> str:
        return device.name

    def nvmlDeviceGetMemoryInfo(self, device: Device) -> SimpleNamespace:
        if isinstance(device.memory, int):
            raise NvmlError(device.memory)
        return SimpleNamespace(total=device.memory[0], free=device.memory[1])

    def nvmlDeviceGetCudaComputeCapability(self, device: Device) -> tuple[int, int]:
        if isinstance(device.capability, int):
            raise NvmlError(device.capability)
        return device.capability

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:
        if device.slices is None:
            raise NvmlError(NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return len(device.slices or [])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        part = (device.slices or [])[index]
        if part is None:
            raise NvmlError(NOT_FOUND)
        return part


def as_module(driver: Driver) -> ModuleType:
    module = ModuleType("pynvml")
    functions: dict[str, Callable[..., object]] = {
        name: getattr(driver, name) for name in dir(driver) if name.startswith("nvml")
    }
    errors = {
        "NVML_ERROR_NOT_SUPPORTED": NOT_SUPPORTED,
        "NVML_ERROR_LIBRARY_NOT_FOUND": LIBRARY_NOT_FOUND,
        "NVML_ERROR_DRIVER_NOT_LOADED": DRIVER_NOT_LOADED,
        "NVML_ERROR_LIB_RM_VERSION_MISMATCH": MISMATCH,
    }
    vars(module).update({**functions, **errors, "NVMLError": NvmlError, "NVML_TEMPERATURE_GPU": 0})
    return module


def test_the_stand_in_agrees_with_the_real_module() -> None:
    import pynvml

    module = as_module(Driver([]))
    for name, value in vars(module).items():
        if name.startswith("NVML_"):
            assert getattr(pynvml, name) == value
        elif name.startswith("nvml"):
            assert callable(getattr(pynvml, name))
    assert pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED).value == NOT_SUPPORTED


def test_several_gpus() -> None:
    driver = Driver(
        [Device("NVIDIA RTX 4090", (24 * GIB, 20 * GIB)), Device("NVIDIA H200", (139 * GIB, 0), None, (9, 0))]
    )
    gpus, notes = nvidia_gpus(None, as_module(driver))
    assert [(gpu.index, gpu.name, gpu.compute_capability) for gpu in gpus] == [
        (0, "NVIDIA RTX 4090", "8.9"),
        (1, "NVIDIA H200", "9.0"),
    ]
    assert gpus[0].memory_total_bytes == 24 * GIB
    assert gpus[0].memory_free_bytes == 20 * GIB
    assert gpus[1].memory_free_bytes == 0, "a full GPU has 0 bytes free, which is a fact"
    assert all(gpu.driver == "580.95.05" and gpu.source == "NVML" and not gpu.unified for gpu in gpus)
    assert notes == ()
    assert driver.shut == 1


def test_unified_memory_has_no_figures() -> None:
    gpus, notes = nvidia_gpus(None, as_module(Driver([Device("NVIDIA GB10", NOT_SUPPORTED, None, (12, 1))])))
    (gpu,) = gpus
    assert (gpu.memory_total_bytes, gpu.memory_free_bytes, gpu.unified) == (None, None, True)
    assert gpu.compute_capability == "12.1"
    assert notes == ()


def test_another_failure_of_the_memory_figure_does_not_mean_unified() -> None:
    ((gpu,), _) = nvidia_gpus(None, as_module(Driver([Device("NVIDIA T4", 999)])))
    assert (gpu.memory_total_bytes, gpu.unified) == (None, False)


def test_each_slice_of_a_divided_gpu_stands_for_itself() -> None:
    slices = [Device("NVIDIA A100 MIG 3g.20gb", (20 * GIB, 19 * GIB), None, NOT_SUPPORTED), None]
    slices.append(Device("NVIDIA A100 MIG 1g.5gb", (5 * GIB, 4 * GIB), None, NOT_SUPPORTED))
    driver = Driver([Device("NVIDIA A100", (40 * GIB, 1), slices, (8, 0)), Device("NVIDIA T4", (16 * GIB, 1))])
    gpus, notes = nvidia_gpus(None, as_module(driver))
    assert [(gpu.index, gpu.name) for gpu in gpus] == [
        (0, "NVIDIA A100 MIG 3g.20gb"),
        (1, "NVIDIA A100 MIG 1g.5gb"),
        (2, "NVIDIA T4"),
    ]
    assert gpus[0].compute_capability == "8.0", "a slice takes it from the whole"
    assert "slices (MIG)" in notes[0]


def test_a_divided_gpu_without_slices_is_a_note() -> None:
    gpus, notes = nvidia_gpus(None, as_module(Driver([Device("NVIDIA A100", (40 * GIB, 1), [None, None])])))
    assert gpus == ()
    assert "has no slice" in notes[0]
    assert "nvidia-smi mig -cgi … -C)" in notes[0], "without -C there is nothing in a slice that computes"


def test_a_lost_gpu_does_not_hide_the_others() -> None:
    driver = Driver([Device("gone", 0, lost=True), Device("NVIDIA T4", (16 * GIB, 1))])
    gpus, notes = nvidia_gpus(None, as_module(driver))
    assert [gpu.name for gpu in gpus] == ["NVIDIA T4"]
    assert "GPU 0 does not answer" in notes[0]


def test_no_driver_is_no_gpu_and_no_note() -> None:
    assert nvidia_gpus(None, as_module(Driver([], init=LIBRARY_NOT_FOUND))) == ((), ())


@pytest.mark.parametrize(
    ("code", "todo"), [(DRIVER_NOT_LOADED, "modprobe"), (MISMATCH, "restart the machine"), (999, "nvidia-smi")]
)
def test_a_broken_driver_is_noted_with_what_to_do(code: int, todo: str) -> None:
    gpus, (note,) = nvidia_gpus("0", as_module(Driver([Device("x", 1)], init=code)))
    assert gpus == ()
    assert f"error {code}" in note
    assert todo in note


@pytest.mark.parametrize(
    ("visible", "words"), [("1", "CUDA_VISIBLE_DEVICES=1:"), ("", "hides every"), ("-1", "hides every")]
)
def test_hidden_gpus_are_listed_and_noted(visible: str, words: str) -> None:
    gpus, (note,) = nvidia_gpus(visible, as_module(Driver([Device("NVIDIA T4", (16 * GIB, 1))])))
    assert len(gpus) == 1
    assert words in note


def test_names_with_control_characters_are_cleaned() -> None:
    ((gpu,), _) = nvidia_gpus(None, as_module(Driver([Device("NVIDIA\x1b[31m T4\n", (1, 1))])))
    assert gpu.name == "NVIDIA T4"


def test_what_the_driver_speaks_and_how_the_gpu_is() -> None:
    device = Device("NVIDIA H200", (139 * GIB, GIB), None, (9, 0))
    device.watts, device.celsius = (71, 700), 34
    ((gpu,), _) = nvidia_gpus(None, as_module(Driver([device])))
    assert (gpu.cuda, gpu.power_w, gpu.power_limit_w, gpu.temperature_c) == ("13.0", 71.0, 700.0, 34.0)
    ((older,), _) = nvidia_gpus(None, as_module(Driver([device], cuda=12020)))
    assert older.cuda == "12.2"


def test_what_the_driver_does_not_say_is_none() -> None:
    ((gpu,), _) = nvidia_gpus(None, as_module(Driver([Device("NVIDIA GB10", NOT_SUPPORTED)], cuda=None)))
    assert (gpu.cuda, gpu.power_w, gpu.power_limit_w, gpu.temperature_c) == (None, None, None, None)


def test_a_slice_does_not_have_the_power_of_the_whole() -> None:
    whole = Device("NVIDIA A100", (40 * GIB, 1), [Device("NVIDIA A100 MIG 1g.5gb", (5 * GIB, 1))])
    whole.watts, whole.celsius = (200, 400), 60
    ((part,), _) = nvidia_gpus(None, as_module(Driver([whole])))
    assert (part.power_w, part.temperature_c) == (None, None)


def test_who_uses_the_gpus() -> None:
    first, second = Device("NVIDIA T4", (16 * GIB, 1)), Device("NVIDIA T4", (16 * GIB, 1))
    first.users = {os.getpid(): 2 * GIB, 2**22 + 1: 3 * GIB}
    second.users = {2**22 + 2: None}
    mine, *others = sorted(gpu_users(as_module(Driver([first, second]))), key=lambda user: user.pid)
    assert (mine.gpu, mine.bytes) == (0, 2 * GIB)
    assert mine.name
    assert others == [GpuUser(gpu=0, pid=2**22 + 1, bytes=3 * GIB), GpuUser(gpu=1, pid=2**22 + 2)]


def test_without_a_driver_nobody_uses_a_gpu() -> None:
    assert gpu_users(as_module(Driver([], init=LIBRARY_NOT_FOUND))) == ()
