"""The macOS readers on text of sysctl and system_profiler."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace
from packaging.requirements import Requirement

from slmtui.core.apple import takes_mlx
from slmtui.core.machine import Cpu, Machine
from slmtui.sources.detect_macos import Profile, memory, merged, parse_profile, parse_sysctl

SYSCTL_M3 = """hw.memsize: 17179869184
hw.physicalcpu: 8
hw.logicalcpu: 8
hw.perflevel0.physicalcpu: 4
hw.perflevel1.physicalcpu: 4
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_FP16: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_SME: 0
hw.optional.AdvSIMD: 1
hw.optional.arm64: 1
machdep.cpu.brand_string: Apple M3
iogpu.wired_limit_mb: 0
sysctl.proc_translated: 0
"""
SYSCTL_INTEL = """hw.physicalcpu: 6
hw.logicalcpu: 12
machdep.cpu.brand_string: Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz
machdep.cpu.features: FPU SSE4.2 AVX1.0 FMA F16C
machdep.cpu.leaf7_features: BMI1 AVX2 BMI2
"""
PROFILE_M3 = json.dumps(
    {
        "SPHardwareDataType": [
            {"machine_name": "MacBook Air", "chip_type": "Apple M3", "number_processors": "proc 8:4:4"}
        ],
        "SPDisplaysDataType": [
            {"sppci_model": "Apple M3", "sppci_cores": "10", "spdisplays_vendor": "sppci_vendor_Apple"}
        ],
    }
)
PROFILE_INTEL = json.dumps(
    {
        "SPHardwareDataType": [{"machine_name": "MacBook Pro", "cpu_type": "6-Core Intel Core i7"}],
        "SPDisplaysDataType": [
            {
                "sppci_model": "Intel UHD Graphics 630",
                "spdisplays_vendor": "Intel",
                "spdisplays_vram_shared": "1536 MB",
            },
            {"sppci_model": "Radeon Pro 5300M", "spdisplays_vendor": "sppci_vendor_amd", "spdisplays_vram": "4 GB"},
        ],
    }
)
ARM64 = Machine(cpu=Cpu(architecture="arm64", physical_cores=8, logical_cores=8, usable_cores=8), system="macOS 15.2")
X86 = Machine(cpu=Cpu(architecture="x86_64", logical_cores=12), system="macOS 15.2")


def test_apple_chip() -> None:
    machine = merged(ARM64, parse_sysctl(SYSCTL_M3), parse_profile(PROFILE_M3))
    assert (machine.apple_chip, machine.product, machine.cpu.name) == ("Apple M3", "MacBook Air", "Apple M3")
    assert (machine.cpu.physical_cores, machine.cpu.performance_cores) == (8, 4)
    assert machine.cpu.instruction_sets == ("i8mm", "BF16", "dotprod", "FP16", "NEON")
    (gpu,) = machine.gpus
    assert (gpu.name, gpu.vendor, gpu.unified) == ("Apple M3 GPU, 10 cores", "Apple", True)
    assert machine.gpu_memory_limit_bytes is None, "0 is the system's own limit, not none at all"
    assert machine.notes == ()
    assert takes_mlx(machine)


@pytest.mark.parametrize(("system", "noted"), [("macOS 13.6.9", True), ("macOS 14.0", False), ("macOS", False)])
def test_a_system_that_is_too_old_for_mlx_is_noted(system: str, noted: bool) -> None:
    machine = merged(replace(ARM64, system=system), parse_sysctl(SYSCTL_M3), parse_profile(PROFILE_M3))
    assert any("MLX needs macOS 14 or newer and this is macOS 13.6.9" in note for note in machine.notes) is noted
    assert takes_mlx(machine) is not noted


@pytest.mark.parametrize(
    ("system", "machine", "kernel", "comes"),
    [
        ("darwin", "arm64", "Darwin Kernel Version 22.6.0: Thu Dec  5 23:40:09 PST 2024", False),
        ("darwin", "arm64", "Darwin Kernel Version 23.0.0: Fri Sep 15 14:41:34 PDT 2023", True),
        ("darwin", "arm64", "Darwin Kernel Version 25.1.0: Mon Oct 20 19:26:51 PDT 2025", True),
        ("darwin", "x86_64", "Darwin Kernel Version 24.6.0: Mon Jul 14 11:30:29 PDT 2025", False),
        ("linux", "aarch64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1", False),
    ],
)
def test_mlx_comes_along_only_where_it_has_wheels(system: str, machine: str, kernel: str, comes: bool) -> None:
    """Darwin 23 is macOS 14; where a requirement cannot be met, slmtui could not be installed."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [one for one in map(Requirement, project["dependencies"]) if one.name in ("mlx-lm", "tokenizers")]
    here = {"sys_platform": system, "platform_machine": machine, "platform_version": kernel}
    assert [one.marker is not None and one.marker.evaluate(here) for one in needed] == [comes, comes]


def test_a_raised_gpu_limit_is_kept() -> None:
    facts = parse_sysctl(SYSCTL_M3.replace("wired_limit_mb: 0", "wired_limit_mb: 14336"))
    assert merged(ARM64, facts, Profile()).gpu_memory_limit_bytes == 14 * 1024**3


def test_without_system_profiler_the_chip_still_has_a_gpu() -> None:
    machine = merged(ARM64, parse_sysctl(SYSCTL_M3), parse_profile("not json"))
    assert [(gpu.name, gpu.source) for gpu in machine.gpus] == [("Apple M3 GPU", "sysctl")]
    assert machine.product is None


def test_rosetta_is_noted_even_where_the_child_process_was_not_translated() -> None:
    native_child = merged(X86, parse_sysctl(SYSCTL_M3), parse_profile(PROFILE_M3))
    facts = {"machdep.cpu.brand_string": "VirtualApple @ 2.50GHz", "sysctl.proc_translated": "1"}
    translated_child = merged(X86, facts, parse_profile(PROFILE_M3))
    for machine in (native_child, translated_child):
        (note,) = machine.notes
        assert "Rosetta" in note
        assert not takes_mlx(machine)
        assert machine.apple_chip == "Apple M3"
        assert machine.cpu.name == "Apple M3"


def test_intel_mac() -> None:
    machine = merged(X86, parse_sysctl(SYSCTL_INTEL), parse_profile(PROFILE_INTEL))
    assert machine.apple_chip is None
    (note,) = machine.notes
    assert "MLX needs an Apple chip" in note
    assert not takes_mlx(machine)
    assert machine.cpu.instruction_sets == ("AVX2", "FMA", "F16C")
    assert (machine.cpu.physical_cores, machine.cpu.logical_cores, machine.cpu.performance_cores) == (6, 12, None)
    built_in, card = machine.gpus
    assert (built_in.vendor, built_in.unified, built_in.memory_total_bytes) == ("Intel", True, None)
    assert (card.vendor, card.unified, card.memory_total_bytes) == ("AMD", False, 4 * 1024**3)


def test_nothing_known_changes_nothing() -> None:
    assert merged(ARM64, parse_sysctl("sysctl: unknown oid 'iogpu.wired_limit_mb'\n"), Profile()) == ARM64


def test_memory_is_psutils() -> None:
    import psutil

    assert memory().total_bytes == psutil.virtual_memory().total
