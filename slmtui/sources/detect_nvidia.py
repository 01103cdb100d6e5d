"""NVIDIA graphics processors, asked of the driver through NVML (package nvidia-ml-py, module pynvml)."""

from __future__ import annotations

import importlib
from types import ModuleType

from msgspec.structs import replace

from slmtui.core.machine import Gpu, GpuUser
from slmtui.core.nvml import USER_LISTS, ask, parts, slices
from slmtui.core.text import one_line

Found = tuple[tuple[Gpu, ...], tuple[str, ...]]
"""Graphics processors, and sentences about what is odd with them."""


def nvidia_gpus(visible: str | None = None, nvml: ModuleType | None = None) -> Found:
    """All NVIDIA processors that the driver shows, the slices of a divided one (MIG) each by itself.

    Without a driver there are none; a driver that is there but does not work gives a note. `visible` is the
    value of CUDA_VISIBLE_DEVICES, which hides processors from CUDA but not from NVML: it is only noted.
    `nvml` is the module to ask, pynvml by default.
    """
    nvml = nvml or _pynvml()
    if nvml is None:
        return (), ()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return (), _broken_driver(nvml, error)
    try:
        gpus, notes = _all(nvml)
    except nvml.NVMLError as error:
        return (), _broken_driver(nvml, error)
    finally:
        ask(nvml, "nvmlShutdown")
    return gpus, notes + _hidden(visible) if gpus else notes


def gpu_users(nvml: ModuleType | None = None) -> tuple[GpuUser, ...]:
    """Every process that the driver says has memory on an NVIDIA processor, the largest first.

    Processors are numbered as in `nvidia_gpus`. Some containers and WSL list nothing.
    """
    nvml = nvml or _pynvml()
    if nvml is None:
        return ()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return ()
    try:
        handles = parts(nvml)
        found = {(gpu, pid): used for gpu, handle in enumerate(handles) for pid, used in _users(nvml, handle)}
    except nvml.NVMLError:
        return ()
    finally:
        ask(nvml, "nvmlShutdown")
    users = [GpuUser(gpu=gpu, pid=pid, name=_process_name(pid), bytes=used) for (gpu, pid), used in found.items()]
    return tuple(sorted(users, key=lambda user: (user.gpu, -(user.bytes or 0), user.pid)))


def _users(nvml: ModuleType, handle: object) -> list[tuple[int, int | None]]:
    """Process id and bytes; one that computes and draws is in both lists, with the same figure."""
    lists = (ask(nvml, name, handle) for name in USER_LISTS)
    return [(one.pid, one.usedGpuMemory) for listed in lists if isinstance(listed, list) for one in listed]


def _process_name(pid: int) -> str | None:
    import psutil

    try:
        return one_line(psutil.Process(pid).name()) or None
    except psutil.Error:
        return None  # it ended, or belongs to somebody else


def _pynvml() -> ModuleType | None:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def _all(nvml: ModuleType) -> Found:
    about = Gpu(
        index=0,
        name="",
        vendor="NVIDIA",
        driver=_words(nvml, "nvmlSystemGetDriverVersion"),
        cuda=_cuda(ask(nvml, "nvmlSystemGetCudaDriverVersion_v2")),
        source="NVML",
    )
    gpus: list[Gpu] = []
    notes: list[str] = []
    for number in range(int(nvml.nvmlDeviceGetCount())):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError as error:
            notes.append(f"NVIDIA GPU {number} does not answer ({error}): look at the system log, or restart.")
            continue
        divided = slices(nvml, handle)
        whole = _gpu(nvml, handle, replace(about, index=len(gpus)))
        if divided is None:
            gpus.append(whole)
            continue
        notes.append(_divided(whole.name, len(divided)))
        for part in divided:
            gpus.append(_gpu(nvml, part, replace(whole, index=len(gpus), source="NVML (MIG slice)")))
    return tuple(gpus), tuple(notes)


def _gpu(nvml: ModuleType, handle: object, known: Gpu) -> Gpu:
    """`known` with what one handle says; the name and compute capability that a slice lacks are those of the whole."""
    total: int | None = None
    free: int | None = None
    unified = False
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, free = int(memory.total) or None, int(memory.free)
    except nvml.NVMLError as error:
        # Chips with one memory for CPU and GPU (GB10, Jetson) have no figure of their own to give.
        unified = error.value == nvml.NVML_ERROR_NOT_SUPPORTED
    capability = ask(nvml, "nvmlDeviceGetCudaComputeCapability", handle)
    return replace(
        known,
        name=_words(nvml, "nvmlDeviceGetName", handle) or known.name or "NVIDIA GPU",
        memory_total_bytes=total,
        memory_free_bytes=free if total is not None else None,
        compute_capability=(
            ".".join(map(str, capability)) if isinstance(capability, tuple | list) else known.compute_capability
        ),
        unified=unified,
        power_w=_watts(ask(nvml, "nvmlDeviceGetPowerUsage", handle)),
        power_limit_w=_watts(ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)),
        temperature_c=_celsius(ask(nvml, "nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU)),
    )


def _watts(milliwatts: object) -> float | None:
    return milliwatts / 1000 if isinstance(milliwatts, int) else None


def _celsius(degrees: object) -> float | None:
    return float(degrees) if isinstance(degrees, int) else None


def _cuda(version: object) -> str | None:
    """13000 is CUDA 13.0."""
    if not isinstance(version, int) or version <= 0:
        return None
    major, minor = divmod(version, 1000)
    return f"{major}.{minor // 10}"


def _words(nvml: ModuleType, function: str, *args: object) -> str | None:
    answer = ask(nvml, function, *args)
    return one_line(answer) or None if isinstance(answer, str) else None


def _divided(name: str, slices: int) -> str:
    if slices == 0:
        return (
            f"{name} is in MIG mode but has no slice, so nothing can use it:"
            " create one (sudo nvidia-smi mig -cgi … -C) or switch MIG off (sudo nvidia-smi -mig 0)."
        )
    return (
        f"{name} is divided into slices (MIG): a CUDA engine uses one of them, the first unless"
        " CUDA_VISIBLE_DEVICES names another (nvidia-smi -L lists their names)."
    )


def _hidden(visible: str | None) -> tuple[str, ...]:
    if visible is None:
        return ()
    if visible.strip() in {"", "-1"}:
        return ("CUDA_VISIBLE_DEVICES hides every NVIDIA GPU from CUDA engines: unset it to use them.",)
    seen = one_line(visible)
    return (f"CUDA_VISIBLE_DEVICES={seen}: CUDA engines see only those GPUs; unset it to use all.",)


def _broken_driver(nvml: ModuleType, error: Exception) -> tuple[str, ...]:
    """A note for every failure but the plain one that no driver is installed."""
    code = getattr(error, "value", None)
    if code == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return ()
    if code == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
        todo = "load it (sudo modprobe nvidia), reinstall it, or start the container with its GPUs (--gpus all)"
    elif code == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        todo = "the driver was updated while in use; restart the machine"
    else:
        todo = "run nvidia-smi for details, and reinstall the driver or restart the machine"
    return (f"The NVIDIA driver does not answer ({error}), so its GPUs can't be used: {todo}.",)
