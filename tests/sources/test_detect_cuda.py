"""Where the CUDA toolkit is looked for, in made-up folders."""

from __future__ import annotations

from pathlib import Path

from slmtui.core.machine import CudaToolkit
from slmtui.sources.detect_cuda import cuda_toolkit


def toolkit(root: Path, version: int | None) -> Path:
    """An installed toolkit, as far as anybody looks at it."""
    nvcc = root / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    if version is not None:
        header = root / "include" / "cuda_runtime_api.h"
        header.parent.mkdir()
        header.write_text(f"#define CUDART_VERSION  {version}\n")
    return nvcc


def test_the_environment_comes_before_the_path_and_the_path_before_the_usual_place(tmp_path: Path) -> None:
    named, on_path, usual = (
        toolkit(tmp_path / name, version) for name, version in (("a", 12040), ("b", 11080), ("c", 13000))
    )
    places = (usual.parents[1],)
    environment = {"PATH": str(on_path.parent), "CUDA_HOME": str(named.parents[1])}
    assert cuda_toolkit(environment, places) == CudaToolkit(nvcc=str(named), version="12.4")
    del environment["CUDA_HOME"]
    assert cuda_toolkit(environment, places) == CudaToolkit(nvcc=str(on_path), version="11.8")
    assert cuda_toolkit({"PATH": ""}, places) == CudaToolkit(nvcc=str(usual), version="13.0")
    assert cuda_toolkit({}, ()) is None


def test_a_compiler_that_is_a_link_belongs_to_where_it_points(tmp_path: Path) -> None:
    nvcc = toolkit(tmp_path / "cuda-13.0", 13020)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").symlink_to(nvcc)
    assert cuda_toolkit({"PATH": str(tmp_path / "bin")}, ()) == CudaToolkit(
        nvcc=str(tmp_path / "bin" / "nvcc"), version="13.2"
    )


def test_a_version_that_nobody_tells(tmp_path: Path) -> None:
    nvcc = toolkit(tmp_path, None)
    assert cuda_toolkit({"PATH": str(nvcc.parent)}, ()) == CudaToolkit(nvcc=str(nvcc))
    nothing_there = {"CUDA_HOME": str(tmp_path / "gone"), "PATH": ""}
    assert cuda_toolkit(nothing_there, ()) is None
