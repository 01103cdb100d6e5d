"""What MLX needs of a Mac, and what to say where it cannot be had."""

from __future__ import annotations

from slmtui.core.machine import Machine

MLX_PACKAGE = '"mlx-lm>=0.32.2,<0.33"'
"""What to install on a Mac, quoted for a shell; the same bounds stand in pyproject.toml."""
MLX_ON_LINUX = '"mlx[cpu]>=0.32.4,<0.33"'
"""What runs models there, which mlx-lm does not bring."""
OLDEST_MACOS = 14
"""MLX's wheels are built for macOS 14 and newer."""


def mlx_note(machine: Machine) -> str | None:
    """Why MLX does not run on this Mac, in a sentence; None where it can, and on other systems.

    A Python under Rosetta has a note of its own.
    """
    system, version = _system(machine)
    if system != "macOS":
        return None
    if machine.apple_chip is None and machine.cpu.architecture == "x86_64":
        return (
            "MLX needs an Apple chip (M1 or newer) and this Mac has a processor of Intel's: models run in llama.cpp,"
            " and MLX variants cannot be used."
        )
    if version is not None and version < OLDEST_MACOS:
        return (
            f"MLX needs macOS {OLDEST_MACOS} or newer and this is {machine.system}: models run in llama.cpp until macOS"
            " is updated."
        )
    return None


def takes_mlx(machine: Machine) -> bool:
    """Whether MLX can be installed on this Mac with this Python."""
    system, _ = _system(machine)
    return system == "macOS" and machine.cpu.architecture == "arm64" and mlx_note(machine) is None


def _system(machine: Machine) -> tuple[str, int | None]:
    """Name and major version of the system."""
    name, _, version = (machine.system or "").partition(" ")
    major = version.partition(".")[0]
    return name, int(major) if major.isdecimal() else None
