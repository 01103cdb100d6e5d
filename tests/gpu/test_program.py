"""A real GPU as the program tells of it: what the driver says, and a benchmark of it beside the processor."""

from __future__ import annotations

import json

import pytest

from slmtui.sources.detect_nvidia import nvidia_gpus
from tests.cli.program import run
from tests.gpu.support import Graphics

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("graphics")]


def test_the_driver_and_the_engine_see_the_same_gpu(nvidia: Graphics) -> None:
    gpus, notes = nvidia_gpus()
    assert nvidia.description in [gpu.name for gpu in gpus]
    assert all(gpu.driver and gpu.cuda and gpu.compute_capability for gpu in gpus)
    assert all((gpu.memory_total_bytes or 0) >= (gpu.memory_free_bytes or 0) > 0 for gpu in gpus)
    assert all(gpu.temperature_c is None or 0 < gpu.temperature_c < 120 for gpu in gpus)
    assert all(gpu.power_w is None or 0 < gpu.power_w < 2000 for gpu in gpus)
    assert notes == ()


def test_bench_lays_the_gpu_beside_the_processor(graphics: Graphics) -> None:
    shape = ("-p", "64", "-n", "16", "-r", "2", "-t", "2")
    ran = run("bench", "pocket-5m:Q8_0", "-dev", f"cpu,{graphics.name}", *shape)
    assert ran.returncode == 0, ran.stderr
    assert f"{graphics.name} has " in ran.stdout
    assert "times the speed of cpu in prefill" in ran.stdout
    rows = json.loads(run("sessions", "latest", "--json").stdout)["measurements"]
    assert {row["facts"]["device"] for row in rows} == {"cpu", graphics.name}
    compared = run("sessions", "diff", "latest", "--devices", "cpu", graphics.name)
    assert compared.returncode in (0, 3), compared.stderr
    assert "B/A" in compared.stdout
