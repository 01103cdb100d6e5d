"""Tries the installed MLX once in a child process: a quantized product of one row, then of eight.

mlx-lm is not imported: that takes a second or more, and a model that is loaded says as clearly if it fails.
"""

from __future__ import annotations

import importlib.metadata
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from slmtui.core.apple import MLX_ON_LINUX, MLX_PACKAGE
from slmtui.core.installs import REINSTALL
from slmtui.core.machine import EngineState
from slmtui.engine.installer import install_here
from slmtui.engine.mlx_checks import too_few_files
from slmtui.engine.trials import remember, remembered, run_trial, say

PATIENCE_S = 60.0
TRIAL_COMMAND = (sys.executable, "-P", "-m", "slmtui.engine.mlx_trial")
_PACKAGES = ("mlx", "mlx-lm", "tokenizers")


def versions() -> dict[str, str] | None:
    """Versions of the packages that it takes; None where one is not installed."""
    try:
        return {name: importlib.metadata.version(name) for name in _PACKAGES}
    except importlib.metadata.PackageNotFoundError:
        return None


async def engine_state(cache: Path | None, key: str, command: Sequence[str] = TRIAL_COMMAND) -> EngineState | None:
    """State of MLX here, tried once for each set of versions and machine (`key`); None where it is not installed."""
    found = versions()
    if found is None:
        return None
    key = f"{key} {found} {_files_limit()}"
    known = remembered(cache, key)
    if known is not None:
        return known
    trial = await run_trial(command, PATIENCE_S)
    state = EngineState(name="MLX", version=found["mlx"], devices=trial.devices, build=trial.build, trial="sound")
    if trial.decoded == (1, 8):
        remember(cache, key, state)
        return state
    again = install_here(f"{REINSTALL} {MLX_ON_LINUX if sys.platform == 'linux' else MLX_PACKAGE}")
    usual = f"MLX does not work on this machine ({trial.error}). Install it again: {again}"
    advice = trial.advice or usual
    return EngineState(name="MLX", version=found["mlx"], devices=trial.devices, trial="unusable", advice=advice)


def _files_limit() -> int:
    """Files that a process of this session may open at most."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def main() -> int:
    """The child: says what it sees, then multiplies, a JSON line after each step."""
    if hasattr(signal, "alarm"):
        signal.alarm(round(PATIENCE_S))  # whoever asked may be gone
    if (why := too_few_files()) is not None:
        say(advice=f"MLX cannot be started here: {why}")
        return 1
    try:
        import mlx.core as mx

        from slmtui.engine.mlx_device import build_line, graphics, use_device
    except (ImportError, OSError, RuntimeError) as error:
        say(error=f"MLX cannot be loaded: {error}")
        return 1
    present = graphics()
    say(devices=[present.capitalize() if present == "metal" else present.upper(), "CPU"] if present else ["CPU"])
    use_device("gpu" if present else "cpu")
    say(build=build_line())
    weight, scales, biases = mx.quantize(mx.ones((64, 64)), group_size=64, bits=4)
    for rows in (1, 8):
        product = mx.quantized_matmul(mx.ones((rows, 64)), weight, scales, biases, group_size=64, bits=4)
        if not bool(mx.all(mx.abs(product - 64) < 1)):
            say(error="its products are wrong")
            return 1
        say(decoded=[rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
