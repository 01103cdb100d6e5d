"""Energy of a phase, from meters that anybody may read: processor counters, graphics counters, a battery.

All of them count the whole machine or a whole processor, everything else that runs included. None of them is fine: RAPL
moves about once in a millisecond, NVML ten to fifty times a second, a battery once a second or less often.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from slmtui.engine.nvml import Gpus

POWERCAP = Path("/sys/class/powercap")
SUPPLIES = Path("/sys/class/power_supply")
LEAST_S = {"RAPL": 0.02, "NVML": 1.0, "battery": 4.0}
"""A meter says nothing about a phase shorter than this: its own steps would be more than a tenth of it."""
_BATTERY_SAMPLES = 100_000


class Meter(Protocol):
    """Counts joules over one phase at a time; both calls take less than 0.1 ms and are made outside timed intervals."""

    name: str

    def start(self) -> None:
        """Begin a phase."""
        ...

    def joules(self) -> float | None:
        """Energy since the phase began; None where the meter did not move, is too coarse, or cannot say."""
        ...


class Counter:
    """One counter of joules that only grows, but for a wrap-around at `limit_j`."""

    def __init__(
        self,
        name: str,
        read: Callable[[], float | None],
        *,
        limit_j: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.name = name
        self._read = read
        self._limit_j = limit_j
        self._clock = clock
        self._least_s = LEAST_S[name.split(maxsplit=1)[0]]
        self._before: float | None = None
        self._started_s = 0.0

    def start(self) -> None:
        """See `Meter.start`."""
        self._started_s, self._before = self._clock(), self._read()

    def joules(self) -> float | None:
        """See `Meter.joules`; of two wrap-arounds in one phase one is seen (at 100 W they are 44 min apart)."""
        before, now = self._before, self._read()
        if before is None or now is None or self._clock() - self._started_s < self._least_s:
            return None
        used = now - before
        if used < 0 and self._limit_j is not None:
            used += self._limit_j
        return used if used > 0 else None


class Together:
    """Several meters as one; it says nothing unless all of them do."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.name = " + ".join(meter.name for meter in meters)
        self._meters = meters

    def start(self) -> None:
        """See `Meter.start`."""
        for meter in self._meters:
            meter.start()

    def joules(self) -> float | None:
        """See `Meter.joules`."""
        read = [meter.joules() for meter in self._meters]
        known = [figure for figure in read if figure is not None]
        return sum(known) if known and len(known) == len(read) else None


class Battery:
    """Discharge of the machine's batteries: their power integrated over the gauge's samples.

    Coarse, and of the whole machine with its screen. `sample` reads it, on the gauge's thread, because a battery's
    firmware may take milliseconds to answer.
    """

    name = "battery"

    def __init__(self, folders: Sequence[Path], clock: Callable[[], float] = time.perf_counter) -> None:
        self._folders = folders
        self._clock = clock
        self._samples: deque[tuple[float, float | None]] = deque(maxlen=_BATTERY_SAMPLES)
        self._started_s = 0.0

    def sample(self) -> None:
        """Note the power that is drawn now."""
        watts = self._watts()
        self._samples.append((self._clock(), watts))

    def start(self) -> None:
        """See `Meter.start`."""
        self._samples.clear()
        self._started_s = self._clock()

    def joules(self) -> float | None:
        """See `Meter.joules`; None for a short phase, or one in which mains power came."""
        ended_s = self._clock()
        samples = [(at_s, watts) for at_s, watts in list(self._samples) if watts is not None]
        if not samples or len(samples) < len(self._samples) or ended_s - self._started_s < LEAST_S[self.name]:
            return None
        corners = [(self._started_s, samples[0][1]), *samples, (ended_s, samples[-1][1])]
        return sum(
            (later - earlier) * (power + next_power) / 2 for (earlier, power), (later, next_power) in pairwise(corners)
        )

    def _watts(self) -> float | None:
        """Power drawn from all batteries; None while none is discharged, or where one does not say how much."""
        drawn = [_battery_watts(folder) for folder in self._folders if _word(folder / "status") == "Discharging"]
        known = [watts for watts in drawn if watts is not None]
        return sum(known) if known and len(known) == len(drawn) else None


def find_meter(gpus: Gpus | None = None, powercap: Path = POWERCAP, supplies: Path = SUPPLIES) -> Meter | None:
    """The meter to use for a model that runs on the processor, or on these GPUs too; None where none can be read.

    A battery is the last resort: it has no name for what it counts and needs seconds.
    """
    meters: list[Meter] = [*_packages(powercap)]
    if gpus is not None and gpus.joules() is not None:
        meters.append(Counter(gpus.name, gpus.joules))
    if meters:
        return meters[0] if len(meters) == 1 else Together(meters)
    batteries = [folder for folder in _folders(supplies) if _word(folder / "type") == "Battery"]
    batteries = [folder for folder in batteries if _word(folder / "scope") != "Device"]  # that of a mouse
    return Battery(batteries) if any(_battery_watts(folder) is not None for folder in batteries) else None


def _packages(powercap: Path) -> list[Counter]:
    """One counter for each socket; their parts (core, uncore) and the platform's counter are left out.

    Most systems let only root read them: then there are none.
    """
    counters = []
    for zone in _folders(powercap):
        label = _word(zone / "name")
        if not zone.name.startswith("intel-rapl:") or zone.name.count(":") != 1 or not label.startswith("package"):
            continue
        read, limit_uj = _Reader(zone / "energy_uj"), _number(zone / "max_energy_range_uj")
        if read() is not None and limit_uj is not None:
            counters.append(Counter(f"RAPL {label}", read, limit_j=limit_uj / 1e6))
    return counters


class _Reader:
    """Reads a file of microjoules, as joules."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> float | None:
        microjoules = _number(self._path)
        return None if microjoules is None else microjoules / 1e6


def _battery_watts(folder: Path) -> float | None:
    """Power of one battery; some drivers give a current and a voltage instead, some a negative figure."""
    power = _number(folder / "power_now")
    if power is not None:
        return abs(power) / 1e6 or None
    current, voltage = _number(folder / "current_now"), _number(folder / "voltage_now")
    return None if current is None or voltage is None else abs(current) * voltage / 1e12 or None


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    """The whole number in a file of the kernel's; None where it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return int(os.read(file, 64))
    except (OSError, ValueError):
        return None
    finally:
        os.close(file)
