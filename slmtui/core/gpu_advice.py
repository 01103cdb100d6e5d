"""What to do about a GPU that the driver shows and no installed engine can use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from slmtui.core import llama_builds
from slmtui.core.llama_builds import Target
from slmtui.core.machine import EngineState, Gpu, Machine, imitated
from slmtui.core.text import counted, one_line

_SERVED_BY = {"NVIDIA": ("cuda", "vulkan"), "Apple": ("metal", "mtl"), "AMD": ("rocm", "hip", "vulkan")}
_BUILT_FOR = re.compile(r"\bCUDA : ARCHS = ([\d,]+)")
"""In llama.cpp's line on its build; "900" is compute capability 9.0."""


def gpu_advice(machine: Machine) -> str | None:
    """What to install or change; None when there is nothing to do.

    While `engines` is empty nobody has asked them, so nothing is said.
    """
    if not machine.engines:
        return None
    for gpu in machine.gpus:
        if _has_build(gpu, machine) and not _served(gpu, machine.engines):
            return _idle(gpu, machine)
    return _left_out(machine)


def imitation_note(engines: Iterable[EngineState]) -> str | None:
    """What is to be known of a device of Vulkan that is the processor; None where an engine has a real GPU."""
    engines = tuple(engines)
    found = next((device for engine in engines for device in engine.others if imitated(device)), None)
    if found is None or any(engine.graphics for engine in engines):
        return None
    return (
        f"{found} is the processor in a GPU's place, many times slower than llama.cpp without it: slmtui uses it only"
        " where it is asked for by name."
    )


def _has_build(gpu: Gpu, machine: Machine) -> bool:
    """Whether llama.cpp can be built for this GPU; on a Mac only Metal, and not under Rosetta."""
    if gpu.vendor == "Apple" or (machine.system or "").startswith("macOS"):
        return gpu.vendor == "Apple" and machine.cpu.architecture != "x86_64"
    return gpu.vendor in _SERVED_BY


def _served(gpu: Gpu, engines: tuple[EngineState, ...]) -> bool:
    # An unusable llama.cpp has advice of its own, and the build that is advised here would be another of the same.
    installed = [
        engine
        for engine in engines
        if engine.version is not None and (engine.name == "llama.cpp" or engine.trial != "unusable")
    ]
    if gpu.vendor == "Apple" and any(engine.name == "MLX" for engine in installed):
        return True
    devices = " ".join(device for engine in installed for device in engine.devices if not imitated(device)).lower()
    return any(word in devices for word in _SERVED_BY[gpu.vendor])


def _idle(gpu: Gpu, machine: Machine) -> str | None:
    """Why no engine has this GPU, as far as that can be told, and the command that changes it."""
    target = _target(machine)
    if gpu.vendor == "Apple":
        return (
            f"{gpu.name} is idle: no installed engine can use it. Install the Metal build:"
            f" {llama_builds.build(target, 'GGML_METAL')} (needs Xcode's command line tools),"
            f" or a ready-made wheel: {llama_builds.wheel(target, 'metal')}"
        )
    if gpu.vendor == "AMD" and any(imitated(device) for engine in machine.engines for device in engine.others):
        return f"{gpu.name} is idle: llama.cpp finds no Vulkan driver for it. Install the GPU's Vulkan driver."
    if gpu.vendor == "AMD":
        ready = "hip-radeon" if target.windows else "rocm72"
        return (
            f"{gpu.name} is idle: no installed engine can use it. Install the Vulkan build:"
            f" {llama_builds.build(target, 'GGML_VULKAN')} (needs the Vulkan SDK), or a ready-made wheel:"
            f" {llama_builds.wheel(target, 'vulkan')} (with ROCm installed, {ready} in place of vulkan)"
        )
    if machine.cuda_hidden:
        return None  # a note says so, and no build would help
    todo = llama_builds.cuda_sentence(target)
    if _built_for(machine) is None:
        return f"{gpu.name} is idle: no installed engine can use it. {todo}"
    if not machine.cuda_numbered:
        visible = one_line(machine.cuda_visible_devices or "")
        return (
            f"{gpu.name} is idle: the installed llama.cpp knows CUDA, and CUDA_VISIBLE_DEVICES={visible} shows it no"
            " GPU. Unset it, or name one that `nvidia-smi -L` lists."
        )
    speaks = f"; its driver speaks CUDA {gpu.cuda}" if gpu.cuda else ""
    return f"{gpu.name} is idle: the installed llama.cpp knows CUDA but finds no device{speaks}. {todo}"


def _left_out(machine: Machine) -> str | None:
    """What to do about NVIDIA processors that an engine leaves out while it has others, or has no code for.

    Those that CUDA_VISIBLE_DEVICES hides are meant to be left out; of slices (MIG) CUDA takes one.
    """
    shown = [gpu for gpu in machine.gpus if gpu.vendor == "NVIDIA" and gpu.source == "NVML"]
    devices = [device.lower() for engine in machine.engines for device in engine.devices]
    used = [device for device in devices if device.startswith(("cuda", "vulkan"))]
    if machine.cuda_visible_devices is None and len(shown) > len(used) > 0:
        count = f"{len(used)} of {counted(len(shown), 'NVIDIA GPU')}"
        return f"llama.cpp can use {count}. {llama_builds.cuda_sentence(_target(machine))}"
    oldest = _built_for(machine)
    for gpu in shown:
        if oldest is not None and gpu.compute_capability and _code(gpu.compute_capability) < oldest:
            return (
                f"The installed llama.cpp has CUDA code for compute capability {oldest / 100:.1f} and newer, and"
                f" {gpu.name} has {gpu.compute_capability}. {llama_builds.cuda_sentence(_target(machine))}"
            )
    return None


def _target(machine: Machine) -> Target:
    gpus = [gpu for gpu in machine.gpus if gpu.vendor == "NVIDIA"]
    toolkit = machine.cuda_toolkit
    return Target(
        windows=(machine.system or "").startswith("Windows"),
        architecture=machine.cpu.architecture,
        cuda=next((gpu.cuda for gpu in gpus if gpu.cuda), None),
        capabilities=tuple(gpu.compute_capability for gpu in gpus if gpu.compute_capability),
        nvcc=toolkit.nvcc if toolkit else None,
        toolkit=toolkit.version if toolkit else None,
        installer=machine.installer,
        keeps_stores="Linux" in (machine.system or "") and "AMX" in machine.cpu.instruction_sets,
    )


def _built_for(machine: Machine) -> int | None:
    """The oldest compute capability that the installed llama.cpp has code for, times 100; None without CUDA."""
    found = [_BUILT_FOR.search(engine.build or "") for engine in machine.engines if engine.name == "llama.cpp"]
    return min((int(code) for match in found if match for code in match[1].split(",") if code), default=None)


def _code(capability: str) -> int:
    """A compute capability as llama.cpp writes it: 890 for 8.9."""
    major, _, minor = capability.partition(".")
    return int(major) * 100 + int(minor or 0) * 10
