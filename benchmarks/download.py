"""Throughput of `slmtui pull` against `hf download` and curl, from one loopback hub, with verified bytes.

python benchmarks/download.py [--mib N] [--rounds N] [--folder PATH] [--limit-mb N]

Every program starts anew with an empty cache in its own folder and takes its turn; the order changes from round to
round. `slmtui pull` verifies the SHA-256 and has the file on disk when it ends. The others do neither, so each is given
twice: as it is, and followed by the check that belongs to it (`hf cache verify`, `openssl dgst -sha256`). The ratios
that must be at least 1.0 are those to verified bytes; no peer is made to wait for the disk. Starts are in all times, so
that a small file tells of little else: of 64 MiB three quarters are the start of Python and its modules. `--limit-mb`
is what the host gives to each connection in MB/s, as hosts far away do; without it the machine is the limit. Prints
medians of wall time, throughput and processor time, and the median of the rounds' ratios (their wall time / slmtui's):
more than 1 means that slmtui is faster.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from peers.hub_process import FILE, MIB, NAME, HubProcess, hub_process, make_noise

BIN = Path(sys.executable).parent
Took = tuple[float, float]
"""Seconds on the clock, and of processor time."""
Timed = dict[str, Took]
"""By side."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=2048, help="size of the file (default: 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, after one warm-up (default: 3)")
    parser.add_argument("--folder", type=Path, help="where files go; default: the system's temporary folder")
    parser.add_argument("--limit-mb", type=float, help="MB/s that each connection gets (default: no limit)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = make_noise(Path(folder) / FILE, options.mib * MIB)
        with hub_process(source, options.limit_mb and options.limit_mb * 1e6) as hub:
            rounds = [_round(hub, Path(folder), number) for number in range(options.rounds + 1)][1:]
    _print(rounds, options.mib * MIB)


def _round(hub: HubProcess, folder: Path, number: int) -> Timed:
    sides: list[Callable[[HubProcess, Path], Timed]] = [_slmtui, _hf, _curl]
    timed: Timed = {}
    for side in sides[number % 3 :] + sides[: number % 3]:
        own = folder / "client"
        own.mkdir()
        timed |= side(hub, own)
        shutil.rmtree(own)
        subprocess.run(["sync"], check=True)
    return timed


def _slmtui(hub: HubProcess, folder: Path) -> Timed:
    return {"slmtui": _run([sys.executable, "-m", "slmtui", "pull", "--force", NAME], hub.environment(folder))}


def _hf(hub: HubProcess, folder: Path) -> Timed:
    environment = hub.environment(folder)
    came = _run([str(BIN / "hf"), "download", NAME, FILE], environment)
    return {"hf": came, "hf, verified": _sum(came, _run([str(BIN / "hf"), "cache", "verify", NAME], environment))}


def _curl(hub: HubProcess, folder: Path) -> Timed:
    environment = hub.environment(folder)
    came = _run(["curl", "-sSfL", "-o", str(folder / FILE), hub.url], environment)
    return {
        "curl": came,
        "curl, verified": _sum(came, _run(["openssl", "dgst", "-sha256", str(folder / FILE)], environment)),
    }


def _run(command: Sequence[str], environment: Mapping[str, str]) -> Took:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _sum(one: Took, other: Took) -> Took:
    return one[0] + other[0], one[1] + other[1]


def _print(rounds: Sequence[Timed], size: int) -> None:
    print(f"{'':<16} {'s':>7} {'MB/s':>7} {'CPU s':>7}   their time / slmtui's")
    for side in ("slmtui", "hf", "hf, verified", "curl", "curl, verified"):
        seconds, processor = (statistics.median(timed[side][kind] for timed in rounds) for kind in (0, 1))
        ratio = statistics.median(timed[side][0] / timed["slmtui"][0] for timed in rounds)
        bar = " (at least 1.0)" if "verified" in side else ""
        print(f"{side:<16} {seconds:7.2f} {size / seconds / 1e6:7.0f} {processor:7.2f}   {ratio:.2f}{bar}")


if __name__ == "__main__":
    main()
