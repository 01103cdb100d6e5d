"""Questions to NVML's module (pynvml, or a stand-in) that the machine's description and the workers both have."""

from __future__ import annotations

from types import ModuleType

USER_LISTS = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
"""The functions that list a processor's users; one that computes and draws is in both."""


def ask(nvml: ModuleType, function: str, *arguments: object) -> object | None:
    """The function's answer; None where the driver has none."""
    try:
        answer: object = getattr(nvml, function)(*arguments)
    except nvml.NVMLError:
        return None
    return answer


def slices(nvml: ModuleType, handle: object) -> list[object] | None:
    """Handles of the slices of a processor in MIG mode; None where it isn't divided."""
    mode = ask(nvml, "nvmlDeviceGetMigMode", handle)
    if not isinstance(mode, tuple | list) or mode[0] != 1:
        return None
    most = ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle)
    numbers = range(most if isinstance(most, int) else 0)
    parts = (ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, number) for number in numbers)
    return [part for part in parts if part is not None]


def parts(nvml: ModuleType) -> list[object]:
    """Handles that memory is asked of: a divided processor's slices in place of the whole.

    Raises:
        nvml.NVMLError: the driver does not say how many processors there are.
    """
    found: list[object] = []
    for number in range(int(nvml.nvmlDeviceGetCount())):
        whole = ask(nvml, "nvmlDeviceGetHandleByIndex", number)
        if whole is not None:
            divided = slices(nvml, whole)
            found += [whole] if divided is None else divided
    return found
