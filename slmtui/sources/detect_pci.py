"""Graphics processors on the PCI bus as Linux shows them in /sys, and a board's own as in its device tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from slmtui.core.machine import Gpu
from slmtui.core.text import one_line
from slmtui.sources.detect_files import read_int, read_text

_VENDORS: dict[str, Literal["NVIDIA", "AMD", "Intel"]] = {
    "0x10de": "NVIDIA",
    "0x1002": "AMD",
    "0x8086": "Intel",
}
_DISPLAY = "0x03"
_ACCELERATOR = "0x12"
"""AMD's Instinct cards are of this class; so are Intel's NPUs, which no engine here uses."""
_NAME_LISTS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")


def pci_gpus(root: Path = Path("/")) -> tuple[Gpu, ...]:
    """GPUs of NVIDIA, AMD and Intel on the bus, with or without a driver; memory where amdgpu tells it."""
    gpus: list[Gpu] = []
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor = _VENDORS.get(read_text(folder / "vendor") or "")
        kind = read_text(folder / "class") or ""
        if vendor and (kind.startswith(_DISPLAY) or (vendor == "AMD" and kind.startswith(_ACCELERATOR))):
            gpus.append(_gpu(root, folder, vendor, len(gpus)))
    return tuple(gpus)


def board_gpu(root: Path = Path("/")) -> Gpu | None:
    """The GPU of an NVIDIA Jetson board, whose older systems have no NVML; None on anything else."""
    model = read_text(root / "proc/device-tree/model") or ""
    if "jetson" not in model.lower():
        return None
    return Gpu(index=0, name=f"{one_line(model)} GPU", vendor="NVIDIA", unified=True, source="device tree")


def _gpu(root: Path, folder: Path, vendor: Literal["NVIDIA", "AMD", "Intel"], index: int) -> Gpu:
    total = read_int(folder / "mem_info_vram_total") or None
    used = read_int(folder / "mem_info_vram_used")
    return Gpu(
        index=index,
        name=_name(root, folder, vendor),
        vendor=vendor,
        memory_total_bytes=total,
        memory_free_bytes=None if total is None or used is None else max(0, total - used),
        # Intel's built-in graphics always sit on bus 0; its cards are behind a bridge.
        unified=vendor == "Intel" and bool(re.match(r"[0-9a-f]+:00:", folder.name)),
        source="sysfs",
    )


def _name(root: Path, folder: Path, vendor: str) -> str:
    """The card's own product name, else the one in the system's list of PCI devices, else its number."""
    if product := read_text(folder / "product_name"):
        name = one_line(product)
        return name if vendor.lower() in name.lower() else f"{vendor} {name}"
    code = (read_text(folder / "device") or "").removeprefix("0x").lower()
    listed = _listed(root, (read_text(folder / "vendor") or "").removeprefix("0x"), code)
    return f"{vendor} {listed}" if listed else f"{vendor} GPU {code}".strip()


def _listed(root: Path, vendor: str, device: str) -> str | None:
    """A device's name in pci.ids; the name in brackets, which is the one on the box, where there is one."""
    text = next((text for name in _NAME_LISTS if (text := read_text(root / name))), "")
    start = re.search(rf"^{re.escape(vendor)}\s.*$", text, re.MULTILINE)
    if not start or not device:
        return None
    end = re.compile(r"^[0-9a-fA-C]", re.MULTILINE).search(text, start.end())
    section = text[start.end() : end.start() if end else len(text)]
    found = re.search(rf"^\t{re.escape(device)}\s+(.+)$", section, re.MULTILINE)
    if not found:
        return None
    bracketed = re.search(r"\[(.+)\]", found[1])
    return one_line(bracketed[1] if bracketed else found[1])
