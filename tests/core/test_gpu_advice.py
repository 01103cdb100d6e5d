"""What is advised about a GPU: the one command that fits the machine, or nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace

from slmtui.core.apple import MLX_ON_LINUX, MLX_PACKAGE
from slmtui.core.gpu_advice import gpu_advice, imitation_note
from slmtui.core.machine import CudaToolkit, EngineState, Gpu, Installer, Machine
from tests.core.test_machine import AIR, EPYC, LLAMA, RADEON, RTX

KNOWS_CUDA = "CUDA : ARCHS = 800,900 | USE_GRAPHS = 1 | CPU : AVX2 = 1 |"
WHEELS = "--extra-index-url https://abetlen.github.io/llama-cpp-python/whl/"
SPARK = replace(RTX, name="NVIDIA GB10", compute_capability="12.1", cuda="13.0", unified=True)

WINDOWS = "Windows 11 (build 26100)"


def advice(*gpus: Gpu, machine: Machine = EPYC, **changes: object) -> str:
    """What is said of these GPUs in a machine."""
    said = gpu_advice(replace(machine, gpus=gpus, **changes))
    assert said is not None
    return said


def test_no_advice_without_a_gpu_or_before_engines_were_asked() -> None:
    assert gpu_advice(EPYC) is None
    assert gpu_advice(Machine(gpus=(RTX,))) is None


@pytest.mark.parametrize("device", ["CUDA0 NVIDIA RTX 4070", "Vulkan0 NVIDIA RTX 4070"])
def test_no_advice_where_an_engine_has_the_device(device: str) -> None:
    engine = replace(LLAMA, devices=(device, "CPU"))
    assert gpu_advice(replace(EPYC, gpus=(RTX,), engines=(engine,))) is None


def test_a_renderer_on_the_processor_is_left_alone() -> None:
    engine = replace(LLAMA, devices=("Vulkan0 llvmpipe (LLVM 15.0.6, 256 bits)", "CPU"))
    assert (engine.offloads, engine.graphics) == (False, ())
    said = imitation_note((engine,)) or ""
    assert said.startswith("Vulkan0 llvmpipe (LLVM 15.0.6, 256 bits) is the processor in a GPU's place")
    assert gpu_advice(replace(EPYC, engines=(engine,))) is None, "there is nothing to do"
    assert advice(RADEON, engines=(engine,)).endswith("Install the GPU's Vulkan driver.")
    assert "CUDA" in advice(RTX, engines=(engine,))
    both = replace(engine, devices=(*engine.devices, "Vulkan1 AMD Radeon"))
    assert both.graphics == ("Vulkan1 AMD Radeon",)
    assert imitation_note((both,)) is None
    assert gpu_advice(replace(EPYC, gpus=(RADEON,), engines=(both,))) is None


def test_an_engine_that_is_not_installed_serves_no_gpu() -> None:
    assert gpu_advice(replace(EPYC, gpus=(RTX,), engines=(EngineState(name="llama.cpp", devices=("CUDA0",)),)))


def test_advice_for_apple() -> None:
    assert gpu_advice(AIR) is None
    cpu_only = replace(AIR, engines=(LLAMA,))
    assert "-DGGML_METAL=on" in (gpu_advice(cpu_only) or "")
    mlx = EngineState(name="MLX", version="0.32.2", devices=("Metal",))
    assert gpu_advice(replace(cpu_only, engines=(LLAMA, mlx))) is None
    broken = replace(mlx, trial="unusable")
    assert "-DGGML_METAL=on" in (gpu_advice(replace(cpu_only, engines=(LLAMA, broken))) or "")
    rosetta = replace(cpu_only, cpu=replace(AIR.cpu, architecture="x86_64"))
    assert gpu_advice(rosetta) is None, "a Metal build would not help Rosetta's Python; the note says what does"


def test_advice_for_amd_is_another_build_and_none_on_an_intel_mac() -> None:
    machine = replace(EPYC, gpus=(RADEON,))
    assert "-DGGML_VULKAN=on" in (gpu_advice(machine) or "")
    assert "rocm72" in (gpu_advice(machine) or "")
    assert gpu_advice(replace(machine, system="macOS 13.6")) is None
    assert gpu_advice(replace(machine, engines=(replace(LLAMA, devices=("ROCm0",)),))) is None


def test_the_advised_versions_are_those_this_project_needs() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (needed,) = [each for each in project["dependencies"] if each.startswith("llama-cpp-python")]
    assert f'"{needed}"' in (gpu_advice(replace(EPYC, gpus=(RTX,))) or "")
    (mlx,) = [each for each in project["dependencies"] if each.startswith("mlx-lm")]
    assert f'"{mlx.partition(";")[0]}"' == MLX_PACKAGE
    assert f'"{project["optional-dependencies"]["mlx"][0].partition(";")[0]}"' == MLX_ON_LINUX


@pytest.mark.parametrize(
    ("cuda", "capability", "wheel"),
    [
        ("13.3", "9.0", "cu132"),
        ("13.0", "12.0", "cu130"),
        ("13.1", "6.1", "cu125"),
        ("12.9", "8.9", "cu125"),
        ("12.2", "8.9", "cu122"),
        ("12.0", "8.6", "cu118"),
        ("11.8", "8.9", "cu118"),
        (None, "8.9", "cu124"),
    ],
)
def test_the_wheel_is_the_newest_that_driver_and_gpu_can_use(cuda: str | None, capability: str, wheel: str) -> None:
    said = advice(replace(RTX, cuda=cuda, compute_capability=capability))
    assert said.startswith("NVIDIA RTX 4070 is idle: no installed engine can use it. Install the wheel for CUDA ")
    assert '--only-binary llama-cpp-python "llama-cpp-python>=0.3.36,<0.3.37"' in said
    assert said.endswith(WHEELS + wheel)


def test_a_wheel_comes_with_the_libraries_that_a_toolkit_would_have() -> None:
    assert '"nvidia-cuda-runtime>=13,<14" "nvidia-cublas>=13,<14"' in advice(replace(RTX, cuda="13.0"))
    assert '"nvidia-cuda-runtime-cu12" "nvidia-cublas-cu12"' in advice(replace(RTX, cuda="12.4"))


def test_on_windows_the_libraries_come_with_a_toolkit() -> None:
    said = advice(replace(RTX, cuda="12.4"), system=WINDOWS)
    assert "Install NVIDIA's CUDA toolkit 12.4, whose libraries the engine takes, and the wheel for it: pip" in said
    assert said.endswith('"llama-cpp-python>=0.3.36,<0.3.37" ' + WHEELS + "cu124")


def test_the_command_is_for_the_python_that_runs_slmtui() -> None:
    ours = Installer(python="/opt/tools/slmtui/bin/python", by="uv")
    for said in (
        advice(replace(RTX, cuda="12.4"), installer=ours),
        advice(SPARK, machine=replace(EPYC, cpu=replace(EPYC.cpu, architecture="aarch64")), installer=ours),
        advice(RADEON, installer=ours),
        advice(*AIR.gpus, machine=replace(AIR, engines=(LLAMA,)), installer=ours),
    ):
        assert said.count("pip install") == said.count("uv pip install --python /opt/tools/slmtui/bin/python --") > 0


def test_a_build_for_amx_keeps_the_stores_that_gcc_12_drops() -> None:
    amx = replace(EPYC, cpu=replace(EPYC.cpu, instruction_sets=("AMX", "AVX2")))
    assert '"-fno-dse" CXXFLAGS="-fno-dse" CMAKE_ARGS="-DGGML_VULKAN=on" pip install' in advice(RADEON, machine=amx)
    assert "-fno-dse" not in advice(RADEON)
    assert "-fno-dse" not in advice(RADEON, machine=amx, system=WINDOWS)


@pytest.mark.skipif(os.name == "nt", reason="a line for sh")
def test_a_compiler_in_a_folder_with_a_blank(tmp_path: Path) -> None:
    """The line goes through a shell, and what it sets through the split of scikit-build-core."""
    toolkit = CudaToolkit(nvcc="/opt/my cuda/bin/nvcc", version="12.6")
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nprintf %s "$CMAKE_ARGS"\n')
    pip.chmod(0o755)
    command = advice(replace(RTX, cuda="12.8"), cuda_toolkit=toolkit).partition("installed here: ")[2]
    ran = subprocess.run(command, shell=True, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert shlex.split(ran.stdout)[-1] == "-DCMAKE_CUDA_COMPILER=/opt/my cuda/bin/nvcc"


def test_the_readme_names_the_same_wheel() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    command = advice(replace(RTX, cuda="12.4")).partition("CUDA 12.4: ")[2]
    assert f"`{command}`" in readme
    later = advice(replace(RTX, cuda="13.2")).partition('"llama-cpp-python>=0.3.36,<0.3.37" ')[2].partition(" --")[0]
    assert f"`{later}`" in readme


def test_one_old_gpu_among_new_ones_decides() -> None:
    old = replace(RTX, index=1, name="NVIDIA GTX 1080", compute_capability="6.1")
    assert advice(replace(RTX, cuda="13.2"), old).endswith("cu125")


def test_a_driver_that_is_too_old_for_every_build() -> None:
    assert "Update the NVIDIA driver: it speaks CUDA 11.4" in advice(replace(RTX, cuda="11.4"))


def test_a_toolkit_that_is_here_builds_for_this_gpu_alone() -> None:
    toolkit = CudaToolkit(nvcc="/usr/local/cuda/bin/nvcc", version="12.6")
    said = advice(replace(RTX, cuda="12.8"), replace(RTX, index=1), cuda_toolkit=toolkit)
    assert said.endswith(
        'CMAKE_ARGS="-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89 -DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc"'
        " pip install --force-reinstall --no-cache-dir --no-binary llama-cpp-python"
        ' "llama-cpp-python>=0.3.36,<0.3.37"'
    )
    windows = advice(RTX, cuda_toolkit=toolkit, system=WINDOWS)
    assert '$env:CMAKE_ARGS="-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89"; pip install' in windows


def test_a_toolkit_of_a_later_generation_than_the_driver_is_left_alone() -> None:
    toolkit = CudaToolkit(nvcc="/usr/local/cuda/bin/nvcc", version="13.0")
    assert advice(replace(RTX, cuda="12.4"), cuda_toolkit=toolkit).endswith(WHEELS + "cu124")


@pytest.mark.parametrize(
    ("toolkit", "cuda", "capability", "builds"),
    [
        ("13.0", "13.0", "6.1", False),
        ("12.9", "13.0", "6.1", True),
        ("12.4", "12.8", "12.0", False),
        ("12.0", "12.8", "12.0", False),
        ("12.8", "12.8", "12.0", True),
        ("12.8", "13.0", "10.3", False),
        ("13.0", "13.0", "7.5", True),
        ("13.0", "13.0", "12.1", True),
        ("11.5", "12.4", "8.9", False),
        ("11.5", "12.4", "8.6", True),
        (None, "13.0", "12.0", True),
    ],
)
def test_a_toolkit_that_does_not_compile_for_the_gpu_is_left_alone(
    toolkit: str | None, cuda: str, capability: str, builds: bool
) -> None:
    installed = CudaToolkit(nvcc="/usr/local/cuda/bin/nvcc", version=toolkit)
    said = advice(replace(RTX, cuda=cuda, compute_capability=capability), cuda_toolkit=installed)
    assert ("ARCHITECTURES=" in said) is builds
    assert ("Install the wheel for CUDA" in said) is not builds


def test_the_toolkit_to_install_is_one_that_compiles_for_the_gpu() -> None:
    here = CudaToolkit(nvcc="/usr/local/cuda/bin/nvcc", version="13.0")
    said = advice(replace(RTX, cuda="13.0", compute_capability="5.2"), cuda_toolkit=here)
    assert "install NVIDIA's CUDA toolkit 12.9, then" in said
    assert "-DCMAKE_CUDA_ARCHITECTURES=52" in said
    assert "/usr/local/cuda/bin/nvcc" not in said, "that one cannot"


def test_no_wheel_for_arm() -> None:
    arm = replace(EPYC, cpu=replace(EPYC.cpu, architecture="aarch64"))
    said = advice(SPARK, machine=arm)
    assert "install NVIDIA's CUDA toolkit 13.0, then" in said
    assert "-DCMAKE_CUDA_ARCHITECTURES=121" in said
    assert "extra-index-url" not in said


def test_a_cuda_build_that_finds_no_device() -> None:
    engine = replace(LLAMA, build=KNOWS_CUDA)
    said = advice(replace(RTX, cuda="12.2"), engines=(engine,))
    assert "knows CUDA but finds no device; its driver speaks CUDA 12.2. Install the wheel for CUDA 12.2" in said


def test_hidden_gpus_need_no_build() -> None:
    hidden = replace(EPYC, gpus=(RTX,), engines=(replace(LLAMA, build=KNOWS_CUDA),), cuda_visible_devices="")
    assert gpu_advice(hidden) is None, "a note tells of it"


@pytest.mark.parametrize("visible", ["5", "1", "none", "-1,0", "GPU-12345", "MIG-1,0"])
def test_a_build_is_not_blamed_for_what_the_environment_hides(visible: str) -> None:
    engine = replace(LLAMA, build=KNOWS_CUDA)
    said = advice(RTX, RADEON, engines=(engine,), cuda_visible_devices=visible)
    assert f"CUDA_VISIBLE_DEVICES={visible} shows it no GPU. Unset it" in said
    assert "Install" not in said


def test_a_gpu_that_the_environment_names_and_the_build_does_not_find() -> None:
    engine = replace(LLAMA, build=KNOWS_CUDA)
    second = replace(RTX, index=1)
    assert "Install the wheel" in advice(RTX, second, engines=(engine,), cuda_visible_devices="1,7")
    assert "Install the wheel" in advice(RTX, cuda_visible_devices="GPU-12345"), "this build knows no CUDA"


def test_a_gpu_that_is_left_out() -> None:
    engine = replace(LLAMA, devices=("CUDA0 NVIDIA RTX 4070", "CPU"), build=KNOWS_CUDA.replace("800", "890"))
    two = (replace(RTX, cuda="12.4"), replace(RTX, index=1, cuda="12.4"))
    assert "llama.cpp can use 1 of 2 NVIDIA GPUs. Install the wheel for CUDA 12.4" in advice(*two, engines=(engine,))
    chosen = replace(EPYC, gpus=two, engines=(engine,), cuda_visible_devices="0")
    assert gpu_advice(chosen) is None, "the person chose one"
    slices = tuple(replace(gpu, source="NVML (MIG slice)") for gpu in two)
    assert gpu_advice(replace(EPYC, gpus=slices, engines=(engine,))) is None, "CUDA takes one slice"


def test_a_build_without_code_for_the_gpu() -> None:
    engine = replace(LLAMA, devices=("CUDA0 NVIDIA GTX 1080", "CPU"), build=KNOWS_CUDA)
    old = replace(RTX, name="NVIDIA GTX 1080", compute_capability="6.1", cuda="12.4")
    said = advice(old, engines=(engine,))
    assert "CUDA code for compute capability 8.0 and newer, and NVIDIA GTX 1080 has 6.1" in said
    assert said.endswith(WHEELS + "cu124")
