"""The commands that install another build of llama-cpp-python, for this machine.

Wheels and what they need are those of llama-cpp-python's README for 0.3.36.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from slmtui.core.installs import REINSTALL, install_command
from slmtui.core.machine import Installer

LLAMA_PACKAGE = "llama-cpp-python>=0.3.36,<0.3.37"
"""What to install; the same bounds stand in pyproject.toml."""
_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"

Version = tuple[int, int]


class _Wheel(msgspec.Struct, frozen=True):
    """One of upstream's indexes: which CUDA its builds are made with, and which processors they serve."""

    cuda: Version
    oldest: Version
    newest: Version = (99, 0)

    @property
    def name(self) -> str:
        """As it stands in the address: cu124."""
        return f"cu{self.cuda[0]}{self.cuda[1]}"


_WHEELS = (
    _Wheel((13, 2), (7, 5)),
    _Wheel((13, 0), (7, 5)),
    *(_Wheel((12, minor), (6, 0)) for minor in (5, 4, 3, 2, 1)),
    _Wheel((11, 8), (6, 0), (8, 9)),
)
_SINCE: Mapping[Version, Version] = {
    (8, 6): (11, 1),
    (8, 8): (13, 0),
    (8, 9): (11, 8),
    (9, 0): (11, 8),
    (10, 0): (12, 8),
    (10, 3): (12, 9),
    (11, 0): (13, 0),
    (12, 0): (12, 8),
    (12, 1): (12, 9),
}
"""The first toolkit that compiles for a compute capability; those that are not here are older than any in use.

By `ptxas --help` of NVIDIA's packages 11.8, 12.4, 12.6, 12.8, 12.9 and 13.0, as `_oldest`; 11.1 by
https://reviews.llvm.org/D88668.
"""
_LAST_FOR_OLD: Version = (12, 9)
"""The last toolkit before the one that dropped all below compute capability 7.5."""
_USUAL: Version = (12, 4)
"""What a driver is taken to speak that does not say."""
_WHEELS_FOR = frozenset({"x86_64", "amd64"})


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that a CUDA build is for; None where nobody says."""

    windows: bool = False
    architecture: str | None = None
    """Of the processor: "x86_64", "arm64"."""
    cuda: str | None = None
    """The newest CUDA that the driver speaks: "13.0"."""
    capabilities: tuple[str, ...] = ()
    """Compute capability of each NVIDIA processor: "8.9"."""
    nvcc: str | None = None
    """Path of the toolkit's compiler; None where no toolkit is installed."""
    toolkit: str | None = None
    """The toolkit's version: "13.0"."""
    installer: Installer | None = None
    keeps_stores: bool = False
    """Whether GCC is told to keep stores that it takes for dead: those of AMX are not, and GCC 12 drops them."""


def build(target: Target, option: str | None = None, more: str = "") -> str:
    """The command that compiles llama.cpp, with one more backend; `more` are further arguments of CMake."""
    variables = {"CFLAGS": "-fno-dse", "CXXFLAGS": "-fno-dse"} if target.keeps_stores else {}
    if option is not None:
        variables["CMAKE_ARGS"] = f"-D{option}=on{more}"
    arguments = f'{REINSTALL} --no-binary llama-cpp-python "{LLAMA_PACKAGE}"'
    return install_command(target.installer, arguments, variables, windows=target.windows)


def wheel(target: Target, kind: str, *also: str) -> str:
    """The command that installs a ready-made wheel of upstream's index, and other packages beside it."""
    packages = " ".join(f'"{name}"' for name in (LLAMA_PACKAGE, *also))
    arguments = f"{REINSTALL} --only-binary llama-cpp-python {packages} --extra-index-url {_INDEX}/{kind}"
    return install_command(target.installer, arguments, windows=target.windows)


