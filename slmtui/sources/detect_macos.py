"""macOS: what sysctl and system_profiler say, read by pure functions from their text."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
from collections.abc import Mapping
from typing import Literal

import msgspec
import psutil
from msgspec.structs import replace

from slmtui.core.apple import mlx_note
from slmtui.core.machine import Cpu, Gpu, Machine, Memory
from slmtui.core.text import one_line
from slmtui.sources.detect_files import as_int
from slmtui.sources.detect_flags import instruction_sets

_TIMEOUT_S = 20.0
_SYSCTL = (
    "/usr/sbin/sysctl",
    "hw.memsize", "hw.physicalcpu", "hw.logicalcpu", "hw.perflevel0.physicalcpu", "hw.perflevel1.physicalcpu",
    "hw.optional", "machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features",
    "iogpu.wired_limit_mb", "sysctl.proc_translated",
)  # fmt: skip
_PROFILER = ("/usr/sbin/system_profiler", "-json", "SPHardwareDataType", "SPDisplaysDataType")
_ROSETTA = (
    "This Python runs under Rosetta (code for Intel on an Apple chip): engines are several times slower"
    " in it and can't use the GPU. Install a Python for arm64 (python.org's installer, or Homebrew's in"
    " /opt/homebrew) and install slmtui again with it."
)


class _Hardware(msgspec.Struct, frozen=True):
    machine_name: str | None = None
    chip_type: str | None = None


class _Display(msgspec.Struct, frozen=True):
    sppci_model: str | None = None
    sppci_cores: str | None = None
    spdisplays_vendor: str | None = None
    spdisplays_vram: str | None = None
    spdisplays_vram_shared: str | None = None


class Profile(msgspec.Struct, frozen=True):
    """The parts of system_profiler's JSON that are used."""

    hardware: tuple[_Hardware, ...] = msgspec.field(name="SPHardwareDataType", default=())
    displays: tuple[_Display, ...] = msgspec.field(name="SPDisplaysDataType", default=())


def quick() -> Machine:
    """What the C library tells without starting a process."""
    architecture = platform.machine() or None
    name = _sysctl_string("machdep.cpu.brand_string")
    logical = psutil.cpu_count()
    cpu = Cpu(
        name=name,
        architecture=architecture,
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=logical,
        usable_cores=logical,
    )
    version = platform.mac_ver()[0]
    return Machine(
        cpu=cpu,
        memory=memory(),
        system=f"macOS {version}" if version else "macOS",
        apple_chip=name if name and name.startswith("Apple ") else None,
    )


def complete(machine: Machine) -> Machine:
    """`machine` with what sysctl and system_profiler add; takes about half a second."""
    return merged(machine, parse_sysctl(_run(_SYSCTL)), parse_profile(_run(_PROFILER)))


def memory() -> Memory:
    """Main memory now."""
    now = psutil.virtual_memory()
    return Memory(total_bytes=now.total, available_bytes=now.available)


def parse_sysctl(text: str) -> dict[str, str]:
    """The lines "key: value" of sysctl."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def parse_profile(text: str) -> Profile:
    """system_profiler's JSON; empty where it isn't that."""
    try:
        return msgspec.json.decode(text, type=Profile)
    except msgspec.MsgspecError:
        return Profile()


def merged(machine: Machine, facts: Mapping[str, str], profile: Profile) -> Machine:
    """`machine` with the facts of sysctl and system_profiler; what they don't say stays."""
    hardware = profile.hardware[0] if profile.hardware else _Hardware()
    brand = one_line(facts.get("machdep.cpu.brand_string", "")) or machine.cpu.name
    chip = next((name for name in (hardware.chip_type, brand) if name and name.startswith("Apple ")), None)
    translated = facts.get("sysctl.proc_translated") == "1" or (
        machine.cpu.architecture == "x86_64" and (chip is not None or facts.get("hw.optional.arm64") == "1")
    )
    limit_mib = as_int(facts.get("iogpu.wired_limit_mb"))
    found = replace(
        machine,
        cpu=_processor(machine.cpu, facts, chip or brand),
        gpus=_gpus(profile, chip),
        product=one_line(hardware.machine_name or "") or machine.product,
        apple_chip=chip,
        # 0 stands for the system's own limit, which only Metal can tell.
        gpu_memory_limit_bytes=limit_mib * 1024**2 if limit_mib else None,
    )
    note = _ROSETTA if translated else mlx_note(found)
    return replace(found, notes=(*found.notes, note)) if note else found


