"""The Linux readers on made-up /proc and /sys trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmtui.sources.detect_files import cpu_numbers
from slmtui.sources.detect_linux import (
    complete,
    cpuinfo_record,
    processor,
    processor_key,
    quick,
    system_words,
)
from tests.sources.trees import GIB, MEMINFO, cores, grow

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 154
model name\t: 12th Gen Intel(R) Core(TM) i7-12700H
siblings\t: 6
cpu cores\t: 4
flags\t\t: fpu sse2 avx avx2 f16c fma avx_vnni

processor\t: 1
model name\t: something else
"""
ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd aes asimdhp asimddp i8mm bf16 sve
CPU implementer\t: 0x41
CPU part\t: 0xd0b

"""


def test_plain_processor(tmp_path: Path) -> None:
    epyc = "processor: 0\nmodel name\t: AMD EPYC 9354 32-Core Processor\nflags: avx2 avx512f avx512_vnni amx_tile\n\n"
    cpu = processor(grow(tmp_path, {"proc/cpuinfo": epyc, **cores(["0,2", "1,3", "0,2", "1,3"])}))
    assert cpu.name == "AMD EPYC 9354 32-Core Processor"
    assert (cpu.physical_cores, cpu.logical_cores, cpu.performance_cores) == (2, 4, None)
    assert cpu.instruction_sets == ("AMX", "AVX-512 VNNI", "AVX-512", "AVX2")
    assert cpu.usable_cores == len(os.sched_getaffinity(0))


def test_intel_hybrid_counts_physical_performance_cores(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": INTEL,
        "sys/devices/cpu_core/cpus": "0-3\n",
        "sys/devices/cpu_atom/cpus": "4-5\n",
        **cores(["0-1", "0-1", "2-3", "2-3", "4", "5"]),
    }
    cpu = processor(grow(tmp_path, files))
    assert (cpu.physical_cores, cpu.logical_cores, cpu.performance_cores) == (4, 6, 2)
    assert cpu.instruction_sets == ("AVX-VNNI", "AVX2", "FMA", "F16C")


def test_arm_counts_large_and_middle_cores_as_fast(tmp_path: Path) -> None:
    capacities = (325, 325, 325, 325, 850, 850, 850, 1024)
    folder = "sys/devices/system/cpu"
    files = {
        "proc/cpuinfo": ARM,
        **cores([str(number) for number in range(8)]),
        **{f"{folder}/cpu{number}/cpu_capacity": f"{value}\n" for number, value in enumerate(capacities)},
    }
    cpu = processor(grow(tmp_path, files))
    assert (cpu.physical_cores, cpu.performance_cores) == (8, 4)
    assert cpu.instruction_sets == ("SVE", "i8mm", "BF16", "dotprod", "FP16", "NEON")
    assert cpu.name is None, "ARM's kernel gives numbers, no name"


def test_equal_capacities_are_no_hybrid(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu"
    files = {**cores(["0", "1"]), f"{folder}/cpu0/cpu_capacity": "1024", f"{folder}/cpu1/cpu_capacity": "1024"}
    assert processor(grow(tmp_path, files)).performance_cores is None


def test_without_topology_cores_come_from_the_first_record(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/cpuinfo": INTEL, "sys/devices/system/cpu/online": "0-11\n"})
    assert processor(root).physical_cores == 8, "two sockets of four cores"


def test_only_the_first_record_is_read(tmp_path: Path) -> None:
    record = cpuinfo_record(grow(tmp_path, {"proc/cpuinfo": INTEL}))
    assert record["model name"] == "12th Gen Intel(R) Core(TM) i7-12700H"
    assert record["processor"] == "0"


def test_nothing_to_read_is_none_and_one_thread(tmp_path: Path) -> None:
    machine = quick(tmp_path)
    assert machine.cpu.name is None
    assert machine.cpu.physical_cores is None
    assert machine.memory.total_bytes is None
    assert machine.governor is None
    assert machine.cpu.threads >= 1


def test_the_key_changes_with_the_processor(tmp_path: Path) -> None:
    one = processor_key(grow(tmp_path / "one", {"proc/cpuinfo": ARM}))
    two = processor_key(grow(tmp_path / "two", {"proc/cpuinfo": ARM.replace("0xd0b", "0xd0c")}))
    assert one != two
    assert one == processor_key(tmp_path / "one")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,8", {0, 1, 2, 3, 8}), ("5", {5}), ("", set()), (None, set()), ("x-2,1,4-y", {1}), ("0-99999999", set())],
)
def test_cpu_numbers(text: str | None, numbers: set[int]) -> None:
    assert cpu_numbers(text) == numbers


def test_system_governor_and_board(tmp_path: Path) -> None:
    policy = "sys/devices/system/cpu/cpufreq"
    files = {
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/meminfo": MEMINFO,
        f"{policy}/policy0/scaling_governor": "powersave\n",
        f"{policy}/policy4/scaling_governor": "performance\n",
        f"{policy}/policy5/scaling_governor": "performance\n",
    }
    machine = quick(grow(tmp_path, files))
    assert machine.system == f"Debian GNU/Linux 12 (bookworm), Linux {os.uname().release}"
    assert machine.product == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.governor == "performance, powersave"
    assert machine.memory.total_bytes == 16 * GIB


def test_system_words_without_a_release_file(tmp_path: Path) -> None:
    assert system_words(tmp_path) == f"Linux {os.uname().release}"


def _card(address: str, vendor: str, device: str, kind: str = "0x030000") -> dict[str, str]:
    folder = f"sys/bus/pci/devices/{address}"
    return {f"{folder}/vendor": f"{vendor}\n", f"{folder}/device": f"{device}\n", f"{folder}/class": f"{kind}\n"}


def test_cards_on_the_bus(tmp_path: Path) -> None:
    names = (
        "# list\n1002  Advanced Micro Devices\n\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX]\n\t\t1002 0e3b  RX\n"
        "8086  Intel Corporation\n\t744c  Not this one\n\t46a6  Alder Lake-P GT2 [Iris Xe Graphics]\nffff  x\n"
    )
    amd = "sys/bus/pci/devices/0000:03:00.0"
    files = {
        "usr/share/misc/pci.ids": names,
        **_card("0000:00:02.0", "0x8086", "0x46a6"),
        **_card("0000:00:0b.0", "0x8086", "0x7d1d", "0x120000"),
        **_card("0000:03:00.0", "0x1002", "0x744c"),
        f"{amd}/mem_info_vram_total": f"{24 * GIB}\n",
        f"{amd}/mem_info_vram_used": f"{GIB}\n",
        **_card("0000:04:00.0", "0x1002", "0x74a1", "0x120000"),
        **_card("0000:05:00.0", "0x1234", "0x1111"),
        **_card("0000:06:00.0", "0x1002", "0x1234", "0x020000"),
    }
    intel, radeon, instinct = complete(quick(grow(tmp_path, files)), tmp_path).gpus
    assert (intel.name, intel.vendor, intel.unified) == ("Intel Iris Xe Graphics", "Intel", True)
    assert intel.memory_total_bytes is None
    assert radeon.name == "AMD Radeon RX 7900 XT/7900 XTX"
    assert (radeon.memory_total_bytes, radeon.memory_free_bytes) == (24 * GIB, 23 * GIB)
    assert not radeon.unified
    assert (instinct.name, instinct.index) == ("AMD GPU 74a1", 2)


@pytest.mark.parametrize(
    ("kernel", "word"),
    [
        ("5.15.153.1-microsoft-standard-WSL2", "WSL 2"),
        ("4.4.0-19041-Microsoft", "WSL 1"),
        ("6.1.0-18-amd64", None),
    ],
)
def test_wsl_is_noted(tmp_path: Path, kernel: str, word: str | None) -> None:
    notes = complete(quick(tmp_path), grow(tmp_path, {"proc/sys/kernel/osrelease": kernel})).notes
    assert (word is None and notes == ()) or (word is not None and word in notes[0])


def test_a_jetson_has_a_gpu_without_nvml(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"})
    (gpu,) = complete(quick(root), root).gpus
    assert (gpu.name, gpu.vendor, gpu.unified) == ("NVIDIA Jetson Orin Nano Developer Kit GPU", "NVIDIA", True)
