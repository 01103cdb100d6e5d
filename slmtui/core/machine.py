"""The machine as values: what it is, what is free, and what an engine can use here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from slmtui.core.catalog import Format
from slmtui.core.text import counted
from slmtui.core.text import memory as memory_words

EngineName: TypeAlias = Literal["llama.cpp", "MLX"]
ENGINES: Mapping[Format, EngineName] = {"GGUF": "llama.cpp", "MLX": "MLX"}
"""The engine that opens a format."""
EngineTrial = Literal["sound", "plain buffers only", "processor only", "unusable", "untried"]


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
    cuda: str | None = None
    """The newest CUDA that the driver speaks ("13.0")."""
    compute_capability: str | None = None
    unified: bool = False
    """Whether it shares main memory with the CPU."""
    power_w: float | None = None
    """Watts that it draws now."""
    power_limit_w: float | None = None
    temperature_c: float | None = None
    source: str = ""
    """Who says so ("NVML", "system_profiler", "sysfs")."""


class GpuUser(msgspec.Struct, frozen=True, kw_only=True):
    """One process that has memory on a graphics processor."""

    gpu: int
    """`Gpu.index`."""
    pid: int
    name: str | None = None
    bytes: int | None = None
    """None where the driver does not say, as on Windows."""


class CudaToolkit(msgspec.Struct, frozen=True, kw_only=True):
    """NVIDIA's compiler as installed here; llama.cpp is built with it but runs without it."""

    nvcc: str
    """Path."""
    version: str | None = None
    """"13.0"."""


class Installer(msgspec.Struct, frozen=True, kw_only=True):
    """What installs packages into the Python that runs slmtui."""

    python: str
    """Path of that Python."""
    by: Literal["pip", "uv", "ensurepip"]
    """Its own pip, uv from outside, or the pip that ensurepip puts there."""


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """One engine as installed here."""

    name: EngineName
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
        """Whether this build can use another device than the processor here, and did in its trial."""
        return bool(self.graphics)

    @property
    def others(self) -> tuple[str, ...]:
        """Devices that are not called the processor, those that it imitates among them."""
        return tuple(device for device in self.devices if not device.lower().startswith(_ON_THE_CPU))

    @property
    def graphics(self) -> tuple[str, ...]:
        """Devices beside the processor, those that it imitates left out; none where the trial failed on them."""
        return () if self.trial == "processor only" else tuple(each for each in self.others if not imitated(each))


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
    cuda_visible_devices: str | None = None
    """The environment's CUDA_VISIBLE_DEVICES; None where it is not set."""
    cuda_toolkit: CudaToolkit | None = None
    installer: Installer | None = None
    notes: tuple[str, ...] = ()
    """Sentences about what is odd here and what to do (Rosetta Python, a GPU that no engine can use, …)."""

    def engine_for(self, form: Format) -> EngineState | None:
        """What is known of the engine that opens a format."""
        return next((engine for engine in self.engines if engine.name == ENGINES[form]), None)

    @property
    def cuda_hidden(self) -> bool:
        """Whether CUDA_VISIBLE_DEVICES hides every GPU from CUDA engines."""
        return self.cuda_visible_devices is not None and self.cuda_visible_devices.strip() in {"", "-1"}

    @property
    def cuda_numbered(self) -> bool:
        """Whether CUDA_VISIBLE_DEVICES is not set, or begins with the number of a GPU that is here.

        CUDA leaves out all from the first on that it does not know; which UUIDs it knows, nobody says here.
        """
        if self.cuda_visible_devices is None:
            return True
        first = self.cuda_visible_devices.partition(",")[0].strip()
        return first.isdecimal() and int(first) < sum(gpu.vendor == "NVIDIA" for gpu in self.gpus)


_NOISE = re.compile(
    r"\((?:R|TM|C)\)|[®™]|^\d+th Gen |\s+@.*|\s+w/ .*|\s+with Radeon.*|\s+(?:\w+-Core )?Processor\b|\s+CPU\b",
    re.IGNORECASE,
)
_ON_THE_CPU = ("cpu", "blas", "accelerate")
_RENDERERS = ("llvmpipe", "lavapipe", "softpipe", "swiftshader", "basic render driver")


def imitated(device: str) -> bool:
    """Whether a device of Vulkan is the processor in a GPU's place, by the names of such renderers."""
    return any(name in device.lower() for name in _RENDERERS)


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
    cores = cpu.physical_cores or cpu.logical_cores
    return None if cores is None else counted(cores, "core")


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
    if not usable:
        return "no engine"
    graphics = list(dict.fromkeys(device for engine in usable for device in engine.graphics))
    words = graphics[0] if graphics else "CPU"
    if len(graphics) > 1:
        words += f" +{len(graphics) - 1}"
    return f"{words}, plain buffers" if any(one.trial == "plain buffers only" for one in usable) else words
