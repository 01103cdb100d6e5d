"""Windows: processor, system and graphics as the registry names them; nothing here starts a process."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

import psutil
from msgspec.structs import replace

from slmtui.core.machine import Cpu, Gpu, Machine, Memory
from slmtui.core.text import one_line

_CPU_KEY = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_DISPLAY_KEY = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
"""Display adapters, one numbered key each."""
_VENDORS: dict[str, Literal["NVIDIA", "AMD", "Intel"]] = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
_FIRST_BUILD_OF_11 = 22000

Values = Mapping[str, object]
"""The values of one registry key."""


def quick() -> Machine:
    """What the registry and psutil tell."""
    values = _registry(_CPU_KEY)
    logical = psutil.cpu_count()
    process = psutil.Process()
    environment = os.environ
    cpu = Cpu(
        name=one_line(str(values.get("ProcessorNameString") or "")) or None,
        architecture=environment.get("PROCESSOR_ARCHITEW6432") or environment.get("PROCESSOR_ARCHITECTURE"),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=logical,
        usable_cores=len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else logical,
    )
    return Machine(cpu=cpu, memory=memory(), system=_system())


def complete(machine: Machine) -> Machine:
    """`machine` with the display adapters of the registry."""
    return replace(machine, gpus=adapters([_registry(f"{_DISPLAY_KEY}\\{number:04d}") for number in range(16)]))


def memory() -> Memory:
    """Main memory now."""
    now = psutil.virtual_memory()
    return Memory(total_bytes=now.total, available_bytes=now.available)


def processor_key() -> str:
    """Text that changes when the processor does."""
    return "|".join(
        [
            "windows",
            os.environ.get("PROCESSOR_IDENTIFIER", ""),
            str(_registry(_CPU_KEY).get("ProcessorNameString", "")),
        ]
    )


def system_words(major: int, build: int) -> str:
    """The name people use: builds from 22000 are Windows 11, though they call themselves version 10."""
    return f"Windows {11 if build >= _FIRST_BUILD_OF_11 else major} (build {build})"


def adapters(keys: Sequence[Values]) -> tuple[Gpu, ...]:
    """Graphics processors of NVIDIA, AMD and Intel among the registry's display adapters."""
    gpus: list[Gpu] = []
    for values in keys:
        found = re.search(r"ven_([0-9a-f]{4})", str(values.get("MatchingDeviceId") or "").lower())
        vendor = _VENDORS.get(found[1]) if found else None
        if vendor is None:
            continue
        gpus.append(
            Gpu(
                index=len(gpus),
                name=one_line(str(values.get("DriverDesc") or "")) or f"{vendor} GPU",
                vendor=vendor,
                memory_total_bytes=_number(values.get("HardwareInformation.qwMemorySize")),
                driver=one_line(str(values.get("DriverVersion") or "")) or None,
                source="registry",
            )
        )
    return tuple(gpus)


def _number(value: object) -> int | None:
    """A size that drivers write as a number or as its bytes; None where there is none or it is 0."""
    if isinstance(value, bytes):
        value = int.from_bytes(value, "little")
    return value if isinstance(value, int) and value > 0 else None


def _system() -> str:
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        return system_words(version.major, version.build)
    return "Windows"


def _registry(path: str) -> dict[str, object]:
    """All values of a key of the local machine; those before a failure where it can't be read to its end."""
    values: dict[str, object] = {}
    if sys.platform == "win32":
        import winreg

        with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            for number in range(winreg.QueryInfoKey(key)[1]):
                name, value, _ = winreg.EnumValue(key, number)
                values[name] = value
    return values
