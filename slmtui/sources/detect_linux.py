"""Linux: processor, memory, graphics and oddities as /proc and /sys tell them, below any root folder."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from msgspec.structs import replace

from slmtui.core.machine import Cpu, Machine, Memory
from slmtui.core.text import one_line
from slmtui.sources.detect_cgroup import cpu_quota, memory_limits
from slmtui.sources.detect_files import as_int, cpu_numbers, first_line_with, read_int, read_text
from slmtui.sources.detect_flags import instruction_sets
from slmtui.sources.detect_pci import board_gpu, pci_gpus

_NAME_KEYS = ("model name", "cpu model", "cpu")
_IDENTITY_KEYS = (
    "vendor_id", "cpu family", "model", "model name", "stepping",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "uarch",
)  # fmt: skip
_FAST_SHARE = 0.5
"""Cores with at least this share of the fastest core's capacity count as fast: ARM's middle kind, which works
well beside the largest, but not the small kind, which all others would wait for."""


def quick(root: Path = Path("/")) -> Machine:
    """What a few file reads tell, without starting a process."""
    return Machine(
        cpu=processor(root),
        memory=memory(root),
        system=system_words(root),
        product=_board(root),
        governor=governor(root),
    )


def complete(machine: Machine, root: Path = Path("/")) -> Machine:
    """`machine` with graphics on the bus and notes; NVIDIA's own driver is asked elsewhere."""
    board = board_gpu(root)
    gpus = pci_gpus(root)
    if board is not None and not gpus:
        gpus = (board,)
    return replace(machine, gpus=gpus, notes=_wsl_notes(root))


def processor(root: Path = Path("/")) -> Cpu:
    """The CPU; cores that this process may use are counted by its affinity and its groups' quota."""
    facts = cpuinfo_record(root)
    name = next((facts[key] for key in _NAME_KEYS if facts.get(key)), "")
    folder = root / "sys/devices/system/cpu"
    logical = len(cpu_numbers(read_text(folder / "online"))) or os.cpu_count()
    siblings = _siblings(folder)
    return Cpu(
        name=None if name.lower() in {"", "unknown"} else one_line(name),
        architecture=platform.machine() or None,
        physical_cores=len(set(siblings.values())) or _physical_by_record(facts, logical),
        logical_cores=logical,
        performance_cores=_performance_cores(root, siblings),
        usable_cores=usable_cores(root, allowed_cores() or logical or 1),
        instruction_sets=instruction_sets((facts.get("flags") or facts.get("Features") or "").split()),
    )


def processor_key(root: Path = Path("/")) -> str:
    """Text that changes when the processor does, for caches of what is known about it."""
    facts = cpuinfo_record(root)
    parts = [facts.get(key, "") for key in _IDENTITY_KEYS]
    return "|".join(["linux", platform.machine(), *parts, _board(root) or ""])


def cpuinfo_record(root: Path = Path("/")) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo.

    Only the first: the kernel makes the file up while it is read, so with many processors the rest is costly.
    """
    record: dict[str, str] = {}
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, colon, value = line.partition(":")
                if not colon and record:
                    break
                if colon:
                    record.setdefault(key.strip(), value.strip())
    except OSError:
        return {}
    return record


def allowed_cores() -> int | None:
    """Logical cores that affinity leaves to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def usable_cores(root: Path, allowed: int) -> int:
    """Logical cores left by affinity (`allowed`) and quota; a broken core of quota is rounded down.

    A thread more than there is time for makes all threads wait at every step of the computation: decode is
    half as fast with three threads on two cores.
    """
    quota = cpu_quota(root)
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def memory(root: Path = Path("/")) -> Memory:
    """Main memory now, container limits included."""
    text = read_text(root / "proc/meminfo") or ""
    total, available = _kib(text, "MemTotal:"), _kib(text, "MemAvailable:")
    limited_by: str | None = None
    for limit in memory_limits(root):
        if total is None or limit.limit_bytes < total:
            total, limited_by = limit.limit_bytes, limit.source
        if available is not None:
            available = min(available, max(0, limit.limit_bytes - (limit.used_bytes or 0)))
    return Memory(total_bytes=total, available_bytes=available, limited_by=limited_by)


def system_words(root: Path = Path("/")) -> str:
    """Distribution and kernel: "Debian GNU/Linux 12 (bookworm), Linux 6.18.44"."""
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release") or ""
    distribution = one_line((first_line_with(text, "PRETTY_NAME=") or "").strip("\"'"))
    kernel = f"Linux {platform.release()}"
    return f"{distribution}, {kernel}" if distribution else kernel


def _siblings(folder: Path) -> dict[int, str]:
    """Logical core number to the list of those that share its physical core."""
    pairs = {
        as_int(path.name.removeprefix("cpu")): read_text(path / "topology/thread_siblings_list")
        for path in folder.glob("cpu[0-9]*")
    }
    return {number: siblings for number, siblings in pairs.items() if number is not None and siblings}


def _physical_by_record(facts: dict[str, str], logical: int | None) -> int | None:
    cores, siblings = as_int(facts.get("cpu cores")), as_int(facts.get("siblings"))
    if not cores or not siblings or not logical:
        return None
    return cores * max(1, logical // siblings)


def _performance_cores(root: Path, siblings: dict[int, str]) -> int | None:
    """Physical cores of the fast kind: Intel's list, else ARM's capacities; None where all are alike."""
    if (root / "sys/devices/cpu_atom").is_dir():
        fast = cpu_numbers(read_text(root / "sys/devices/cpu_core/cpus"))
    else:
        folder = root / "sys/devices/system/cpu"
        read = {number: read_int(folder / f"cpu{number}/cpu_capacity") for number in siblings}
        capacities = {number: capacity for number, capacity in read.items() if capacity}
        limit = max(capacities.values(), default=0) * _FAST_SHARE
        fast = frozenset(number for number, capacity in capacities.items() if capacity >= limit)
    count = len({siblings.get(number, str(number)) for number in fast})
    return count if 0 < count < len(set(siblings.values())) else None


def _kib(meminfo: str, key: str) -> int | None:
    words = (first_line_with(meminfo, key) or "").split()
    kib = as_int(words[0]) if words else None
    return None if kib is None else kib * 1024


def governor(root: Path = Path("/")) -> str | None:
    """Frequency governor of the cores, several with commas; None without frequency control."""
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    found = {text for path in policies if (text := read_text(path))}
    return ", ".join(sorted(found)) or None


def _board(root: Path) -> str | None:
    """What a single-board computer calls itself in its device tree."""
    return one_line(read_text(root / "proc/device-tree/model") or "") or None


def _wsl_notes(root: Path) -> tuple[str, ...]:
    kernel = (read_text(root / "proc/sys/kernel/osrelease") or "").lower()
    if "microsoft" not in kernel:
        return ()
    if "wsl2" not in kernel and "standard" not in kernel:
        return ("This is WSL 1, which has no GPU access: change to WSL 2 (wsl --set-version <distribution> 2).",)
    return (
        "This is Linux inside Windows (WSL 2): it gets part of the memory, by default half; to change it,"
        " set memory= under [wsl2] in .wslconfig in your Windows user folder and run wsl --shutdown."
        " A GPU's driver is that of Windows: update it there, and install none in Linux.",
    )
