"""What the NVIDIA driver says of a worker that uses its processors: their video memory and energy."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from types import ModuleType

from slmtui.core.nvml import USER_LISTS, ask, parts


class Gpus:
    """The NVIDIA processors of the machine, of which a model uses those at the PCI addresses `used`."""

    def __init__(self, nvml: ModuleType, used: Sequence[str]) -> None:
        self._nvml = nvml
        self._parts = parts(nvml)
        handles = [ask(nvml, "nvmlDeviceGetHandleByPciBusId", address) for address in used]
        self._used = [] if None in handles else handles  # a part of the energy would be a wrong figure
        self.name = ", ".join(f"NVML GPU {ask(nvml, 'nvmlDeviceGetIndex', handle)}" for handle in self._used)

    def process_bytes(self, pid: int | None = None) -> int | None:
        """Video memory of a process, this one by default, on all processors; None where the driver does not say.

        A driver that lists the process without a figure (Windows), or does not list it (some containers), does not say.
        """
        pid = os.getpid() if pid is None else pid
        found: list[int] = []
        for part in self._parts:
            figures = [figure for name in USER_LISTS for figure in self._figures(name, part, pid)]
            if None in figures:
                return None
            found += [max(figure for figure in figures if figure is not None)] if figures else []
        return sum(found) if found else None

    def joules(self) -> float | None:
        """Energy that the used processors took since their driver was loaded, all programs included."""
        read = [ask(self._nvml, "nvmlDeviceGetTotalEnergyConsumption", handle) for handle in self._used]
        counted = [figure for figure in read if isinstance(figure, int)]
        return sum(counted) / 1000 if counted and len(counted) == len(read) else None

    def _figures(self, name: str, part: object, pid: int) -> list[int | None]:
        """What one list says of the process; one that computes and draws is in both lists, with the same figure."""
        listed = ask(self._nvml, name, part)
        if not isinstance(listed, list):
            return []
        return [one.usedGpuMemory for one in listed if one.pid == pid]


def open_gpus(used: Sequence[str], nvml: ModuleType | None = None) -> Gpus | None:
    """The processors, for a model that uses those at these PCI addresses; None without a driver.

    The driver's library stays open until the process ends. `nvml` is the module to ask, pynvml by default.
    """
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
        return Gpus(nvml, used)
    except nvml.NVMLError:
        return None
