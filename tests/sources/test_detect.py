"""Detection of the machine that runs the tests, against psutil and the operating system; the py-cpuinfo cache."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from slmtui.sources.detect import (
    detect,
    detect_quick,
    hottest,
    load_average,
    memory_now,
    temperature_c,
)
from slmtui.sources.detect_cpuinfo import CACHE_NAME, CpuFacts, cpu_facts
from tests.sources.trees import MEMINFO, cores, grow

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and /sys")
SLACK_BYTES = 2 * 1024**3
"""Other processes take and give memory between two readings."""


class Reading(NamedTuple):
    """The fields of psutil's temperature readings that matter."""

    label: str
    current: float | None


class Starts:
    """The programs that this process starts while it listens, by Python's audit events."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.listening = False

    def hear(self, event: str, args: tuple[object, ...]) -> None:
        if self.listening and event in {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork"}:
            self.seen.append(f"{event} {args}")


@pytest.fixture(scope="module")
def audit() -> Starts:
    # An audit hook can't be taken away again, so one serves the whole module.
    heard = Starts()
    sys.addaudithook(heard.hear)
    return heard


@pytest.fixture
def starts(audit: Starts) -> Starts:
    audit.seen.clear()
    audit.listening = True
    return audit


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    """A processor that Linux gives numbers for, no name and no flags."""
    text = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n"
    return grow(tmp_path / "root", {"proc/cpuinfo": text, "proc/meminfo": MEMINFO, **cores(["0", "1"])})


@linux
def test_quick_agrees_with_the_system_and_starts_nothing(starts: Starts) -> None:
    began = time.perf_counter()
    machine = detect_quick()
    took_s = time.perf_counter() - began
    starts.listening = False
    assert starts.seen == []
    assert took_s < 0.5, "30 ms are promised on a quiet machine"
    assert machine.cpu.logical_cores == psutil.cpu_count()
    assert machine.cpu.physical_cores == psutil.cpu_count(logical=False)
    assert machine.cpu.usable_cores is not None
    assert 1 <= machine.cpu.usable_cores <= len(os.sched_getaffinity(0))
    assert machine.memory.total_bytes is not None
    assert machine.memory.total_bytes <= psutil.virtual_memory().total
    if machine.memory.limited_by is None:
        assert machine.memory.total_bytes == psutil.virtual_memory().total
    assert machine.system is not None
    assert os.uname().release in machine.system
    assert machine.engines == ()


@linux
def test_everything_agrees_with_the_quick_answer() -> None:
    quick, full = detect_quick(), detect(None)
    assert full.cpu.logical_cores == quick.cpu.logical_cores
    assert full.cpu.usable_cores == quick.cpu.usable_cores
    assert full.system == quick.system
    assert full.engines == ()
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    assert ("AVX2" in full.cpu.instruction_sets) == (" avx2 " in text)
    if "model name" in text:
        assert full.cpu.name is not None
        assert full.cpu.name.split()[0] in text


@linux
def test_affinity_limits_the_usable_cores() -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from slmtui.sources.detect import detect_quick; print(detect_quick().cpu.usable_cores)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@linux
def test_py_cpuinfo_is_asked_once_for_what_the_system_does_not_say(
    nameless: Path, tmp_path: Path, starts: Starts
) -> None:
    cache = tmp_path / "cache"
    first = detect(cache, nameless)
    assert any("cpuinfo.py" in start for start in starts.seen), "the first call asks py-cpuinfo"
    starts.seen.clear()
    second = detect(cache, nameless)
    starts.listening = False
    assert starts.seen == []
    assert first.cpu == second.cpu
    real = detect_quick().cpu
    if real.name is not None:
        assert second.cpu.name == real.name
        assert second.cpu.instruction_sets == real.instruction_sets


@linux
def test_a_known_processor_needs_no_py_cpuinfo(tmp_path: Path, starts: Starts) -> None:
    if detect_quick().cpu.name is None:
        pytest.skip("this processor has no name in /proc/cpuinfo")
    starts.seen.clear()
    detect(tmp_path, Path("/"))
    starts.listening = False
    assert starts.seen == []


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a stand-in for the Python that runs py-cpuinfo prints; it fails where the file is missing."""
    file = tmp_path / "answer.json"
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\nexec cat '{file}'\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return file


