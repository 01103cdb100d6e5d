"""Single tokens by the compiled loop and by Python's, which must be the same to whoever measures."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from slmtui.engine import llama_library, llama_steps
from slmtui.engine.evaluator import CancelledError
from slmtui.engine.llama_evaluate import Evaluator
from slmtui.engine.llama_library import StopCell
from slmtui.engine.llama_model import open_model
from slmtui.engine.llama_steps import compiled
from slmtui.engine.protocol import Load
from tests.engine.support import F16

TOKENS = list(range(20, 80))
with_a_compiler = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("cc") is None, reason="needs a C compiler; nothing is compiled on Windows"
)


@pytest.fixture
def evaluator(request: pytest.FixtureRequest) -> Iterator[Evaluator]:
    """By the compiled loop, or, where a test says so, by Python's."""
    if getattr(request, "param", None) == "Python":
        request.getfixturevalue("by_python")
    opened = open_model(Load(path=str(F16), threads=1, context=256))
    yield Evaluator(opened, StopCell(opened.bindings))
    opened.close()


@pytest.fixture
def by_python(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where nothing was compiled."""
    monkeypatch.setattr(llama_steps, "LIBRARY", Path("there", "is", "no", "such.so"))
    compiled.cache_clear()
    yield
    compiled.cache_clear()


@with_a_compiler
def test_it_was_compiled_when_the_package_was_installed() -> None:
    assert compiled(llama_library.load()) is not None


@pytest.mark.usefixtures("by_python")
def test_without_the_library_there_is_no_compiled_loop() -> None:
    assert compiled(llama_library.load()) is None


@with_a_compiler
def test_a_library_of_another_version_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, library = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text("int other_function(void) { return 1; }\n", encoding="utf-8")
    assert load_tool().compiled(source, library) is None
    monkeypatch.setattr(llama_steps, "LIBRARY", library)
    assert compiled.__wrapped__(llama_library.load()) is None


@pytest.mark.parametrize("evaluator", ["compiled", "Python"], indirect=True)
def test_each_token_is_evaluated_once_and_told_when(evaluator: Evaluator) -> None:
    evaluator.prefill(TOKENS, 64, None)
    wanted = evaluator.logits(1).copy()
    evaluator.clear()
    started = time.perf_counter()
    at = list(evaluator.stepped(TOKENS))
    assert len(at) == len(TOKENS)
    assert all(earlier < later for earlier, later in pairwise([started, *at, time.perf_counter()]))
    assert evaluator.cached == TOKENS
    assert abs(evaluator.logits(1) - wanted).max() < 0.05


@pytest.mark.parametrize("evaluator", ["compiled", "Python"], indirect=True)
def test_a_stop_ends_it_and_leaves_a_cache_that_can_be_used(evaluator: Evaluator) -> None:
    assert len(list(evaluator.stepped(TOKENS[:5]))) == 5
    evaluator.stop.set()
    with pytest.raises(CancelledError):
        list(evaluator.stepped(TOKENS[5:]))
    evaluator.stop.clear()
    assert evaluator.cached == TOKENS[:5]
    assert len(list(evaluator.stepped(TOKENS[5:]))) == len(TOKENS) - 5
    assert evaluator.cached == TOKENS


def test_it_comes_back_in_time_and_goes_on_where_it_was(evaluator: Evaluator) -> None:
    steps = compiled(evaluator.bindings)
    if steps is None:
        pytest.skip("nothing was compiled")
    ids = (evaluator.bindings.llama_token * len(TOKENS))(*TOKENS)
    at, code = steps.run(evaluator.context, ids, 0, until_s=0.0)
    assert (len(at), code) == (1, 0), "one token, so that it always gets on"
    rest, code = steps.run(evaluator.context, ids, 1, until_s=time.perf_counter() + 3600)
    assert (len(rest), code) == (len(TOKENS) - 1, 0)
    assert at[0] < rest[0]
    nothing, code = steps.run(
        evaluator.context, (evaluator.bindings.llama_token * 300)(), 0, time.perf_counter() + 3600
    )
    assert (len(nothing), code) == (256 - len(TOKENS), 1), "llama.cpp's code for a full context"


class Longer(ctypes.Structure):
    """A batch with one field more."""

    _fields_ = (*(llama_library.load().llama_batch._fields_), ("more", ctypes.c_void_p))


class Swapped(ctypes.Structure):
    """A batch with two fields in another order."""

    _fields_ = tuple(llama_library.load().llama_batch._fields_[place] for place in (0, 1, 2, 4, 3, 5, 6))


@pytest.mark.parametrize("batch", [Longer, Swapped])
def test_a_llama_cpp_with_another_batch_is_left_to_python(batch: type[ctypes.Structure]) -> None:
    real = llama_library.load()
    other = SimpleNamespace(llama_batch=batch, llama_decode=real.llama_decode, llama_synchronize=real.llama_synchronize)
    assert compiled.__wrapped__(other) is None


@with_a_compiler
def test_a_build_compiles_it_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = load_tool()
    library, source = tmp_path / "steps.so", Path(llama_steps.__file__).with_name("steps.c")
    assert tool.compiled(source, library) is None
    assert ctypes.CDLL(str(library)).slmtui_steps
    wrong = tmp_path / "wrong.c"
    wrong.write_text("this is no C\n", encoding="utf-8")
    assert tool.compiled(wrong, library)
    assert not library.exists(), "what an earlier build left would not be of this source"
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    assert "no-such-compiler" in tool.compiled(source, library)
    assert list(tmp_path.iterdir()) == [wrong]


@with_a_compiler
def test_a_python_that_was_built_with_another_compiler_does_with_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "no-such-clang -pthread")
    library, source = tmp_path / "steps.so", Path(llama_steps.__file__).with_name("steps.c")
    assert load_tool().compiled(source, library) is None
    assert library.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is compiled there")
@pytest.mark.parametrize("compiler", ["'cc", "sh -c 'echo >&2; exit 1'", "sh -c 'exit 1'"])
def test_a_compiler_that_says_nothing_does_not_end_a_build(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert load_tool().compiled(tmp_path / "steps.c", tmp_path / "steps.so")


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is compiled there")
def test_a_source_tree_that_cannot_be_written_does_not_end_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(path: Path, missing_ok: bool = False) -> None:
        """As a file system that is mounted read-only does it, whether the file is there or not."""
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    assert load_tool().compiled(tmp_path / "steps.c", tmp_path / "steps.so")


def load_tool() -> ModuleType:
    """The build's hook, which is in no package."""
    import importlib.util

    path = Path(__file__).parents[2] / "tools" / "compile_steps.py"
    spec = importlib.util.spec_from_file_location("compile_steps", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
