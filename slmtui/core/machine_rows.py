"""Everything known about the machine as labels and values that a person reads."""

from __future__ import annotations

from slmtui.core.gpu_advice import gpu_advice
from slmtui.core.machine import Cpu, EngineState, Gpu, GpuUser, Machine, Memory
from slmtui.core.text import NOT_MEASURED, counted
from slmtui.core.text import memory as memory_words


def describe(machine: Machine, users: tuple[GpuUser, ...] = ()) -> list[tuple[str, str]]:
    """Label and value of everything known, `gpu_advice` included; what the system does not say is "—".

    `users` are the processes that have memory on the GPUs.
    """
    cpu, rows = machine.cpu, list[tuple[str, str]]()
    if machine.product:
        rows.append(("Machine", machine.product))
    rows += [
        ("Processor", _or_dash(", ".join(part for part in (cpu.name, cpu.architecture) if part))),
        ("Cores", _or_dash(_core_row(cpu))),
        ("Instruction sets", _or_dash(", ".join(cpu.instruction_sets))),
        ("Memory", _memory_row(machine.memory)),
        *_gpu_rows(machine, users),
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


def _core_row(cpu: Cpu) -> str:
    counts = (
        (cpu.physical_cores, "physical"),
        (cpu.logical_cores, "logical"),
        (cpu.performance_cores, "fast"),
    )
    words = [f"{number} {kind}" for number, kind in counts if number is not None]
    if cpu.usable_cores is not None and cpu.usable_cores != cpu.logical_cores:
        words.append(f"{cpu.usable_cores} usable here")
    return ", ".join([*words, f"{counted(cpu.threads, 'thread')} for decode"]) if words else ""


def _memory_row(memory: Memory) -> str:
    row = f"{memory_words(memory.total_bytes)}, {memory_words(memory.available_bytes)} available"
    return f"{row} (limited by {memory.limited_by})" if memory.limited_by else row


def _gpu_rows(machine: Machine, users: tuple[GpuUser, ...]) -> list[tuple[str, str]]:
    label = "GPU {}" if len(machine.gpus) > 1 else "GPU"
    rows = [] if machine.gpus else [("GPU", "none found")]
    for gpu in machine.gpus:
        rows.append((label.format(gpu.index), _gpu_row(gpu)))
        rows += [(f"{label.format(gpu.index)} used by", _user_row(user)) for user in users if user.gpu == gpu.index]
    if machine.gpu_memory_limit_bytes is not None:
        rows.append(("GPU memory limit", memory_words(machine.gpu_memory_limit_bytes)))
    if machine.cuda_toolkit is not None:
        toolkit = machine.cuda_toolkit
        rows.append(("CUDA toolkit", f"{toolkit.version or NOT_MEASURED} · {toolkit.nvcc}"))
    return rows


def _gpu_row(gpu: Gpu) -> str:
    details = (
        gpu.name,
        _gpu_memory(gpu),
        f"driver {gpu.driver}" if gpu.driver else None,
        f"CUDA {gpu.cuda}" if gpu.cuda else None,
        f"compute capability {gpu.compute_capability}" if gpu.compute_capability else None,
        _power(gpu),
        f"{gpu.temperature_c:.0f} °C" if gpu.temperature_c is not None else None,
        f"by {gpu.source}" if gpu.source else None,
    )
    return " · ".join(part for part in details if part)


def _user_row(user: GpuUser) -> str:
    return " · ".join((user.name or NOT_MEASURED, f"process {user.pid}", memory_words(user.bytes)))


def _gpu_memory(gpu: Gpu) -> str:
    memory = memory_words(gpu.memory_total_bytes)
    if gpu.unified:
        memory = f"{memory if gpu.memory_total_bytes is not None else 'memory'} shared with the CPU"
    return memory if gpu.memory_free_bytes is None else f"{memory}, {memory_words(gpu.memory_free_bytes)} free"


def _power(gpu: Gpu) -> str | None:
    if gpu.power_w is None:
        return None
    limit = "" if gpu.power_limit_w is None else f" of {gpu.power_limit_w:.0f}"
    return f"{gpu.power_w:.0f}{limit} W"


def _engine_rows(engine: EngineState) -> list[tuple[str, str]]:
    devices = ", ".join(engine.devices) or NOT_MEASURED
    words = "not installed" if engine.version is None else f"{engine.version} · {devices} · {engine.trial}"
    rows: list[tuple[str, str]] = [(engine.name, words)]
    return [*rows, ("To do", engine.advice)] if engine.advice else rows


def _or_dash(words: str) -> str:
    return words or NOT_MEASURED
