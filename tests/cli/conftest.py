"""Every test has its own home; what one machine needs to find out about itself once is found out once."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from slmtui.core.ceiling import Ceiling, MatmulRate
from slmtui.lab import ceiling
from slmtui.lab.services import Services

CEILING = Ceiling(
    read_bytes_per_s=20e9,
    reader="memcmp",
    matmul=tuple(MatmulRate(type=name, flops=100e9, buffer="CPU") for name in ("f16", "q8_0", "q4_K", "f32")),
    threads=2,
)


@pytest.fixture(scope="session")
def known_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of a home in which the machine was looked at.

    Its ceiling is made up: on a busy machine a measured one is not remembered, and each test would wait for its own.
    """
    home = tmp_path_factory.mktemp("known")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLMTUI_HOME", str(home))
        asyncio.run(_look_around())
    return home / "cache"


async def _look_around() -> None:
    services = Services.open(strict=True)
    try:
        await services.machine()
        assert ceiling.known(services) is None
        ceiling.remember(services, CEILING)
        assert ceiling.known(services) == CEILING
    finally:
        await services.close()


@pytest.fixture(autouse=True)
def cache(home: Path, known_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each test the detection of the processor and the engine's trial; fix what is asked of the locale."""
    assert os.environ["SLMTUI_HOME"] == str(home)
    shutil.copytree(known_machine, home / "cache")
    for name in ("LC_ALL", "LC_CTYPE", "PYTHONIOENCODING", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
