"""Made-up /proc and /sys below a temporary folder."""

from __future__ import annotations

from pathlib import Path

MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"
"""16 GiB, half of it available."""
GIB = 1024**3


def grow(root: Path, files: dict[str, str]) -> Path:
    """Write `files` (path below the root, content) and return the root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


def cores(siblings: list[str]) -> dict[str, str]:
    """Topology files: the list of siblings of each logical core in turn."""
    folder = "sys/devices/system/cpu"
    files = {f"{folder}/cpu{n}/topology/thread_siblings_list": f"{text}\n" for n, text in enumerate(siblings)}
    return {f"{folder}/online": f"0-{len(siblings) - 1}\n", f"{folder}/cpufreq/boost": "1\n", **files}
