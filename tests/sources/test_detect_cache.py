"""The size of the last cache, from made-up system files."""

from __future__ import annotations

from pathlib import Path

from slmtui.sources.detect_cache import last_cache_bytes
from tests.sources.trees import grow


def cache(core: int, index: int, *, level: int, kind: str, size: str, shared: str) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpu{core}/cache/index{index}"
    files = {"level": str(level), "type": kind, "size": size, "shared_cpu_list": shared}
    return {f"{folder}/{name}": f"{text}\n" for name, text in files.items()}


def test_two_caches_that_two_cores_share_each(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for core in range(4):
        pair = "0-1" if core < 2 else "2-3"
        files |= cache(core, 0, level=1, kind="Data", size="48K", shared=str(core))
        files |= cache(core, 1, level=1, kind="Instruction", size="64K", shared=str(core))
        files |= cache(core, 3, level=3, kind="Unified", size="32768K", shared=pair)
    assert last_cache_bytes(grow(tmp_path, files)) == 2 * 32 * 1024**2


def test_units(tmp_path: Path) -> None:
    assert last_cache_bytes(grow(tmp_path, cache(0, 2, level=2, kind="Unified", size="2M", shared="0"))) == 2 * 1024**2


def test_instructions_do_not_count(tmp_path: Path) -> None:
    files = cache(0, 0, level=1, kind="Data", size="32K", shared="0")
    files |= cache(0, 1, level=2, kind="Instruction", size="64K", shared="0")
    assert last_cache_bytes(grow(tmp_path, files)) == 32 * 1024


def test_systems_that_do_not_say(tmp_path: Path) -> None:
    assert last_cache_bytes(tmp_path) is None
    assert last_cache_bytes(grow(tmp_path, cache(0, 0, level=2, kind="Unified", size="much", shared="0"))) is None
    assert last_cache_bytes(grow(tmp_path, {"sys/devices/system/cpu/cpu1/cache/index0/size": "32K"})) is None
