"""llama.cpp's own llama-bench, built from the sources that llama-cpp-python's source distribution carries."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from peers.shapes import Settings, Shape

PACKAGE = "llama-cpp-python"
_TAIL_CHARS = 2000


class Build:
    """A folder in which one version of llama-bench is built with one compiler and its flags, once."""

    def __init__(self, folder: Path) -> None:
        self._version = version(PACKAGE)
        self._environment = _compiler_environment()
        told = [self._version, _compiler(), *(self._environment.get(name, "") for name in ("CFLAGS", "CMAKE_ARGS"))]
        self._home = folder / f"llama-bench-{self._version}-{hashlib.sha256(repr(told).encode()).hexdigest()[:8]}"

    @property
    def program(self) -> Path:
        """Where the program is once it is built."""
        return self._home / "build" / "bin" / ("llama-bench.exe" if os.name == "nt" else "llama-bench")

    def make(self) -> Path:
        """The program, built unless it is there.

        Raises:
            SystemExit: a step failed; says which and shows the end of its output.
        """
        if self.program.exists():
            return self.program
        say = f"Building llama-bench {self._version} in {self._home}: once, about 5 minutes on 2 cores."
        print(say, file=sys.stderr, flush=True)
        self._home.mkdir(parents=True, exist_ok=True)
        sources = self._sources()
        cmake, ninja = self._tools()
        self._run(
            [
                cmake, "-S", str(sources), "-B", str(self._home / "build"), "-G", "Ninja",
                f"-DCMAKE_MAKE_PROGRAM={ninja}",
                "-DCMAKE_BUILD_TYPE=Release",
                "-DLLAMA_BUILD_TOOLS=ON",
                "-DLLAVA_BUILD=OFF",  # the tools bring it in again
                f"-DSKBUILD_PLATLIB_DIR={self._home / 'unused'}",  # nothing is installed
                *shlex.split(os.environ.get("CMAKE_ARGS", "")),
            ]
        )  # fmt: skip
        jobs = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self._run([cmake, "--build", str(self._home / "build"), "--target", "llama-bench", "-j", jobs])
        return self.program

    def _sources(self) -> Path:
        """The unpacked source distribution of the installed version."""
        unpacked = self._home / f"{PACKAGE.replace('-', '_')}-{self._version}"
        if (unpacked / "complete").exists():
            return unpacked
        wanted = f"{PACKAGE}=={self._version}"
        self._run([*_pip(), "download", "--no-binary", PACKAGE, "--no-deps", "--dest", str(self._home), wanted])
        archive = self._home / f"{unpacked.name}.tar.gz"
        with tarfile.open(archive) as packed:
            packed.extractall(self._home, filter="data")
        archive.unlink()
        (unpacked / "complete").touch()
        return unpacked

    def _tools(self) -> tuple[str, str]:
        """Paths of cmake and ninja: the system's, else PyPI's in a folder of their own."""
        own = self._home / "tools"
        self._environment["PYTHONPATH"] = str(own)  # what the wheels' starters import
        path = os.pathsep.join([os.environ.get("PATH", ""), str(own / "bin")])
        missing = [name for name in ("cmake", "ninja") if shutil.which(name, path=path) is None]
        if missing:
            self._run([*_pip(), "install", "--target", str(own), *missing])
        found = [shutil.which(name, path=path) for name in ("cmake", "ninja")]
        if not all(found):
            raise SystemExit("llama-bench cannot be built: cmake and ninja are not here. Install both.")
        return str(found[0]), str(found[1])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            raise SystemExit(f"llama-bench cannot be built, {shlex.join(command)} ended with:\n{_tail(done.stdout)}")


class LlamaBench:
    """Readings of one model; each call is a process of its own."""

    def __init__(self, program: Path, model: Path, settings: Settings) -> None:
        self._program, self._model, self._settings = program, model, settings

    async def speeds(self, shape: Shape, repetitions: int) -> list[float]:
        """Tokens per second of each repetition by llama-bench's clock, after its own warm-up.

        Raises:
            SystemExit: it failed; shows the end of its output.
        """
        found = await self._run(shape, repetitions)
        assert list(found) == [shape], f"llama-bench measured {[one.label for one in found]} instead of {shape.label}"
        return found[shape]

    async def both(self, prompt: int, generated: int, repetitions: int) -> dict[Shape, list[float]]:
        """The same of a prompt and of an answer, each from depth 0, in one process that loads the model once.

        Raises:
            SystemExit: it failed; shows the end of its output.
        """
        return await self._run(Shape(prompt, generated, 0), repetitions)

    async def _run(self, lengths: Shape, repetitions: int) -> dict[Shape, list[float]]:
        process = await asyncio.create_subprocess_exec(
            self._program, *self._arguments(lengths, repetitions),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complaint = await process.communicate()
        if process.returncode:
            raise SystemExit(f"llama-bench ended with code {process.returncode}:\n{_tail(complaint.decode())}")
        rows = [json.loads(line) for line in said.splitlines()]
        return {
            Shape(row["n_prompt"], row["n_gen"], row["n_depth"]): [float(speed) for speed in row["samples_ts"]]
            for row in rows
        }

    def _arguments(self, shape: Shape, repetitions: int) -> list[str]:
        settings = self._settings
        return [
            "--model", str(self._model),
            "--n-prompt", str(shape.prompt),
            "--n-gen", str(shape.generated),
            "--n-depth", str(shape.depth),
            "--repetitions", str(repetitions),
            "--threads", str(settings.threads),
            "--batch-size", str(settings.batch),
            "--ubatch-size", str(settings.micro_batch),
            "--cache-type-k", "f16",
            "--cache-type-v", "f16",
            "--flash-attn", settings.flash_attention,
            *self._placed(),
            "--output", "jsonl",
        ]  # fmt: skip

    def _placed(self) -> list[str]:
        """All on one GPU, or nothing on any."""
        if self._settings.device is not None:
            return ["--n-gpu-layers", "999", "--device", self._settings.device]
        return ["--n-gpu-layers", "0", "--device", "none", "--no-kv-offload", "1", "--no-op-offload", "1"]


def _compiler_environment() -> dict[str, str]:
    """The environment in which the Makefile builds llama-cpp-python."""
    flags = "-fno-dse" if "Free Software Foundation" in _compiler() else ""
    added = {name: f"{flags} {os.environ.get(name, '')}".strip() for name in ("CFLAGS", "CXXFLAGS")}
    return {**os.environ, **added}


def _compiler() -> str:
    """What the C compiler says about itself; nothing where there is none."""
    try:
        return subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True).stdout
    except OSError:
        return ""


def _pip() -> list[str]:
    """pip, which an environment made by uv does not have.

    Raises:
        SystemExit: neither is here.
    """
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise SystemExit("llama-bench cannot be built: pip is not here. Run `python -m ensurepip` first.")


def _tail(output: str) -> str:
    return output.strip()[-_TAIL_CHARS:]