def _processor(cpu: Cpu, facts: Mapping[str, str], name: str | None) -> Cpu:
    has_slow_cores = as_int(facts.get("hw.perflevel1.physicalcpu"))
    words = f"{facts.get('machdep.cpu.features', '')} {facts.get('machdep.cpu.leaf7_features', '')}".split()
    optional = [
        key.rpartition(".")[2] for key, value in facts.items() if key.startswith("hw.optional.") and value == "1"
    ]
    return replace(
        cpu,
        name=name,
        physical_cores=as_int(facts.get("hw.physicalcpu")) or cpu.physical_cores,
        logical_cores=as_int(facts.get("hw.logicalcpu")) or cpu.logical_cores,
        performance_cores=as_int(facts.get("hw.perflevel0.physicalcpu")) if has_slow_cores else None,
        instruction_sets=instruction_sets([*words, *optional]) or cpu.instruction_sets,
    )


def _gpus(profile: Profile, chip: str | None) -> tuple[Gpu, ...]:
    gpus = tuple(_gpu(number, display) for number, display in enumerate(profile.displays))
    if not gpus and chip is not None:
        return (Gpu(index=0, name=f"{chip} GPU", vendor="Apple", unified=True, source="sysctl"),)
    return gpus


def _gpu(index: int, display: _Display) -> Gpu:
    model = one_line(display.sppci_model or "") or "GPU"
    vendor = _vendor(f"{display.spdisplays_vendor or ''} {model}".lower())
    cores = as_int(display.sppci_cores)
    return Gpu(
        index=index,
        name=f"{model} GPU, {cores} cores" if vendor == "Apple" and cores else model,
        vendor=vendor,
        memory_total_bytes=_bytes(display.spdisplays_vram),
        unified=vendor == "Apple" or display.spdisplays_vram_shared is not None,
        source="system_profiler",
    )


def _vendor(words: str) -> Literal["NVIDIA", "Apple", "AMD", "Intel", "unknown"]:
    if "apple" in words:
        return "Apple"
    if "nvidia" in words:
        return "NVIDIA"
    if "amd" in words or "radeon" in words:
        return "AMD"
    return "Intel" if "intel" in words else "unknown"


def _bytes(words: str | None) -> int | None:
    """Words like "8 GB" or "1536 MB" in bytes; graphics memory is counted in powers of two."""
    found = re.fullmatch(r"(\d+) ([MG])B", words or "")
    return int(found[1]) * {"M": 1024**2, "G": 1024**3}[found[2]] if found else None


def _run(command: tuple[str, ...]) -> str:
    """The command's output, complete or not: sysctl fails as a whole when one of its keys is unknown."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _sysctl_string(name: str) -> str | None:
    """One text value of sysctl straight from the C library, in microseconds."""
    try:
        sysctl = ctypes.CDLL(None).sysctlbyname
    except (AttributeError, OSError, TypeError):
        return None
    sysctl.argtypes = [
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_size_t),
        ctypes.c_void_p,
        ctypes.c_size_t,
    ]
    buffer = ctypes.create_string_buffer(256)
    length = ctypes.c_size_t(len(buffer))
    if sysctl(name.encode(), buffer, ctypes.byref(length), None, 0) != 0:
        return None
    return one_line(buffer.value.decode("utf-8", "replace")) or None
