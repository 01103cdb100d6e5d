"""The machine as values: what it is, what is free, and what an engine can use here."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from slmtui.core.text import NOT_MEASURED
from slmtui.core.text import memory as memory_words

EngineTrial = Literal["sound", "plain buffers only", "unusable", "untried"]


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """The processor as this process may use it; None where the system does not say."""

    name: str | None = None
    architecture: str | None = None
    physical_cores: int | None = None
    logical_cores: int | None = None
    performance_cores: int | None = None
    """Cores of the fast kind on hybrid processors; None where all are alike or the system does not say."""
    usable_cores: int | None = None
    """Logical cores that affinity and container quota leave to this process."""
    instruction_sets: tuple[str, ...] = ()
    """Those that matter to an engine, best first (AMX, AVX-512, AVX2, SVE, NEON, …)."""

    @property
    def threads(self) -> int:
        """Threads for decode: performance or physical cores, within what this process may use; at least 1."""
        cores = self.performance_cores or self.physical_cores or self.logical_cores or 1
        return max(1, min(cores, self.usable_cores or cores))


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Main memory in bytes, container limits included."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    limited_by: str | None = None
    """What lowers the total below the machine's own ("cgroup v2 memory.max"); None when nothing does."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One graphics processor; None where the driver does not say."""

    index: int
    name: str
    vendor: Literal["NVIDIA", "Apple", "AMD", "Intel", "unknown"]
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    driver: str | None = None
    compute_capability: str | None = None
    unified: bool = False
    """Whether it shares main memory with the CPU."""
    source: str = ""
    """Who says so ("NVML", "system_profiler", "sysfs")."""


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """One engine as installed here."""

    name: Literal["llama.cpp", "MLX"]
    version: str | None = None
    """Version of the installed binding; None when it is not installed."""
    devices: tuple[str, ...] = ()
    """Devices that this build can use here, in words ("CPU", "CUDA0 NVIDIA RTX 4070", "Metal")."""
    build: str | None = None
    """The engine's own line on what it was built with."""
    trial: EngineTrial = "untried"
    """Whether a child process could decode one and eight tokens of a quantized model with this build."""
    advice: str | None = None
    """What to do about a problem, in a sentence; None when there is none."""

    @property
    def offloads(self) -> bool:
        """Whether this build can use another device than the processor here."""
        return any(not device.lower().startswith(_ON_THE_CPU) for device in self.devices)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Everything detected about this machine."""

    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    gpus: tuple[Gpu, ...] = ()
    engines: tuple[EngineState, ...] = ()
    system: str | None = None
    """Operating system and version in words."""
    product: str | None = None
    """The maker's name of the whole machine ("MacBook Air", "Raspberry Pi 5 Model B")."""
    power: str | None = None
    """"mains", "battery 83 %"; None where the machine has no battery or does not say."""
    governor: str | None = None
    """CPU frequency governor, Linux only."""
    apple_chip: str | None = None
    gpu_memory_limit_bytes: int | None = None
    """Apple's recommended working set for the GPU; None elsewhere."""
    notes: tuple[str, ...] = ()
    """Sentences about what is odd here and what to do (Rosetta Python, a GPU that no engine can use, …)."""


LLAMA_PACKAGE = "llama-cpp-python>=0.3.36,<0.3.37"
"""What to install; the same bounds stand in pyproject.toml."""
_WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"
_NOISE = re.compile(
    r"\((?:R|TM|C)\)|[®™]|^\d+th Gen |\s+@.*|\s+w/ .*|\s+with Radeon.*|\s+(?:\w+-Core )?Processor\b|\s+CPU\b",
    re.IGNORECASE,
)
_SERVED_BY = {"NVIDIA": ("cuda", "vulkan"), "Apple": ("metal", "mtl"), "AMD": ("rocm", "hip", "vulkan")}
_ON_THE_CPU = ("cpu", "blas", "accelerate")


def short_name(cpu_name: str) -> str:
    """A processor's name without trade marks, clock and core count: "Intel Core i7-12700H"."""
    short = " ".join(_NOISE.sub("", cpu_name).split())
    return short or cpu_name