def cuda_sentence(target: Target) -> str:
    """What to do so that llama.cpp can use the NVIDIA processors of this machine: one command where one is known."""
    speaks = _version(target.cuda)
    if speaks is not None and speaks < _WHEELS[-1].cuda:
        return f"Update the NVIDIA driver: it speaks CUDA {target.cuda}, and llama.cpp needs 11.8 or newer."
    if target.nvcc is not None and _serves(target, _version(target.toolkit)):
        toolkit = f"CUDA {target.toolkit}" if target.toolkit else "the CUDA toolkit"
        return f"Build it with {toolkit}, which is installed here: {_cuda_build(target)}"
    found = _cuda_wheel(target)
    if found is not None and target.windows:  # the engine looks into CUDA_PATH there, and not into Python's packages
        return (
            f"Install NVIDIA's CUDA toolkit {_words(found.cuda)}, whose libraries the engine takes, and the wheel"
            f" for it: {wheel(target, found.name)}"
        )
    if found is not None:
        return f"Install the wheel for CUDA {_words(found.cuda)}: {wheel(target, found.name, *_runtime(found))}"
    return (
        "There is no ready-made wheel for this machine: install NVIDIA's CUDA toolkit"
        f"{_toolkit_to_install(target)}, then {_cuda_build(replace(target, nvcc=None))}"
    )


def _cuda_build(target: Target) -> str:
    """Code for the machine's own processors only, which compiles several times faster than code for all."""
    architectures = ";".join(dict.fromkeys(one.replace(".", "") for one in target.capabilities))
    more = f" -DCMAKE_CUDA_ARCHITECTURES={architectures}" if architectures else ""
    if target.nvcc is not None and not target.windows:
        more += f" -DCMAKE_CUDA_COMPILER={shlex.quote(target.nvcc)}"  # scikit-build-core splits them by shlex
    return build(target, "GGML_CUDA", more)


def _cuda_wheel(target: Target) -> _Wheel | None:
    """The newest that every processor can use and the driver has caught up with.

    Wheels hold code that the driver translates when it is first used, and no driver reads that of a newer CUDA.
    """
    if target.architecture is not None and target.architecture.lower() not in _WHEELS_FOR:
        return None
    newest, capabilities = _version(target.cuda) or _USUAL, [_version(one) for one in target.capabilities]
    for each in _WHEELS:
        if each.cuda <= newest and all(one is None or each.oldest <= one <= each.newest for one in capabilities):
            return each
    return None


def _runtime(found: _Wheel) -> tuple[str, str]:
    """NVIDIA's own packages of the libraries that the wheel needs and does not have; they stand in for a toolkit."""
    major = found.cuda[0]
    if major >= 13:
        return f"nvidia-cuda-runtime>={major},<{major + 1}", f"nvidia-cublas>={major},<{major + 1}"
    return f"nvidia-cuda-runtime-cu{major}", f"nvidia-cublas-cu{major}"


def _toolkit_to_install(target: Target) -> str:
    """Its number after a blank, the newest that serves; empty where none is known to."""
    newest = _version(target.cuda)
    served = [one for one in (newest, _LAST_FOR_OLD) if one is not None and _serves(target, one)]
    return f" {_words(served[0])}" if newest is not None and served else ""


def _serves(target: Target, toolkit: Version | None) -> bool:
    """Whether a toolkit compiles for every processor, and the driver runs that; where nobody says, it does.

    A driver runs machine code made with any CUDA of its own generation, and nothing of a later one.
    """
    if toolkit is None:
        return True
    newest, capabilities = _version(target.cuda), [_version(one) for one in target.capabilities]
    return (newest is None or toolkit[0] <= newest[0]) and all(
        one is None or (_oldest(toolkit) <= one and _SINCE.get(one, toolkit) <= toolkit) for one in capabilities
    )


def _oldest(toolkit: Version) -> Version:
    """The oldest compute capability that a toolkit compiles for."""
    if toolkit >= (13, 0):
        return (7, 5)
    return (5, 0) if toolkit >= (12, 0) else (3, 5)


def _words(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _version(words: str | None) -> Version | None:
    major, _, minor = (words or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
