"""What MLX runs on here: its device, its own account of memory, and the limits that macOS sets."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Literal

import mlx.core as mx

from slmtui.core.events import EngineMemory, FailureKind
from slmtui.core.text import one_line
from slmtui.engine.backends import EngineError

Place = Literal["cpu", "metal", "cuda"]
_NUMBERED = re.compile(r"(metal|mtl|cuda):?0")
"""MLX uses the first GPU; the number may be said, as llama.cpp's devices have one."""


def use_device(asked: str) -> Place:
    """Run everything from now on where the request says: "cpu", or "gpu" in any of its names; case does not matter.

    Raises:
        EngineError: this build of MLX has no such device here.
    """
    present, wanted = graphics(), asked.strip().lower()
    if wanted == "cpu":
        mx.set_default_device(mx.cpu)
        mx.disable_compile()  # it would call the machine's C++ compiler, and gains nothing
        return "cpu"
    numbered = _NUMBERED.fullmatch(wanted)
    kind = numbered[1] if numbered else wanted
    kind = "metal" if kind == "mtl" else kind
    if present is None or kind not in ("gpu", present):
        there = f"cpu and {present}" if present else "cpu only"
        raise EngineError(
            FailureKind.BAD_REQUEST, f"MLX has no device {one_line(asked)} here: it has {there}. Choose another."
        )
    mx.set_default_device(mx.gpu)
    mx.enable_compile()
    return present


def graphics() -> Literal["metal", "cuda"] | None:
    """The kind of GPU that this build of MLX can use here."""
    if mx.metal.is_available():
        return "metal"
    return "cuda" if mx.cuda.is_available() else None


def working_set_bytes() -> int | None:
    """What macOS recommends that the GPU keeps resident; None where there is no Metal."""
    limit = mx.device_info().get("max_recommended_working_set_size") if mx.metal.is_available() else None
    return int(limit) if limit else None


def wire_memory() -> None:
    """Let the GPU keep as much resident as macOS recommends, before anything is evaluated.

    Set once a process: changing the limit while the GPU works has brought whole machines down (mlx-lm #883).
    """
    limit = working_set_bytes()
    if limit is not None:
        mx.set_wired_limit(limit)


def own_account() -> EngineMemory:
    """What MLX says of its memory now; callable from any thread."""
    return EngineMemory(
        active_bytes=mx.get_active_memory(), cache_bytes=mx.get_cache_memory(), peak_bytes=mx.get_peak_memory()
    )


def engine_name() -> str:
    """Engine with the versions of both its packages."""
    version = importlib.metadata.version
    return f"MLX {version('mlx')} via mlx-lm {version('mlx-lm')}"


def build_line() -> str:
    """The kinds of device that this build knows here, and what MLX calls the one in use."""
    info = mx.device_info()
    kinds = ["CPU", *filter(None, [graphics()])]
    words = ", ".join(str(info[name]) for name in ("architecture", "device_name") if info.get(name))
    return f"{' and '.join(kinds)} : {words}"