def strip_words(machine: Machine) -> str:
    """The machine in one line: "AMD EPYC · 2 cores · 23.5 GiB · 20.9 free · CPU"; the unknown is left out."""
    parts = (
        _name_words(machine),
        _core_words(machine),
        *_memory_parts(machine.memory),
        _device_words(machine),
    )
    return " · ".join(part for part in parts if part)


def describe(machine: Machine) -> list[tuple[str, str]]:
    """Label and value of everything known, `gpu_advice` included; what the system does not say is "—"."""
    cpu, rows = machine.cpu, list[tuple[str, str]]()
    if machine.product:
        rows.append(("Machine", machine.product))
    rows += [
        ("Processor", _or_dash(", ".join(part for part in (cpu.name, cpu.architecture) if part))),
        ("Cores", _or_dash(_core_row(cpu))),
        ("Instruction sets", _or_dash(", ".join(cpu.instruction_sets))),
        ("Memory", _memory_row(machine.memory)),
        *_gpu_rows(machine),
        ("System", machine.system or NOT_MEASURED),
        ("Power", machine.power or NOT_MEASURED),
    ]
    if machine.governor:
        rows.append(("CPU governor", machine.governor))
    for engine in machine.engines:
        rows += _engine_rows(engine)
    rows += [("Note", note) for note in machine.notes]
    advice = gpu_advice(machine)
    return [*rows, ("To do", advice)] if advice else rows


def gpu_advice(machine: Machine) -> str | None:
    """What to install for a GPU that no installed engine can use; None when there is nothing to do.

    While `engines` is empty nobody has asked them, so nothing is said. The commands are those of
    llama-cpp-python's README for 0.3.36.
    """
    if not machine.engines:
        return None
    for gpu in machine.gpus:
        if _has_build(gpu, machine) and not _served(gpu, machine.engines):
            return f"{gpu.name} is idle: no installed engine can use it. {_build_sentence(gpu, machine)}"
    return None


def _has_build(gpu: Gpu, machine: Machine) -> bool:
    """Whether llama.cpp can be built for this GPU; on a Mac only Metal, and not under Rosetta."""
    if gpu.vendor == "Apple" or (machine.system or "").startswith("macOS"):
        return gpu.vendor == "Apple" and machine.cpu.architecture != "x86_64"
    return gpu.vendor in _SERVED_BY


def _served(gpu: Gpu, engines: tuple[EngineState, ...]) -> bool:
    installed = [engine for engine in engines if engine.version is not None]
    if gpu.vendor == "Apple" and any(engine.name == "MLX" for engine in installed):
        return True
    devices = " ".join(device for engine in installed for device in engine.devices).lower()
    return any(word in devices for word in _SERVED_BY[gpu.vendor])


def _build_sentence(gpu: Gpu, machine: Machine) -> str:
    if gpu.vendor == "Apple":
        return (
            f"Install the Metal build: {_install('GGML_METAL', machine)} (needs Xcode's command line tools),"
            f" or a ready-made wheel: {_wheel('metal')}"
        )
    if gpu.vendor == "AMD":
        ready = "hip-radeon" if _is_windows(machine) else "rocm72"
        return (
            f"Install the Vulkan build: {_install('GGML_VULKAN', machine)} (needs the Vulkan SDK),"
            f" or a ready-made wheel: {_wheel('vulkan')} (with ROCm installed, {ready} in place of vulkan)"
        )
    return (
        f"Install the CUDA build: {_install('GGML_CUDA', machine)} (needs the CUDA toolkit), or a ready-made"
        f" wheel: {_wheel('cu124')} (cu124 stands for CUDA 12.4; there are cu118, cu121 to cu125,"
        " cu130 and cu132: take the one of your CUDA runtime)"
    )


def _install(option: str, machine: Machine) -> str:
    pip = f'pip install --force-reinstall --no-cache-dir --no-binary llama-cpp-python "{LLAMA_PACKAGE}"'
    if _is_windows(machine):
        return f'$env:CMAKE_ARGS="-D{option}=on"; {pip}'
    return f'CMAKE_ARGS="-D{option}=on" {pip}'


def _wheel(kind: str) -> str:
    return (
        "pip install --force-reinstall --no-cache-dir --only-binary llama-cpp-python"
        f' "{LLAMA_PACKAGE}" --extra-index-url {_WHEELS}/{kind}'
    )


