"""What tests on a real GPU share; on a machine without one all of them are skipped with the reason."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.gguf_files import Q4_0, Gguf, Tensor
from tests.engine.support import STORY
from tests.gpu.support import HOG, Graphics, Hog

_ASK = """
import json
from slmtui.engine.llama_devices import devices
print(json.dumps([[each.name, each.description, each.pci] for each in devices() if each.kind.endswith("GPU")]))
"""


@pytest.fixture(scope="session")
def all_graphics() -> list[Graphics]:
    """The GPUs that the installed llama.cpp uses; a child is asked, which gives its video memory back."""
    asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=60)
    return [Graphics(*each) for each in json.loads(asked.stdout.splitlines()[-1])] if asked.returncode == 0 else []


@pytest.fixture(scope="session")
def graphics(all_graphics: list[Graphics]) -> Graphics:
    """The first GPU, by CUDA if there is one."""
    if not all_graphics:
        pytest.skip("the installed llama.cpp can use no GPU here")
    return min(all_graphics, key=lambda each: not each.cuda)


@pytest.fixture(scope="session")
def nvidia(graphics: Graphics) -> Graphics:
    """A GPU of which NVIDIA's driver tells."""
    if not graphics.cuda:
        pytest.skip("the installed llama.cpp can use no NVIDIA GPU here")
    return graphics


@pytest.fixture(scope="session")
def pair(all_graphics: list[Graphics], graphics: Graphics) -> tuple[Graphics, Graphics]:
    """Two GPUs that one backend serves."""
    alike = [each for each in all_graphics if each.backend == graphics.backend]
    if len(alike) < 2:
        pytest.skip("the installed llama.cpp can use one GPU alone here")
    return alike[0], alike[1]


@pytest.fixture
def hog() -> Iterator[Hog]:
    """Takes video memory until only so many bytes are free, and gives it back at the end."""
    running: list[subprocess.Popen[str]] = []

    def take(keep_bytes: int) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", HOG, str(keep_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if said != "taken":
            pytest.skip(f"video memory cannot be taken here: {said}")

    yield take
    for process in running:
        process.communicate(timeout=30)  # it ends with its input


class Hole(bytes):
    """Zero bytes that take no memory; a file of them is a hole."""

    length: int

    def __new__(cls, length: int) -> Hole:
        """So many bytes."""
        made = super().__new__(cls)
        made.length = length
        return made

    def __len__(self) -> int:
        return self.length

    def count(self, *_: object) -> int:
        """All of them are zero."""
        return self.length


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of five layers with 400 MiB of zero weights each, in a file that is a hole."""
    model = Gguf.read(STORY)
    inner = 400 * 1024**2 // (3 * 64) * 32 // 18 // 32 * 32
    model.set("llama.feed_forward_length", inner)
    for name, tensor in model.tensors.items():
        if "ffn_" in name and "norm" not in name:
            shape = (inner, 64) if "down" in name else (64, inner)
            model.tensors[name] = Tensor(shape, Q4_0, Hole(inner * 64 // 32 * 18))
            assert len(tensor.shape) == 2
    return model.write(tmp_path_factory.mktemp("wide") / "wide.gguf")
