"""A loopback hub in a process of its own, for benchmarks: `python -m tests.hub OWNER/NAME FILE [BYTES_PER_S]`.

Its first line of standard output is a JSON object: `endpoint`, `storage` and `sha256`. Each line that it reads is
answered with another one, the `spans` of the file that were sent since the last: from where, and how many bytes. It
ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.hub import LoopbackHub, Repository


def main(name: str, file: str, bytes_per_s: str = "") -> None:
    with LoopbackHub() as hub:
        hub.bytes_per_s = float(bytes_per_s) if bytes_per_s else None
        content = hub.add(Repository(name)).add(Path(file).name, Path(file))
        tell({"endpoint": hub.endpoint, "storage": hub.storage, "sha256": content.sha256})
        for _ in sys.stdin:
            tell({"spans": [asked.span for asked in hub.downloads()]})
            hub.asked.clear()


def tell(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


main(*sys.argv[1:])
