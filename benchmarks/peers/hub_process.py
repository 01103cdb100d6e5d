"""A loopback hub in a process of its own, with one file of noise."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers import ROOT

NAME = "bench/Noise-GGUF"
FILE = "Noise-Q8_0.gguf"
MIB = 1024 * 1024


class HubProcess:
    """The hub, and what a client must know to use it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        about = self._answer()
        self.endpoint: str = about["endpoint"]
        self.sha256: str = about["sha256"]
        self.url = f"{self.endpoint}/{NAME}/resolve/main/{FILE}"

    def since(self) -> list[tuple[int, int]]:
        """What of the file was sent since the last question: from where, and how many bytes, of each request."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [(start, sent) for start, sent in self._answer()["spans"]]

    def environment(self, folder: Path) -> dict[str, str]:
        """The environment of a client with its cache in a folder; what slmtui knows of the machine is beside that."""
        return {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "SLMTUI_HOME": str(folder.parent / "slmtui"),
        }

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextlib.contextmanager
def hub_process(file: Path, bytes_per_s: float | None = None) -> Iterator[HubProcess]:
    """Serve the file; `bytes_per_s` is what each connection gets at most."""
    command = [sys.executable, "-m", "tests.hub", NAME, str(file), str(bytes_per_s or "")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield HubProcess(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def make_noise(path: Path, size: int) -> Path:
    """A file that nothing compresses."""
    with path.open("wb") as file:
        for _ in range(0, size, MIB):
            file.write(os.urandom(MIB))
        file.truncate(size)
    return path