def _is_windows(machine: Machine) -> bool:
    return (machine.system or "").startswith("Windows")


def _name_words(machine: Machine) -> str | None:
    if machine.apple_chip:
        chip = machine.apple_chip
        return f"{machine.product} {chip.removeprefix('Apple ')}" if machine.product else chip
    return short_name(machine.cpu.name) if machine.cpu.name else machine.product


def _core_words(machine: Machine) -> str | None:
    cpu = machine.cpu
    if machine.apple_chip:
        return None
    if cpu.usable_cores and cpu.logical_cores and cpu.usable_cores < cpu.logical_cores:
        return f"{cpu.usable_cores} of {cpu.logical_cores} CPUs"
    return _counted(cpu.physical_cores or cpu.logical_cores, "core")


def _memory_parts(memory: Memory) -> tuple[str | None, str | None]:
    total = memory_words(memory.total_bytes) if memory.total_bytes is not None else None
    if memory.available_bytes is None:
        return total, None
    free, unit = memory_words(memory.available_bytes).split(" ")
    same_unit = total is not None and total.split(" ")[1] == unit
    return total, f"{free} free" if same_unit else f"{free} {unit} free"


def _device_words(machine: Machine) -> str | None:
    if not machine.engines:
        return None
    usable = [engine for engine in machine.engines if engine.version is not None and engine.trial != "unusable"]
    devices = [device for engine in usable for device in engine.devices]
    if not usable:
        return "no engine"
    graphics = list(dict.fromkeys(device for device in devices if not device.lower().startswith(_ON_THE_CPU)))
    words = graphics[0] if graphics else "CPU"
    if len(graphics) > 1:
        words += f" +{len(graphics) - 1}"
    return f"{words}, plain buffers" if any(one.trial == "plain buffers only" for one in usable) else words


def _core_row(cpu: Cpu) -> str:
    counts = (
        (cpu.physical_cores, "physical"),
        (cpu.logical_cores, "logical"),
        (cpu.performance_cores, "fast"),
    )
    words = [f"{number} {kind}" for number, kind in counts if number is not None]
    if cpu.usable_cores is not None and cpu.usable_cores != cpu.logical_cores:
        words.append(f"{cpu.usable_cores} usable here")
    return ", ".join([*words, f"{_counted(cpu.threads, 'thread')} for decode"]) if words else ""


def _memory_row(memory: Memory) -> str:
    row = f"{memory_words(memory.total_bytes)}, {memory_words(memory.available_bytes)} available"
    return f"{row} (limited by {memory.limited_by})" if memory.limited_by else row


def _gpu_rows(machine: Machine) -> list[tuple[str, str]]:
    label = "GPU {}" if len(machine.gpus) > 1 else "GPU"
    rows = [(label.format(gpu.index), _gpu_row(gpu)) for gpu in machine.gpus] or [("GPU", "none found")]
    if machine.gpu_memory_limit_bytes is not None:
        rows.append(("GPU memory limit", memory_words(machine.gpu_memory_limit_bytes)))
    return rows


def _gpu_row(gpu: Gpu) -> str:
    memory = memory_words(gpu.memory_total_bytes)
    if gpu.unified:
        memory = f"{memory if gpu.memory_total_bytes is not None else 'memory'} shared with the CPU"
    if gpu.memory_free_bytes is not None:
        memory += f", {memory_words(gpu.memory_free_bytes)} free"
    details = (
        gpu.name,
        memory,
        f"driver {gpu.driver}" if gpu.driver else None,
        f"compute capability {gpu.compute_capability}" if gpu.compute_capability else None,
        f"by {gpu.source}" if gpu.source else None,
    )
    return " · ".join(part for part in details if part)


def _engine_rows(engine: EngineState) -> list[tuple[str, str]]:
    devices = ", ".join(engine.devices) or NOT_MEASURED
    words = "not installed" if engine.version is None else f"{engine.version} · {devices} · {engine.trial}"
    rows: list[tuple[str, str]] = [(engine.name, words)]
    return [*rows, ("To do", engine.advice)] if engine.advice else rows


def _counted(number: int | None, noun: str) -> str | None:
    return None if number is None else f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _or_dash(words: str) -> str:
    return words or NOT_MEASURED
