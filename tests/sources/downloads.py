"""What tests of downloads share: a hub with one model, and a download of it."""

from __future__ import annotations

import json
import os
import random
import zlib
from pathlib import Path

from slmtui.core.catalog import ModelCard, Variant
from slmtui.core.catalog import Repository as Place
from slmtui.core.hub_files import HubFile, Listing
from slmtui.sources.download import Download
from slmtui.sources.hub import Hub
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.partial import Partial
from slmtui.sources.resources import pocket_folder
from tests.hub import LoopbackHub, Repository

NAME = "somebody/Tiny-GGUF"
FILE = "Tiny-Q4_K_M.gguf"
MIB = 1024 * 1024
POCKET_BYTES = 1_440_256
"""Of the model that `weights` begins with."""

TINY = ModelCard(
    id="tiny-1b",
    name="Tiny 1B",
    family="Tiny",
    developer="Somebody",
    repositories=(
        Place(id="official/Tiny-GGUF", quantizations=("Q4_K_M", "Q8_0")),
        Place(id=NAME, quantizations=("Q4_K_M",)),
        Place(id="mlx-community/Tiny-4bit", format="MLX", quantizations=("4bit",)),
    ),
    variants=(
        Variant(quantization="Q4_K_M", file=FILE),
        Variant(quantization="Q8_0", file="Tiny-Q8_0.gguf"),
        Variant(quantization="4bit", format="MLX"),
    ),
)
"""A card whose files are in several repositories."""


def noise(size: int, seed: int = 7) -> bytes:
    """Bytes that nothing compresses, the same each time."""
    return random.Random(seed).randbytes(size)


def weights(size: int) -> bytes:
    """A GGUF file of this size with the header and the tensors of a bundled model; the rest is noise."""
    return (pocket_folder() / "pocket-2m-Q4_K_M.gguf").read_bytes() + noise(size - POCKET_BYTES)


def serve(hub: LoopbackHub, content: bytes | Path, name: str = NAME, file: str = FILE) -> Repository:
    """Put a repository with one model on the hub."""
    repository = hub.add(Repository(name))
    repository.add(file, content)
    return repository


class Attempt:
    """One download of the file, as a process would make it."""

    def __init__(self, loopback: LoopbackHub, cache: Path, *, timeout_s: float = 5.0, lines: int = 1) -> None:
        self.hub = Hub(loopback.endpoint, cache, timeout_s=timeout_s, patience_s=0.01)
        self.listing: Listing = self.hub.listing(NAME)
        self.file: HubFile = self.listing.files[0]
        self.folder = RepositoryFolder(cache, NAME)
        self.folder.blob(self.file).parent.mkdir(parents=True, exist_ok=True)
        self.partial = Partial(self.folder.partial(self.file), self.file, self.listing.commit)
        self.download = Download(self.hub.source(self.listing, self.file), self.partial, lines, patience_s=0.01)

    def run(self) -> bytes:
        """Download to the end; what the file holds then."""
        try:
            self.download.run()
        finally:
            self.partial.close()
        return self.partial.path.read_bytes()


def forget_path(partial: Path) -> None:
    """Make the notes of a partial file those of slmtui before it noted the file's path in the repository."""
    with partial.open("r+b") as opened:
        for number in (1, 2):
            start = opened.seek(-number * 4096, os.SEEK_END)
            place = opened.read(4096)
            if length := int.from_bytes(place[:4], "big"):
                note = json.loads(place[8 : 8 + length])
                note.pop("path")
                text = json.dumps(note).encode()
                record = len(text).to_bytes(4, "big") + zlib.crc32(text).to_bytes(4, "big") + text
                opened.seek(start)
                opened.write(record.ljust(4096, b"\0"))
