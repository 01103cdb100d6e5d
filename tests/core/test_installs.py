"""The command that installs packages: as a shell runs it, for each kind of installation."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from slmtui.core.installs import install_command
from slmtui.core.machine import Installer

ECHO = '#!/bin/sh\necho "$0" "$@" with "$CMAKE_ARGS"\n'


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A program in a folder with a blank that says how it was called; uv beside it does too."""
    (tmp_path / "my folder").mkdir()
    for name in ("python", "uv"):
        path = tmp_path / "my folder" / name
        path.write_text(ECHO)
        path.chmod(0o755)
    return str(tmp_path / "my folder" / "python")


def ran(command: str, python: str) -> list[str]:
    """What the program wrote, its own folder left out."""
    folder = str(Path(python).parent)
    environment = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.replace(folder + "/", "").splitlines()


@pytest.mark.skipif(os.name == "nt", reason="a line for sh")
def test_what_a_shell_makes_of_it(python: str) -> None:
    def says(by: str) -> list[str]:
        installer = Installer(python=python, by="pip" if by == "pip" else "uv" if by == "uv" else "ensurepip")
        return ran(install_command(installer, '"a>=1,<2"', {"CMAKE_ARGS": 'x "y" $z'}), python)

    assert says("pip") == ['python -m pip install a>=1,<2 with x "y" $z']
    assert says("uv") == ['uv pip install --python python a>=1,<2 with x "y" $z']
    assert says("ensurepip") == ["python -m ensurepip with ", 'python -m pip install a>=1,<2 with x "y" $z']


def test_lines_for_powershell() -> None:
    plain = Installer(python=r"C:\Tools\slmtui\python.exe", by="pip")
    assert install_command(plain, "a", {"X": "1"}, windows=True) == (
        r'$env:X="1"; C:\Tools\slmtui\python.exe -m pip install a'
    )
    blank = Installer(python=r"C:\Users\Ann O'Hara\python.exe", by="ensurepip")
    run = r"& 'C:\Users\Ann O''Hara\python.exe'"
    assert install_command(blank, "a", windows=True) == f"{run} -m ensurepip; {run} -m pip install a"
    uv = Installer(python=blank.python, by="uv")
    assert install_command(uv, "a", windows=True) == f"uv pip install --python {run[2:]} a"


def test_where_nobody_knows_which_python_this_is() -> None:
    assert install_command(None, "a") == "pip install a"
