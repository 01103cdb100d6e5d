"""What this machine is and what is free.

One call serves the first frame, one tells everything, small ones feed live figures. All of them block;
`detect` takes up to two seconds the first time, so it belongs in a thread.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from slmtui.core.machine import Cpu, Gpu, Machine, Memory
from slmtui.core.text import one_line
from slmtui.sources import detect_linux
from slmtui.sources.detect_cpuinfo import cpu_facts
from slmtui.sources.detect_cuda import cuda_toolkit
from slmtui.sources.detect_flags import instruction_sets
from slmtui.sources.detect_nvidia import nvidia_gpus

_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu", "soc", "x86_pkg_temp")
"""Beginnings of the names of sensors that sit in a processor."""
_PLAUSIBLE_C = (0.0, 150.0)


class _Reading(Protocol):
    @property
    def current(self) -> float | None: ...


def detect_quick(root: Path = Path("/")) -> Machine:
    """What can be told within 30 ms and without starting a process; no graphics, no engines, no notes."""
    return replace(_quick(root), power=power(root))


def detect(cache_folder: Path | None, root: Path = Path("/")) -> Machine:
    """Everything but the engines, which the engines themselves must tell.

    py-cpuinfo is asked only for a name or flags that the system does not say, and its answer is kept in
    `cache_folder`. `root` is where Linux's /proc and /sys are found.
    """
    machine = _complete(detect_quick(root), root)
    cpu = machine.cpu
    if cpu.name is None or not cpu.instruction_sets:
        facts = cpu_facts(cache_folder, _processor_key(cpu, root))
        sets = cpu.instruction_sets or instruction_sets(facts.flags)
        machine = replace(machine, cpu=replace(cpu, name=cpu.name or facts.name, instruction_sets=sets))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    machine = _with_nvidia(machine, *nvidia_gpus(visible))
    if any(gpu.vendor == "NVIDIA" for gpu in machine.gpus):
        machine = replace(machine, cuda_visible_devices=visible, cuda_toolkit=cuda_toolkit())
    return machine


def memory_now(root: Path = Path("/")) -> Memory:
    """Main memory as it is now, container limits included; cheap enough for a live display."""
    if _system() == "linux":
        return detect_linux.memory(root)
    import psutil

    now = psutil.virtual_memory()
    return Memory(total_bytes=now.total, available_bytes=now.available)


def load_average() -> float | None:
    """Runnable processes over the last minute; None on Windows, which keeps no such figure."""
    if not hasattr(os, "getloadavg"):
        return None
    try:
        return float(os.getloadavg()[0])
    except OSError:
        return None


def temperature_c() -> float | None:
    """The hottest processor sensor in degrees Celsius; None None without one, as on macOS and Windows."""
    import psutil

    if not hasattr(psutil, "sensors_temperatures"):
        return None
    try:
        return hottest(psutil.sensors_temperatures())
    except OSError:
        return None


def hottest(readings: Mapping[str, Sequence[_Reading]]) -> float | None:
    """The highest plausible value of the sensors that sit in a processor, in degrees Celsius."""
    low, high = _PLAUSIBLE_C
    inside = [each for name, each in readings.items() if name.lower().startswith(_CPU_SENSORS)]
    values = [reading.current for sensor in inside for reading in sensor]
    return max((value for value in values if value is not None and low < value < high), default=None)


def governor(root: Path = Path("/")) -> str | None:
    """The processor's frequency governor now; None where there is none, as everywhere but on Linux."""
    return detect_linux.governor(root) if _system() == "linux" else None


def _system() -> str:
    """sys.platform as a word that type checkers don't narrow, so that every branch is checked everywhere."""
    return "linux" if sys.platform.startswith("linux") else str(sys.platform)


def _quick(root: Path) -> Machine:
    match _system():
        case "linux":
            return detect_linux.quick(root)
        case "darwin":
            from slmtui.sources import detect_macos

            return detect_macos.quick()
        case "win32":
            from slmtui.sources import detect_windows

            return detect_windows.quick()
        case _:
            return _plain()


def _complete(machine: Machine, root: Path) -> Machine:
    match _system():
        case "linux":
            return detect_linux.complete(machine, root)
        case "darwin":
            from slmtui.sources import detect_macos

            return detect_macos.complete(machine)
        case "win32":
            from slmtui.sources import detect_windows

            return detect_windows.complete(machine)
        case _:
            return machine


def _plain() -> Machine:
    """What psutil knows on a system that slmtui has no module for."""
    import psutil

    logical = psutil.cpu_count()
    cpu = Cpu(
        architecture=platform.machine() or None,
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=logical,
        usable_cores=logical,
    )
    return Machine(cpu=cpu, memory=memory_now(), system=one_line(f"{platform.system()} {platform.release()}"))


def _processor_key(cpu: Cpu, root: Path) -> str:
    match _system():
        case "linux":
            return detect_linux.processor_key(root)
        case "win32":
            from slmtui.sources import detect_windows

            return detect_windows.processor_key()
        case system:
            return "|".join([system, cpu.architecture or "", cpu.name or ""])


def _with_nvidia(machine: Machine, nvidia: Sequence[Gpu], notes: Sequence[str]) -> Machine:
    """`machine` with the processors that NVIDIA's driver shows in place of those that only the bus shows.

    A processor without a working driver is of no use to any engine, so it becomes a note. A Jetson's is kept:
    its driver is part of the system, and its older systems have no NVML.
    """
    others = [gpu for gpu in machine.gpus if gpu.vendor != "NVIDIA" or (gpu.unified and not nvidia)]
    idle = [gpu.name for gpu in machine.gpus if gpu.vendor == "NVIDIA" and gpu not in others]
    remarks = [*machine.notes, *notes]
    if idle and not nvidia and not notes:
        remarks.append(
            f"{', '.join(idle)} is in this machine, but no NVIDIA driver answers here: install the driver,"
            " or start the container with its GPUs (--gpus all)."
        )
    gpus = [replace(gpu, index=index) for index, gpu in enumerate([*nvidia, *others])]
    return replace(machine, gpus=tuple(gpus), notes=tuple(remarks))


def power(root: Path = Path("/")) -> str | None:
    """Where the machine's power comes from now: "mains" or "battery 83 %"; None without a battery."""
    # Importing psutil takes 15 to 30 ms, so it is left alone where Linux lists no supply at all.
    if _system() == "linux" and not any((root / "sys/class/power_supply").glob("*")):
        return None
    import psutil

    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, ValueError, RuntimeError):
        return None
    if battery is None or battery.power_plugged is None:
        return None
    return "mains" if battery.power_plugged else f"battery {battery.percent:.0f} %"
