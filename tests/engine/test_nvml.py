"""Video memory of a process and energy of processors, against a stand-in for the NVIDIA driver."""

from __future__ import annotations

import os
from types import ModuleType, SimpleNamespace

import pytest

from slmtui.engine.nvml import open_gpus

MIB = 1024**2
ME = os.getpid()


class NvmlError(Exception):
    """As pynvml's."""


class Device:
    """One processor or slice: who uses how much of its memory, and its counter of energy."""

    def __init__(
        self,
        address: str = "0000:01:00.0",
        computing: dict[int, int | None] | None = None,
        drawing: dict[int, int | None] | None = None,
        slices: list[Device] | None = None,
    ) -> None:
        self.address = address
        self.computing = computing or {}
        self.drawing = drawing or {}
        self.slices = slices
        self.millijoules: int | None = 10_000
        self.index = 0


class Driver:
    """The functions of pynvml that are asked, on a list of devices."""

    def __init__(self, devices: list[Device], works: bool = True) -> None:
        self.devices = devices
        self.works = works
        for index, device in enumerate(devices):
            device.index = index

    def nvmlInit(self) -> None:
        if not self.works:
            raise NvmlError

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        return self.devices[index]

    def nvmlDeviceGetHandleByPciBusId(self, address: str) -> Device:
        for device in self.devices:
            if device.address == address:
                return device
        raise NvmlError

    def nvmlDeviceGetIndex(self, device: Device) -> int:
        return device.index

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:
        if device.slices is None:
            raise NvmlError
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return len(device.slices or [])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        return (device.slices or [])[index]

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> list[SimpleNamespace]:
        return _listed(device.computing)

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: Device) -> list[SimpleNamespace]:
        if not device.drawing:
            raise NvmlError  # a processor without graphics
        return _listed(device.drawing)

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Device) -> int:
        if device.millijoules is None:
            raise NvmlError
        return device.millijoules


def _listed(users: dict[int, int | None]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in users.items()]


def as_module(driver: Driver) -> ModuleType:
    module = ModuleType("pynvml")
    vars(module).update({name: getattr(driver, name) for name in dir(driver) if name.startswith("nvml")})
    vars(module)["NVMLError"] = NvmlError
    return module


def one_gpu() -> Driver:
    return Driver([Device()])


def memory_of(*devices: Device) -> int | None:
    gpus = open_gpus([], as_module(Driver(list(devices))))
    assert gpus is not None
    return gpus.process_bytes()


def test_the_stand_in_agrees_with_the_real_module() -> None:
    import pynvml

    for name in vars(as_module(one_gpu())):
        if name.startswith("nvml"):
            assert callable(getattr(pynvml, name))
    (field,) = [name for name, _ in pynvml.c_nvmlProcessInfo_v3_t._fields_ if name.startswith("usedGpuMemory")]
    assert field == "usedGpuMemory"


def test_memory_of_this_process_on_all_processors() -> None:
    assert memory_of(Device(computing={ME: 300 * MIB, 1: 900 * MIB})) == 300 * MIB
    assert memory_of(Device(computing={ME: 300 * MIB}), Device(computing={ME: 50 * MIB})) == 350 * MIB
    assert memory_of(Device(drawing={ME: 70 * MIB})) == 70 * MIB


def test_a_process_in_both_lists_is_counted_once() -> None:
    assert memory_of(Device(computing={ME: 300 * MIB}, drawing={ME: 300 * MIB})) == 300 * MIB


def test_a_driver_that_gives_no_figure_says_nothing() -> None:
    assert memory_of(Device(computing={ME: None})) is None
    assert memory_of(Device(computing={ME: None}), Device(computing={ME: 5})) is None


def test_a_process_that_is_not_listed_has_no_figure() -> None:
    assert memory_of(Device(computing={1: 5 * MIB})) is None
    assert memory_of(Device()) is None
    assert memory_of() is None


def test_slices_are_asked_in_place_of_the_whole() -> None:
    slices = [Device(computing={ME: 20 * MIB}), Device(computing={ME: 3 * MIB})]
    assert memory_of(Device(computing={ME: 999 * MIB}, slices=slices)) == 23 * MIB


def test_energy_of_the_processors_that_the_model_uses() -> None:
    driver = Driver([Device("a"), Device("b"), Device("c")])
    driver.devices[1].millijoules = 500
    gpus = open_gpus(["b", "c"], as_module(driver))
    assert gpus is not None
    assert gpus.name == "NVML GPU 1, NVML GPU 2"
    assert gpus.joules() == pytest.approx(10.5)
    driver.devices[2].millijoules = None
    assert gpus.joules() is None, "a part of it would be a wrong figure"


def test_a_processor_of_another_maker_spoils_the_sum() -> None:
    gpus = open_gpus(["0000:01:00.0", "0000:42:00.0"], as_module(one_gpu()))
    assert gpus is not None
    assert gpus.joules() is None


def test_no_driver() -> None:
    assert open_gpus([], as_module(Driver([], works=False))) is None
