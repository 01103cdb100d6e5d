"""What installs packages here, and that its command runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slmtui.core.machine import Installer
from slmtui.engine.installer import install_here, installer


def put(path: Path, content: str) -> Path:
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(0o755)
    return path


def test_pip_comes_before_uv_and_uv_before_a_pip_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = put(tmp_path / "bin" / ("uv.exe" if sys.platform == "win32" else "uv"), "#!/bin/sh\n")
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setenv("PATH", "")
    assert installer() == Installer(python=sys.executable, by="ensurepip")
    monkeypatch.setenv("PATH", str(uv.parent))
    assert installer() == Installer(python=sys.executable, by="uv")
    monkeypatch.delitem(sys.modules, "pip")
    put(tmp_path / "pip" / "__init__.py", "")
    monkeypatch.syspath_prepend(tmp_path)
    assert installer() == Installer(python=sys.executable, by="pip")


def test_an_interpreter_that_does_not_know_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert installer() is None
    assert install_here("slmtui") == "pip install slmtui"


def test_the_command_runs_here() -> None:
    here = installer()
    if here is None or here.by == "ensurepip":
        pytest.skip("it would change this environment")
    done = subprocess.run(install_here("--help"), shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert "--force-reinstall" in done.stdout or here.by == "uv"
