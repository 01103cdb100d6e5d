"""Energy meters on made-up trees of the kernel's files and a stand-in for the NVIDIA driver, and on this machine."""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path

import pytest

from slmtui.core.events import AnyEvent, Energy, Repeated
from slmtui.engine import llamacpp, meter
from slmtui.engine.meter import Battery, Counter, Meter, Together, find_meter
from slmtui.engine.nvml import open_gpus
from slmtui.engine.protocol import Load, Measure
from tests.engine.support import STORY
from tests.engine.test_nvml import as_module, one_gpu

RANGE_UJ = 262_143_328_850


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def put(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n", encoding="ascii")
    return folder


def package(root: Path, number: int, microjoules: int, name: str | None = None) -> Path:
    return put(
        root / f"intel-rapl:{number}",
        name=name or f"package-{number}",
        energy_uj=microjoules,
        max_energy_range_uj=RANGE_UJ,
    )


def battery(root: Path, name: str = "BAT0", **files: object) -> Path:
    return put(root / name, **{"type": "Battery", "status": "Discharging", **files})


def found(tmp_path: Path) -> Meter | None:
    return find_meter(None, tmp_path / "powercap", tmp_path / "supplies")


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every meter speak of phases of any length."""
    monkeypatch.setattr(meter, "LEAST_S", dict.fromkeys(meter.LEAST_S, 0.0))


def test_no_meter_on_a_machine_without_any(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    (tmp_path / "powercap").mkdir()
    (tmp_path / "supplies").mkdir()
    assert found(tmp_path) is None


def test_one_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    zone = package(tmp_path / "powercap", 0, 5_000_000)
    package(tmp_path / "powercap", 0, 5_000_000)
    put(zone / "intel-rapl:0:0", name="core", energy_uj=1, max_energy_range_uj=RANGE_UJ)
    put(tmp_path / "powercap" / "intel-rapl:0:0", name="core", energy_uj=1, max_energy_range_uj=RANGE_UJ)
    put(tmp_path / "powercap" / "intel-rapl-mmio:0", name="package-0", energy_uj=1, max_energy_range_uj=RANGE_UJ)
    package(tmp_path / "powercap", 1, 7, "psys")
    one = found(tmp_path)
    assert one is not None
    assert one.name == "RAPL package-0"
    one.start()
    assert one.joules() is None, "a counter that stands still says nothing"
    put(zone, energy_uj=7_250_000)
    assert one.joules() == pytest.approx(2.25)
    one.start()
    put(zone, energy_uj=8_250_000)
    assert one.joules() == pytest.approx(1.0), "each phase begins anew"


def test_several_sockets_are_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    first, second = (package(tmp_path / "powercap", number, 1_000_000) for number in (0, 1))
    both = found(tmp_path)
    assert both is not None
    assert both.name == "RAPL package-0 + RAPL package-1"
    both.start()
    put(first, energy_uj=2_000_000)
    put(second, energy_uj=4_000_000)
    assert both.joules() == pytest.approx(4.0)
    (second / "energy_uj").unlink()
    assert both.joules() is None, "half of the energy would be a wrong figure"


def test_a_counter_wraps_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    zone = package(tmp_path / "powercap", 0, RANGE_UJ - 500_000)
    one = found(tmp_path)
    assert one is not None
    one.start()
    put(zone, energy_uj=750_000)
    assert one.joules() == pytest.approx(1.25)


@pytest.mark.parametrize("content", ["", "many"])
def test_a_counter_that_cannot_be_read_is_no_meter(tmp_path: Path, content: str) -> None:
    put(package(tmp_path / "powercap", 0, 1), energy_uj=content)
    assert found(tmp_path) is None


def test_a_counter_that_only_root_reads_is_no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on most systems: the file is there and may not be opened."""
    zone = package(tmp_path / "powercap", 0, 1)
    real = os.open

    def refuse(path: Path, flags: int) -> int:
        if Path(path).name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    (zone / "energy_uj").chmod(0o000)
    if os.access(zone / "energy_uj", os.R_OK):  # root reads everything
        monkeypatch.setattr(os, "open", refuse)
    assert found(tmp_path) is None


def test_too_short_a_phase_for_the_counters_steps() -> None:
    clock, value = Clock(), [5.0]
    counter = Counter("RAPL package-0", lambda: value[0], clock=clock)
    counter.start()
    value[0] += 1
    clock.now += meter.LEAST_S["RAPL"] / 2
    assert counter.joules() is None
    clock.now += meter.LEAST_S["RAPL"]
    assert counter.joules() == 1.0


def test_a_phase_before_any_start_says_nothing() -> None:
    assert Counter("RAPL package-0", lambda: 5.0).joules() is None
    assert Together([Counter("RAPL package-0", lambda: 5.0)]).joules() is None


def test_the_graphics_counter_stands_beside_the_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    zone, driver = package(tmp_path / "powercap", 0, 0), one_gpu()
    gpus = open_gpus(["0000:01:00.0"], as_module(driver))
    both = find_meter(gpus, tmp_path / "powercap", tmp_path / "supplies")
    assert both is not None
    assert both.name == "RAPL package-0 + NVML GPU 0"
    both.start()
    put(zone, energy_uj=1_000_000)
    driver.devices[0].millijoules = 12_500
    assert both.joules() == pytest.approx(1.0 + 2.5)
    alone = find_meter(gpus, tmp_path / "none", tmp_path / "none")
    assert alone is not None
    assert alone.name == "NVML GPU 0"


def test_graphics_without_a_counter_are_no_meter(tmp_path: Path) -> None:
    driver = one_gpu()
    driver.devices[0].millijoules = None
    assert find_meter(open_gpus(["0000:01:00.0"], as_module(driver)), tmp_path, tmp_path) is None
    assert find_meter(open_gpus(["0000:99:00.0"], as_module(one_gpu())), tmp_path, tmp_path) is None


def test_a_battery_is_integrated_over_samples(tmp_path: Path) -> None:
    folder, clock = battery(tmp_path, power_now=10_000_000), Clock()
    cells = Battery([folder], clock)
    cells.start()
    for power, seconds in ((10_000_000, 2.0), (20_000_000, 4.0)):
        put(folder, power_now=power)
        clock.now += seconds
        cells.sample()
    clock.now += 1.0
    assert cells.joules() == pytest.approx(2 * 10 + 4 * 15 + 1 * 20)
    cells.start()
    clock.now += 10
    assert cells.joules() is None, "nothing was seen in this phase"


def test_a_short_phase_is_nothing_for_a_battery(tmp_path: Path) -> None:
    folder, clock = battery(tmp_path, power_now=10_000_000), Clock()
    cells = Battery([folder], clock)
    cells.start()
    clock.now += 1
    cells.sample()
    assert cells.joules() is None
    clock.now += meter.LEAST_S["battery"]
    assert cells.joules() == pytest.approx(10 * (1 + meter.LEAST_S["battery"]))


@pytest.mark.parametrize("change", [{"status": "Charging"}, {"status": "Full"}, {"power_now": "?"}, {"power_now": 0}])
def test_mains_power_in_between_spoils_the_figure(tmp_path: Path, change: dict[str, object]) -> None:
    folder, clock = battery(tmp_path, power_now=10_000_000), Clock()
    cells = Battery([folder], clock)
    cells.start()
    cells.sample()
    clock.now += 5
    put(folder, **change)
    cells.sample()
    clock.now += 5
    assert cells.joules() is None


def test_a_battery_that_gives_current_and_voltage(tmp_path: Path) -> None:
    folder, clock = battery(tmp_path, current_now=-1_500_000, voltage_now=12_000_000), Clock()
    cells = Battery([folder], clock)
    cells.start()
    cells.sample()
    clock.now += 10
    assert cells.joules() == pytest.approx(180)


def test_two_batteries_are_summed_and_the_idle_one_is_left_out(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", power_now=3_000_000)
    battery(tmp_path, "BAT1", power_now=4_000_000)
    battery(tmp_path, "BAT2", power_now=0, status="Unknown")
    put(tmp_path / "AC", type="Mains", online=0)
    battery(tmp_path, "mouse", power_now=1_000_000, scope="Device")
    cells = find_meter(None, tmp_path / "none", tmp_path)
    assert isinstance(cells, Battery)
    assert cells.name == "battery"
    clock = Clock()
    cells._clock = clock
    cells.start()
    cells.sample()
    clock.now += 10
    assert cells.joules() == pytest.approx(70)


def test_a_battery_without_figures_is_no_meter(tmp_path: Path) -> None:
    battery(tmp_path, capacity=80)
    assert find_meter(None, tmp_path / "none", tmp_path) is None


def test_processor_counters_come_before_the_battery(tmp_path: Path) -> None:
    package(tmp_path / "powercap", 0, 1)
    battery(tmp_path / "supplies", power_now=5_000_000)
    one = found(tmp_path)
    assert one is not None
    assert one.name.startswith("RAPL")


def test_a_repetition_counts_each_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reading of this meter is a joule more than the last: a phase begins and ends with one."""
    patient(monkeypatch)
    readings = count()
    monkeypatch.setattr(llamacpp, "find_meter", lambda _: Counter("RAPL package-0", lambda: float(next(readings))))
    backend, events = llamacpp.LlamaCpp(), list[AnyEvent]()
    backend.load(Load(path=str(STORY), threads=1), events.append)
    try:
        for prompt, generated in ((64, 8), (64, 0), (0, 8)):
            backend.measure(Measure(prompt_tokens=prompt, generated_tokens=generated, depth=32), events.append)
    finally:
        backend.close()
    counted = [event.timing.energy for event in events if isinstance(event, Repeated)]
    assert counted == [
        Energy(meter="RAPL package-0", prefill_j=1, decode_j=1),
        Energy(meter="RAPL package-0", prefill_j=1),
        Energy(meter="RAPL package-0", decode_j=1),
    ]
    assert next(readings) == 8, "a meter is read twice a phase and at no other time"


def test_the_gauge_takes_the_batterys_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Battery([battery(tmp_path, power_now=2_000_000)])
    monkeypatch.setattr(llamacpp, "find_meter", lambda _: cells)
    backend = llamacpp.LlamaCpp()
    assert backend.watched().gpu_bytes is None
    backend.load(Load(path=str(STORY), threads=1), lambda _: None)
    try:
        cells.start()
        assert backend.watched().gpu_bytes is None, "no video memory on the processor"
        monkeypatch.setitem(meter.LEAST_S, "battery", 0.0)
        assert cells.joules() is not None
    finally:
        backend.close()


def test_this_machine() -> None:
    """Whatever it has: a meter that is there counts joules of a plausible power."""
    here = find_meter()
    if here is None or isinstance(here, Battery):
        pytest.skip("no counter of energy can be read here")
    here.start()
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end:
        pass
    joules = here.joules()
    assert joules is None or 0 < joules < 2000