@linux
def test_another_processor_or_a_damaged_cache_is_asked_again(answer: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    answer.write_text('{"brand_raw": "one", "flags": ["avx2"], "count": 2}', encoding="utf-8")
    assert cpu_facts(cache, "a") == CpuFacts(name="one", flags=("avx2",))
    answer.write_text('{"brand_raw": "two"}', encoding="utf-8")
    assert cpu_facts(cache, "a").name == "one", "kept"
    assert cpu_facts(cache, "b").name == "two", "another processor"
    (cache / CACHE_NAME).write_bytes(b'{"key": "b", "facts": {"na')
    answer.write_text('{"brand_raw": "three"}', encoding="utf-8")
    assert cpu_facts(cache, "b").name == "three", "damaged"
    answer.unlink()
    assert cpu_facts(cache, "c") == CpuFacts(), "a failure is not an exception"
    assert cpu_facts(cache, "b").name == "three", "and does not replace what was known"


@linux
@pytest.mark.parametrize("text", ["", "{", "[]", '{"brand_raw": 7}'])
def test_a_senseless_answer_says_nothing(answer: Path, text: str) -> None:
    answer.write_text(text, encoding="utf-8")
    assert cpu_facts(None, "a") == CpuFacts()


@linux
def test_a_cache_that_cannot_be_written_is_passed_over(answer: Path, tmp_path: Path) -> None:
    answer.write_text('{"brand_raw": "one"}', encoding="utf-8")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder", encoding="utf-8")
    assert cpu_facts(in_the_way / "cache", "a").name == "one"


@pytest.mark.parametrize("program", ["", "/bin/false", "/no/such/python3"])
def test_without_a_python_to_run_py_cpuinfo_says_nothing(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert cpu_facts(None, "a") == CpuFacts()


@linux
def test_an_nvidia_card_without_driver_becomes_a_note(tmp_path: Path, nameless: Path) -> None:
    card = "sys/bus/pci/devices/0000:01:00.0"
    grow(nameless, {f"{card}/vendor": "0x10de\n", f"{card}/device": "0x2786\n", f"{card}/class": "0x030000\n"})
    grow(nameless, {"proc/cpuinfo": "model name: X\nflags: avx2\n\n"})
    machine = detect(tmp_path, nameless)
    if any(gpu.source.startswith("NVML") for gpu in machine.gpus):
        pytest.skip("this machine has an NVIDIA driver")
    assert machine.gpus == ()
    assert any("NVIDIA" in note and "driver" in note for note in machine.notes)


@linux
@pytest.mark.parametrize(("platform", "words"), [("darwin", "macOS"), ("freebsd14", "Linux")])
def test_other_systems_without_their_tools_still_have_cores_and_memory(
    platform: str, words: str, answer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer.write_text('{"brand_raw": "Some Chip", "flags": ["asimd"]}', encoding="utf-8")
    monkeypatch.setattr(sys, "platform", platform)
    machine = detect(None)
    assert machine.system is not None
    assert machine.system.startswith(words)
    assert (machine.cpu.name, machine.cpu.instruction_sets) == ("Some Chip", ("NEON",))
    assert machine.cpu.logical_cores == psutil.cpu_count()
    assert machine.memory.total_bytes == psutil.virtual_memory().total
    assert machine.gpus == ()


def test_memory_now_follows_psutil() -> None:
    now, other = memory_now(), psutil.virtual_memory()
    assert now.total_bytes is not None
    assert now.available_bytes is not None
    assert now.available_bytes <= now.total_bytes <= other.total
    if now.limited_by is None:
        assert abs(now.available_bytes - other.available) < SLACK_BYTES


@linux
def test_load_average_is_the_systems() -> None:
    load = load_average()
    assert load is not None
    assert load == pytest.approx(os.getloadavg()[0], abs=0.5)


def test_temperature_is_plausible_or_unknown() -> None:
    value = temperature_c()
    assert value is None or 0 < value < 150


def test_hottest_takes_processor_sensors_only() -> None:
    def sensor(*values: float | None) -> list[Reading]:
        return [Reading("", value) for value in values]

    assert hottest({"coretemp": sensor(41.0, 55.5), "nvme": sensor(70.0)}) == 55.5
    assert hottest({"k10temp": sensor(48.0, 255.0, -1.0, None)}) == 48.0
    assert hottest({"cpu_thermal": sensor(61.0), "acpitz": sensor(99.0)}) == 61.0
    assert hottest({"nvme": sensor(50.0)}) is None
    assert hottest({}) is None
