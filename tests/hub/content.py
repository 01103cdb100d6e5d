"""Repositories that a loopback hub serves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

SMALL_BYTES = 100_000
"""Larger files, and all models, are in large file storage."""


@dataclass(frozen=True)
class Content:
    """The bytes of one file, in memory or on disk."""

    source: bytes | Path
    known_sha256: str | None = None

    @cached_property
    def size(self) -> int:
        return self.source.stat().st_size if isinstance(self.source, Path) else len(self.source)

    @cached_property
    def sha256(self) -> str:
        if self.known_sha256 is not None:
            return self.known_sha256
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(self.source).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git keeps in place of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    def blob(self, *, large: bool) -> str:
        """Git's hash."""
        body = self.pointer if large else self.read(0, self.size)
        return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()

    def read(self, start: int, end: int) -> bytes:
        if isinstance(self.source, bytes):
            return self.source[start:end]
        with self.source.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


@dataclass
class Repository:
    """One repository; tests may change it while it is served."""

    id: str
    files: dict[str, Content] = field(default_factory=dict)
    commit: str = ""
    gated: bool = False
    """Whether only `LoopbackHub.token` may download."""
    private: bool = False
    """Whether only `LoopbackHub.token` may know of it."""
    card: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    downloads: int = 0
    extra: list[dict[str, Any]] = field(default_factory=list)
    """Files that are listed and are not there, as the hub's JSON would name them."""

    def __post_init__(self) -> None:
        self.commit = self.commit or hashlib.sha1(self.id.encode()).hexdigest()

    def add(self, path: str, source: bytes | Path, sha256: str | None = None) -> Content:
        """Put a file in; a hash that is known already need not be computed."""
        self.files[path] = Content(source, sha256)
        return self.files[path]

    def is_large(self, path: str) -> bool:
        """Whether the file is in large file storage."""
        return path.endswith((".gguf", ".safetensors")) or self.files[path].size > SMALL_BYTES

    def document(self, *, blobs: bool) -> dict[str, Any]:
        """What the hub's API says of it."""
        return {
            "id": self.id,
            "modelId": self.id,
            "author": self.id.partition("/")[0],
            "sha": self.commit,
            "lastModified": "2026-11-01T00:00:00.000Z",
            "createdAt": "2026-10-01T00:00:00.000Z",
            "private": self.private,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "downloads": self.downloads,
            "likes": 1,
            "tags": list(self.tags),
            "cardData": self.card,
            "siblings": [self._sibling(path, blobs=blobs) for path in self.files] + self.extra,
        }

    def tree(self) -> list[dict[str, Any]]:
        """The same as the hub's listing of a tree."""
        entries = []
        for path, content in self.files.items():
            large = self.is_large(path)
            entry: dict[str, Any] = {
                "type": "file",
                "path": path,
                "size": content.size,
                "oid": content.blob(large=large),
            }
            if large:
                entry["lfs"] = {"oid": content.sha256, "size": content.size, "pointerSize": len(content.pointer)}
            entries.append(entry)
        return entries

    def _sibling(self, path: str, *, blobs: bool) -> dict[str, Any]:
        if not blobs:
            return {"rfilename": path}
        content, large = self.files[path], self.is_large(path)
        entry: dict[str, Any] = {"rfilename": path, "size": content.size, "blobId": content.blob(large=large)}
        if large:
            entry["lfs"] = {"sha256": content.sha256, "size": content.size, "pointerSize": len(content.pointer)}
        return entry
