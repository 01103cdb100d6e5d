"""The machine around a measurement: detected once, looked at again before and after each."""

from __future__ import annotations

import asyncio
import platform
from dataclasses import dataclass
from pathlib import Path

import msgspec

from slmtui.core.apple import MLX_PACKAGE, takes_mlx
from slmtui.core.ceiling import Ceiling
from slmtui.core.machine import EngineState, GpuUser, Machine, Memory
from slmtui.sources.resources import pocket_folder

TRIAL_MODEL = "pocket-5m-Q4_K_M.gguf"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is noted when a measurement begins, and when it ends; None where the system does not say."""

    load_average: float | None
    temperature_c: float | None
    power: str | None = None
    """Where the machine's power comes from: "mains", "battery 83 %"."""
    governor: str | None = None
    """Frequency governor of the processor."""


class Surroundings:
    """Detects the machine on the first question and remembers it for one run of the program."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._machine: asyncio.Task[Machine] | None = None
        self.measuring = asyncio.Lock()
        """Held while the machine's ceiling is measured."""
        self.doubtful: tuple[Ceiling, float] | None = None
        """The last measurement of it that is not to be remembered, and when it was made, by `time.monotonic`."""

    @property
    def detected(self) -> Machine | None:
        """The machine, once it was detected."""
        task = self._machine
        return task.result() if task and task.done() and not task.cancelled() and not task.exception() else None

    async def machine(self) -> Machine:
        """Everything about the machine, engines and their trial included."""
        if self._machine is None:
            self._machine = asyncio.create_task(self._detect())
        return await asyncio.shield(self._machine)

    async def close(self) -> None:
        """Give up detecting."""
        if self._machine is not None and not self._machine.done():
            self._machine.cancel()
            await asyncio.gather(self._machine, return_exceptions=True)

    async def _detect(self) -> Machine:
        # Imported here: they cost 30 ms, and the first frame does not need them.
        from slmtui.core.gpu_advice import imitation_note
        from slmtui.engine import installer, mlx_trial, trial
        from slmtui.sources import detect

        machine = await asyncio.to_thread(detect.detect, self._cache)
        graphics = [f"{gpu.name} {gpu.driver}" for gpu in machine.gpus]
        key = " ".join(filter(None, (machine.cpu.name, platform.node(), *graphics, machine.cuda_visible_devices)))
        state, mlx = await asyncio.gather(
            trial.engine_state(pocket_folder() / TRIAL_MODEL, self._cache / "trial.json", key),
            mlx_trial.engine_state(self._cache / "mlx-trial.json", key),
        )
        if mlx is None and takes_mlx(machine):
            command = installer.install_here(MLX_PACKAGE)
            mlx = EngineState(name="MLX", trial="unusable", advice=f"MLX is not installed. Install it: {command}")
        engines = (state, mlx) if mlx is not None else (state,)
        note = imitation_note(engines)
        notes = machine.notes if note is None else (*machine.notes, note)
        return msgspec.structs.replace(machine, engines=engines, installer=installer.installer(), notes=notes)


async def quick_machine() -> Machine:
    """What can be told about the machine within 30 ms."""
    from slmtui.sources import detect

    return await asyncio.to_thread(detect.detect_quick)


async def gpu_users() -> tuple[GpuUser, ...]:
    """Processes that have memory on NVIDIA processors now."""
    from slmtui.sources.detect_nvidia import gpu_users

    return await asyncio.to_thread(gpu_users)


async def memory_now() -> Memory:
    """Main memory as it is now."""
    from slmtui.sources import detect

    return await asyncio.to_thread(detect.memory_now)


async def circumstances() -> Circumstances:
    """Load, temperature, power and governor now, as far as they can be read."""
    from slmtui.sources import detect

    def read() -> Circumstances:
        return Circumstances(
            load_average=detect.load_average(),
            temperature_c=detect.temperature_c(),
            power=detect.power(),
            governor=detect.governor(),
        )

    return await asyncio.to_thread(read)
