"""A library that only a Python package has, opened for a module that needs it, in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slmtui.engine import llama_library
from slmtui.engine.nvidia_libraries import import_beside

NAME = "libcublas.so.1234"
OURS = b"libggml-base.so.0"
"""A real library whose name in itself is as long as `NAME`, so that a copy can be given that name."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a module that needs the library, and no library yet."""
    (tmp_path / "needs_it.py").write_text(f'import ctypes\nctypes.CDLL("{NAME}")\nFOUND = True\n')
    return tmp_path


def put_library(folder: Path) -> None:
    llama_library.load()
    content = Path(llama_library.sibling("ggml-base")._name).read_bytes()
    assert OURS in content
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(content.replace(OURS, NAME.encode()))


def imported(place: Path) -> subprocess.CompletedProcess[str]:
    program = "from slmtui.engine.nvidia_libraries import import_beside\nprint(import_beside('needs_it').FOUND)"
    environment = {**os.environ, "PYTHONPATH": str(place)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="the loader's message is that of Linux")
@pytest.mark.parametrize("package", ["cublas", "cu13"])
def test_a_library_of_a_package_is_found(place: Path, package: str) -> None:
    put_library(place / "nvidia" / package / "lib")
    assert imported(place).stdout == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the loader's message is that of Linux")
def test_a_library_that_no_package_has_is_named(place: Path) -> None:
    ended = imported(place)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"OSError: {NAME}: cannot open shared object file")


def test_any_other_failure_is_passed_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "broken.py").write_text('raise RuntimeError("libcublas is odd")\n')
    monkeypatch.syspath_prepend(str(place))
    with pytest.raises(RuntimeError, match="odd"):
        import_beside("broken")
