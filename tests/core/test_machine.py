"""What a machine is called on the strip and the hardware card, and what is advised about its GPU."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from slmtui.core.gpu_advice import gpu_advice
from slmtui.core.machine import (
    Cpu,
    CudaToolkit,
    EngineState,
    Gpu,
    GpuUser,
    Machine,
    Memory,
    short_name,
    strip_words,
)
from slmtui.core.machine_rows import describe

GIB = 1024**3
LLAMA = EngineState(name="llama.cpp", version="0.3.36", devices=("CPU",), trial="sound")
EPYC = Machine(
    cpu=Cpu(
        name="AMD EPYC 9354 32-Core Processor",
        architecture="x86_64",
        physical_cores=2,
        logical_cores=2,
        usable_cores=2,
        instruction_sets=("AVX-512", "AVX2"),
    ),
    memory=Memory(total_bytes=25276502016, available_bytes=int(20.9 * GIB)),
    engines=(LLAMA,),
    system="Debian GNU/Linux 12 (bookworm), Linux 6.1",
)
AIR = Machine(
    cpu=Cpu(name="Apple M3", architecture="arm64", physical_cores=8, logical_cores=8, performance_cores=4),
    memory=Memory(total_bytes=16 * GIB, available_bytes=int(9.1 * GIB)),
    gpus=(Gpu(index=0, name="Apple M3 GPU", vendor="Apple", unified=True, source="system_profiler"),),
    engines=(replace(LLAMA, devices=("Metal", "BLAS", "CPU")),),
    apple_chip="Apple M3",
    product="MacBook Air",
    system="macOS 15.2",
)
RTX = Gpu(
    index=0,
    name="NVIDIA RTX 4070",
    vendor="NVIDIA",
    memory_total_bytes=12 * GIB,
    memory_free_bytes=11 * GIB,
    driver="580.95",
    compute_capability="8.9",
    source="NVML",
)
RADEON = Gpu(index=1, name="AMD Radeon RX 7900", vendor="AMD")


def test_strip_of_a_server_and_of_a_mac() -> None:
    assert strip_words(EPYC) == "AMD EPYC 9354 · 2 cores · 23.5 GiB · 20.9 free · CPU"
    assert strip_words(AIR) == "MacBook Air M3 · 16 GiB · 9.1 free · Metal"


def test_strip_leaves_out_what_is_unknown() -> None:
    assert strip_words(Machine()) == ""
    assert strip_words(replace(EPYC, engines=())) == "AMD EPYC 9354 · 2 cores · 23.5 GiB · 20.9 free"
    assert strip_words(replace(EPYC, memory=Memory(), cpu=Cpu(physical_cores=1))) == "1 core · CPU"
    assert strip_words(replace(AIR, product=None, engines=(), memory=Memory())) == "Apple M3"


def test_strip_names_little_memory_with_its_own_unit() -> None:
    machine = Machine(memory=Memory(total_bytes=4 * GIB, available_bytes=GIB // 2))
    assert strip_words(machine) == "4 GiB · 512 MiB free"


def test_strip_says_when_only_some_of_the_cores_may_be_used() -> None:
    machine = Machine(cpu=Cpu(physical_cores=64, logical_cores=128, usable_cores=8))
    assert strip_words(machine) == "8 of 128 CPUs"


@pytest.mark.parametrize(
    ("engines", "device"),
    [
        ((replace(LLAMA, devices=("CUDA0 NVIDIA RTX 4070", "CPU")),), "CUDA0 NVIDIA RTX 4070"),
        ((replace(LLAMA, devices=("CUDA0", "CUDA1", "CPU")),), "CUDA0 +1"),
        ((replace(LLAMA, version=None, devices=()), EngineState(name="MLX")), "no engine"),
        ((replace(LLAMA, trial="unusable"),), "no engine"),
        ((LLAMA, EngineState(name="MLX", version="0.32.4", devices=("cpu",))), "CPU"),
    ],
)
def test_strip_names_the_device(engines: tuple[EngineState, ...], device: str) -> None:
    assert strip_words(Machine(engines=engines)) == device


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("12th Gen Intel(R) Core(TM) i7-12700H", "Intel Core i7-12700H"),
        ("Intel(R) Xeon(R) Processor @ 2.70GHz", "Intel Xeon"),
        ("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "Intel Core i7-9750H"),
        ("AMD Ryzen 7 7840U w/ Radeon 780M Graphics", "AMD Ryzen 7 7840U"),
        ("AMD Ryzen 9 7950X 16-Core Processor", "AMD Ryzen 9 7950X"),
        ("Neoverse-N1", "Neoverse-N1"),
        ("CPU", "CPU"),
    ],
)
def test_short_name(name: str, short: str) -> None:
    assert short_name(name) == short


def test_description_shows_everything_known() -> None:
    limited = Memory(total_bytes=4 * GIB, available_bytes=GIB, limited_by="cgroup v2 memory.max")
    machine = replace(EPYC, gpus=(RTX, RADEON), memory=limited, power="mains", governor="performance", notes=("Odd.",))
    rows = describe(machine)
    assert rows[:5] == [
        ("Processor", "AMD EPYC 9354 32-Core Processor, x86_64"),
        ("Cores", "2 physical, 2 logical, 2 threads for decode"),
        ("Instruction sets", "AVX-512, AVX2"),
        ("Memory", "4 GiB, 1 GiB available (limited by cgroup v2 memory.max)"),
        ("GPU 0", "NVIDIA RTX 4070 · 12 GiB, 11 GiB free · driver 580.95 · compute capability 8.9 · by NVML"),
    ]
    labels = dict(rows)
    assert labels["GPU 1"] == "AMD Radeon RX 7900 · —"
    assert (labels["Power"], labels["CPU governor"], labels["Note"]) == ("mains", "performance", "Odd.")
    assert labels["llama.cpp"] == "0.3.36 · CPU · sound"
    assert labels["To do"] == gpu_advice(machine)


def test_description_of_a_gpu_at_work() -> None:
    busy = replace(RTX, cuda="13.0", power_w=71.4, power_limit_w=200.0, temperature_c=54.0)
    toolkit = CudaToolkit(nvcc="/usr/local/cuda/bin/nvcc", version="13.0")
    users = (GpuUser(gpu=0, pid=71, name="python", bytes=3 * GIB), GpuUser(gpu=0, pid=72))
    rows = describe(replace(EPYC, gpus=(busy,), cuda_toolkit=toolkit), users)
    assert [row for row in rows if row[0].startswith(("GPU", "CUDA"))] == [
        (
            "GPU",
            "NVIDIA RTX 4070 · 12 GiB, 11 GiB free · driver 580.95 · CUDA 13.0 · compute capability 8.9"
            " · 71 of 200 W · 54 °C · by NVML",
        ),
        ("GPU used by", "python · process 71 · 3 GiB"),
        ("GPU used by", "— · process 72 · —"),
        ("CUDA toolkit", "13.0 · /usr/local/cuda/bin/nvcc"),
    ]


def test_description_of_an_unknown_machine_is_dashes() -> None:
    assert describe(Machine()) == [
        ("Processor", "—"),
        ("Cores", "—"),
        ("Instruction sets", "—"),
        ("Memory", "—, — available"),
        ("GPU", "none found"),
        ("System", "—"),
        ("Power", "—"),
    ]


def test_description_of_a_mac_and_of_engines() -> None:
    missing = EngineState(name="MLX", advice="Install it: pip install mlx-lm.")
    labels = dict(describe(replace(AIR, engines=(missing,), gpu_memory_limit_bytes=12 * GIB, gpus=())))
    assert labels["Machine"] == "MacBook Air"
    assert labels["Cores"] == "8 physical, 8 logical, 4 fast, 4 threads for decode"
    assert labels["GPU memory limit"] == "12 GiB"
    assert labels["MLX"] == "not installed"
    assert labels["To do"] == "Install it: pip install mlx-lm."
    assert dict(describe(AIR))["GPU"] == "Apple M3 GPU · memory shared with the CPU · by system_profiler"
