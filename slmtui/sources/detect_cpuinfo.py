"""The processor's name and flags by py-cpuinfo, where the system's own files do not say them.

A call takes over a second, because py-cpuinfo starts a Python process, and that one more processes, to ask
the processor itself. So the answer is kept in a file, and thrown away when the processor is another.
"""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import msgspec

from slmtui.core.text import one_line
from slmtui.sources.atomic import write_atomically

_TIMEOUT_S = 30.0
CACHE_NAME = "cpuinfo.json"


class CpuFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What py-cpuinfo says; None and empty where it says nothing."""

    name: str | None = None
    flags: tuple[str, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    """py-cpuinfo's JSON, the fields that are used."""

    brand_raw: str | None = None
    flags: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    key: str
    facts: CpuFacts


def cpu_facts(cache_folder: Path | None, key: str) -> CpuFacts:
    """What py-cpuinfo says about this processor, from the cache where `key` is the same.

    `key` names the processor by what the system says at once. Without a folder nothing is kept; a failure of
    py-cpuinfo gives empty facts and isn't kept, a failure of the cache is passed over.
    """
    cache = cache_folder / CACHE_NAME if cache_folder is not None else None
    if cache is not None and (kept := _read(cache)) is not None and kept.key == key:
        return kept.facts
    facts = _ask()
    if cache is not None and facts != CpuFacts():
        _write(cache, _Kept(key, facts))
    return facts


def _ask() -> CpuFacts:
    """Run py-cpuinfo's script as its own `get_cpu_info` does, but with a time limit."""
    spec = importlib.util.find_spec("cpuinfo")
    if spec is None or spec.origin is None or not _is_python(sys.executable):
        return CpuFacts()
    script = Path(spec.origin).with_name("cpuinfo.py")
    try:
        done = subprocess.run(
            [sys.executable, str(script), "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return CpuFacts()
    return CpuFacts(name=one_line(answer.brand_raw or "") or None, flags=answer.flags)


def _is_python(executable: str | None) -> bool:
    """Whether `executable` runs scripts; in a frozen program it is the program itself."""
    frozen = bool(getattr(sys, "frozen", False))
    return not frozen and Path(executable or "").name.lower().startswith(("python", "pypy"))


def _read(cache: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(cache: Path, kept: _Kept) -> None:
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, msgspec.json.encode(kept))
