"""What a container or service manager leaves to this process: memory and CPU limits of Linux control groups.

Every group from the process's own up to the top may set a limit, so all of them are asked. Version 1, version
2 and hosts that mix both are read at the customary mount points. Inside a container the group's path, as the
host names it, often does not exist below the mount; then the mount itself is the container's group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from slmtui.sources.detect_files import as_int, first_line_with, read_int, read_text

_NO_LIMIT_BYTES = 1 << 60
"""Version 1 says "no limit" with 2^63 rounded down to a page; no machine has an exbibyte."""


class MemoryLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One group's limit in bytes, and what its processes use of it that can't be reclaimed at once."""

    limit_bytes: int
    used_bytes: int | None
    source: str
    """Where it is written: "cgroup v2 memory.max"."""


def memory_limits(root: Path = Path("/")) -> list[MemoryLimit]:
    """All memory limits that hold for this process, the tightest first; empty where there are none."""
    limits = []
    for group in _groups(root, "memory", version=2):
        for name in ("memory.max", "memory.high"):
            limits += _limit(group, name, "memory.current", "inactive_file", "cgroup v2")
    for group in _groups(root, "memory", version=1):
        limits += _limit(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "cgroup v1")
    return sorted(limits, key=lambda limit: limit.limit_bytes)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that this process may use (1.5 is one and a half); None where nothing limits it."""
    quotas = []
    for group in _groups(root, "cpu", version=2):
        quota, _, period = (read_text(group / "cpu.max") or "").partition(" ")
        quotas.append((as_int(quota), as_int(period)))
    quotas += [
        (read_int(group / "cpu.cfs_quota_us"), read_int(group / "cpu.cfs_period_us"))
        for group in _groups(root, "cpu", version=1)
    ]
    shares = [quota / period for quota, period in quotas if quota and period and quota > 0 and period > 0]
    return min(shares, default=None)


def _limit(group: Path, name: str, usage: str, cache: str, version: str) -> list[MemoryLimit]:
    limit = read_int(group / name)
    if limit is None or not 0 < limit < _NO_LIMIT_BYTES:
        return []
    used = read_int(group / usage)
    # Page cache that nobody touches counts as used, but the kernel drops it before it refuses memory.
    droppable = as_int(first_line_with(read_text(group / "memory.stat") or "", f"{cache} "))
    if used is not None:
        used = max(0, used - (droppable or 0))
    return [MemoryLimit(limit_bytes=limit, used_bytes=used, source=f"{version} {name}")]


def _groups(root: Path, controller: str, *, version: int) -> Iterator[Path]:
    """Folders of the process's group and all groups above it, for one controller."""
    path = _path_of(root, controller if version == 1 else "")
    if path is None:
        return
    mount = root / "sys/fs/cgroup"
    names = ("unified", "") if version == 2 else (controller, f"{controller},cpuacct")
    folder = next((mount / name for name in names if (mount / name).is_dir()), None)
    parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".."}]
    for depth in range(len(parts), -1, -1):
        if folder is not None:
            yield folder.joinpath(*parts[:depth])


def _path_of(root: Path, controller: str) -> str | None:
    """The group's path in /proc/self/cgroup: the line with this controller, or version 2's "0::" line."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(",") if controller else number == "0" and not controllers:
            return path
    return None
