"""The Windows readers that are pure: names of the system, display adapters of the registry."""

from __future__ import annotations

import psutil
import pytest

from slmtui.sources.detect_windows import adapters, complete, processor_key, quick, system_words

GIB = 1024**3


@pytest.mark.parametrize(
    ("major", "build", "words"), [(10, 26100, "Windows 11 (build 26100)"), (10, 19045, "Windows 10 (build 19045)")]
)
def test_system_words(major: int, build: int, words: str) -> None:
    assert system_words(major, build) == words


def test_cores_and_memory_are_known_without_the_registry() -> None:
    machine = complete(quick())
    assert machine.cpu.logical_cores == psutil.cpu_count()
    assert machine.memory.total_bytes == psutil.virtual_memory().total
    assert machine.system is not None
    assert machine.system.startswith("Windows")
    assert processor_key() == processor_key()


def test_adapters() -> None:
    nvidia = {
        "MatchingDeviceId": r"PCI\VEN_10DE&DEV_2786",
        "DriverDesc": "NVIDIA GeForce RTX 4070",
        "DriverVersion": "32.0.15.6636",
        "HardwareInformation.qwMemorySize": 12 * GIB,
    }
    radeon = {
        "MatchingDeviceId": r"pci\ven_1002&dev_744c",
        "DriverDesc": "AMD Radeon RX 7900 XTX",
        "HardwareInformation.qwMemorySize": (24 * GIB).to_bytes(8, "little"),
    }
    intel = {"MatchingDeviceId": r"PCI\VEN_8086&DEV_46A6", "HardwareInformation.qwMemorySize": 0}
    remote = {"MatchingDeviceId": "terminpt_bus", "DriverDesc": "Microsoft Remote Display Adapter"}
    gpus = adapters([{}, remote, nvidia, radeon, intel])
    assert [(gpu.index, gpu.name, gpu.vendor, gpu.memory_total_bytes) for gpu in gpus] == [
        (0, "NVIDIA GeForce RTX 4070", "NVIDIA", 12 * GIB),
        (1, "AMD Radeon RX 7900 XTX", "AMD", 24 * GIB),
        (2, "Intel GPU", "Intel", None),
    ]
    assert gpus[0].driver == "32.0.15.6636"
