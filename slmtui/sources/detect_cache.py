"""How much the processor's last cache holds, where Linux says so."""

from __future__ import annotations

import re
from pathlib import Path

from slmtui.sources.detect_files import read_text

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def last_cache_bytes(root: Path = Path("/")) -> int | None:
    """All caches of the highest level together, in bytes; None where the system does not say.

    A virtual machine often shows the whole cache of its host, which other guests share.
    """
    found: dict[tuple[int, str], int] = {}
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        level, size = read_text(folder / "level"), _size(read_text(folder / "size"))
        if level is None or not level.isdigit() or size is None or read_text(folder / "type") == "Instruction":
            continue
        sharers = read_text(folder / "shared_cpu_list") or folder.parent.parent.name
        found[int(level), sharers] = size  # every core that shares it lists it
    highest = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == highest) or None


def _size(text: str | None) -> int | None:
    match = re.fullmatch(r"(\d+)([KMG]?)", text or "")
    return int(match[1]) * _UNITS[match[2]] if match else None
