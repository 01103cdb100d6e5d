"""Every test has its own home; what one machine needs to find out about itself once is found out once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.program import run


@pytest.fixture(scope="session")
def known_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of a home in which the machine was looked at."""
    home = tmp_path_factory.mktemp("known")
    assert run("hardware", env={"SLMTUI_HOME": str(home)}).returncode == 0
    return home / "cache"


@pytest.fixture(autouse=True)
def cache(home: Path, known_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each test the detection of the processor and the engine's trial; fix what is asked of the locale."""
    assert os.environ["SLMTUI_HOME"] == str(home)
    shutil.copytree(known_machine, home / "cache")
    for name in ("LC_ALL", "LC_CTYPE", "PYTHONIOENCODING", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
