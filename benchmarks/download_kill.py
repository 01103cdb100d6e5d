"""What a killed download costs: `slmtui pull` is killed with SIGKILL at random moments, and then finishes.

python benchmarks/download_kill.py [--mib N] [--kills N] [--seed N] [--folder PATH]

Prints how much was on disk at the kills, how much of that the next process asked for again over the network, and how
much it read again to hash it: each at most 1 % of what was on disk. The file must be byte-identical at the end. What
was on disk is found by comparing the partial file with the source, what is asked for is told by the hub, and reading is
counted by the system (`rchar` of /proc/PID/io, less what a start without a download reads). Linux only.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from peers.hub_process import FILE, MIB, NAME, HubProcess, hub_process, make_noise

from slmtui.core.spans import Spans

LIMIT_FRAC = 0.01
"""What may be asked for again, or read again, of what was on disk."""
BLOCK_BYTES = 64 * 1024
PULL = (sys.executable, "-m", "slmtui", "pull", "--force", NAME)


class Client:
    """The program in its own folder, and what it cost so far in bytes."""

    def __init__(self, hub: HubProcess, source: Path, folder: Path) -> None:
        self.hub, self.source, self.folder = hub, source, folder
        self.on_disk = self.asked_again = self.read = self.kills = 0
        self.here = Spans()
        """What was on disk at the last kill."""

    def run(self, *more: str) -> int:
        """Run it to its end; what it read."""
        process = self._start([*PULL, *more])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        read = _read(process.pid)
        if process.wait():
            raise SystemExit("slmtui pull failed")
        return read

    def kill_at(self, moment: int, delay_s: float) -> None:
        """Download until about `moment` bytes are on disk, wait a little, and kill."""
        process = self._start(PULL)
        while process.poll() is None and self._allocated() < moment:
            time.sleep(0.001)
        time.sleep(delay_s)
        self.read += _read(process.pid)
        process.kill()
        if process.wait() == 0:
            raise SystemExit("the download ended before it could be killed; make the file larger")
        self.kills += 1
        self.count_asked()
        self.here = _common(self._partial(), self.source)
        self.on_disk += self.here.total

    def count_asked(self) -> None:
        """Count what was sent since the last time although it was on disk."""
        for start, sent in self.hub.since():
            both = [(max(start, begin), min(start + sent, end)) for begin, end in self.here]
            self.asked_again += sum(max(0, end - begin) for begin, end in both)

    def result(self) -> Path:
        """The file that came."""
        (came,) = self.folder.glob("hf/hub/models--*/snapshots/*/*.gguf")
        return came

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, env=self.hub.environment(self.folder), stdout=nowhere, stderr=nowhere)

    def _partial(self) -> Path | None:
        return next(iter(self.folder.glob("hf/hub/models--*/blobs/*.incomplete")), None)

    def _allocated(self) -> int:
        partial = self._partial()
        return partial.stat().st_blocks * 512 if partial else 0


def main() -> None:
    """Kill, finish, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=2048, help="size of the file (default: 2048)")
    parser.add_argument("--kills", type=int, default=20, help="how often (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--folder", type=Path, help="where files go; default: the system's temporary folder")
    options = parser.parse_args()
    size, chance = options.mib * MIB, random.Random(options.seed)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = make_noise(Path(folder) / FILE, size)
        with hub_process(source) as hub:
            client = Client(hub, source, Path(folder) / "client")
            start_alone = client.run("--dry-run")
            for moment in sorted(chance.randrange(size * 95 // 100) for _ in range(options.kills)):
                client.kill_at(moment, chance.uniform(0, 0.05))
            client.read += client.run()
            client.count_asked()
            same = filecmp.cmp(source, client.result(), shallow=False)
    read_again = max(0, client.read - (client.kills + 1) * start_alone - size)
    raise SystemExit(_print(client, size, read_again, same=same))


def _print(client: Client, size: int, read_again: int, *, same: bool) -> int:
    average = client.on_disk / client.kills
    print(f"{client.kills} kills of a download of {size / 1e9:.2f} GB, with {average / 1e9:.2f} GB on disk on average")
    print(f"byte-identical    {'yes' if same else 'NO'}")
    shares = {"asked for again": client.asked_again, "read again": read_again}
    for name, count in shares.items():
        share = count / client.on_disk
        print(f"{name:<17} {count / 1e6:.1f} MB, {share:.3%} of what was on disk (at most {LIMIT_FRAC:.0%})")
    return 0 if same and max(shares.values()) <= LIMIT_FRAC * client.on_disk else 1


def _common(partial: Path | None, source: Path) -> Spans:
    """What of the source is in the partial file."""
    spans = Spans()
    if partial is None:
        return spans
    with partial.open("rb") as ours, source.open("rb") as theirs:
        at = 0
        while block := theirs.read(BLOCK_BYTES):
            if ours.read(len(block)) == block:
                spans.add(at, at + len(block))
            at += len(block)
    return spans


def _read(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


if __name__ == "__main__":
    main()
