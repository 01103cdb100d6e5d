"""Models built from the good ones, shared by all tests of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.gguf_files import Gguf
from tests.engine.support import F16

Build = Callable[[str, Gguf], Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Writes a model under a name, once."""
    folder = tmp_path_factory.mktemp("models")

    def write(name: str, model: Gguf) -> Path:
        path = folder / name
        return path if path.exists() else model.write(path)

    return write


@pytest.fixture
def pocket() -> Gguf:
    """Pocket 5M F16, to be changed."""
    return Gguf.read(F16)


Crash = Callable[[str], Callable[[], int]]

_SITECUSTOMIZE = '''
"""Runs in every Python that is started; changes llama_cpp as soon as it is imported."""

import importlib.abc, importlib.util, os, sys, time

MODE, COUNT = os.environ["TEST_CRASH_MODE"], os.environ["TEST_CRASH_COUNT"]
if "slmtui.engine.trial" in sys.orig_argv:
    with open(COUNT, "a") as file:
        file.write("x")
    if MODE == "fast":
        print('{"devices": ["CPU"], "build": "CPU : X = 1", "decoded": [1, 8]}', flush=True)
        os._exit(0)
    if MODE == "gpu":
        print('{"devices": ["CUDA0 NVIDIA T4", "CPU"], "build": "CUDA : ARCHS = 900 | CPU : X = 1"}', flush=True)
        if "--processor" not in sys.argv:
            os.kill(os.getpid(), 6)
        print('{"decoded": [1, 8]}', flush=True)
        os._exit(0)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "llama_cpp.llama_cpp":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            if MODE == "import":
                raise OSError("libgomp is missing")
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


def change(module):
    import ctypes

    load, decode = module.llama_model_load_from_file, module.llama_decode
    repacked = []

    def llama_model_load_from_file(path, parameters):
        repacked[:] = [parameters.use_extra_bufts]
        return load(path, parameters)

    def llama_decode(context, batch):
        if MODE == "hang":
            time.sleep(600)
        if MODE == "always" or (MODE == "repacked" and repacked[0] and batch.n_tokens > 1):
            ctypes.string_at(0)
        return decode(context, batch)

    module.llama_model_load_from_file, module.llama_decode = llama_model_load_from_file, llama_decode


if MODE != "never":
    sys.meta_path.insert(0, Finder())
'''


@pytest.fixture
def crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crash:
    """Makes llama.cpp crash in every child from now on; returns how many trials were started.

    Modes: never; repacked (batches of two or more tokens, with repacked weights); always; hang; import; fast, which
    says that all is well without trying; and gpu, which says that there is one and aborts where it is used.
    """

    def begin(mode: str) -> Callable[[], int]:
        folder, count = tmp_path / "site", tmp_path / "count"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("TEST_CRASH_MODE", mode)
        monkeypatch.setenv("TEST_CRASH_COUNT", str(count))
        return lambda: len(count.read_bytes()) if count.exists() else 0

    return begin
