"""Deletes files from Hugging Face's cache: names, contents and folders that nothing is left in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from slmtui.core.hub_files import HubFile
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.locks import locked


def remove(folder: RepositoryFolder, names: Iterable[Path], keys: Iterable[str] = ()) -> int:
    """Delete files of snapshots with every other name of theirs in the repository, and return the bytes set free.

    `keys` are the blobs' names, where they are known; they matter where names are copies and not links.

    Raises:
        OSError: one of them can't be deleted.
        HubDataError: the repository's folder is not in the cache.
    """
    folder.confine(folder.path)
    blobs = {folder.path / "blobs" / key for key in keys}
    for name in names:
        blobs |= {blob for blob in _blobs(folder) if name.exists() and blob.samefile(name)}
        name.unlink(missing_ok=True)
    freed = 0
    for blob in blobs:
        for name in folder.pointers():
            if name.is_symlink() and name.resolve() == blob.resolve():
                name.unlink()
        with contextlib.suppress(FileNotFoundError):
            freed += blob.lstat().st_size
            blob.unlink()
    _sweep(folder)
    return freed


def discard(folder: RepositoryFolder, files: Iterable[HubFile]) -> None:
    """Delete what is there of files that are not whole, unless another process downloads them just now.

    Raises:
        OSError: it can't be deleted.
    """
    for file in files:
        with contextlib.suppress(TimeoutError), locked(folder.lock(file), 0.1):
            folder.partial(file).unlink(missing_ok=True)
    _sweep(folder)


def _blobs(folder: RepositoryFolder) -> list[Path]:
    blobs = folder.path / "blobs"
    return [path for path in blobs.iterdir() if path.exists()] if blobs.is_dir() else []


def _sweep(folder: RepositoryFolder) -> None:
    """Remove folders that hold nothing, and all of the repository's when no content is left."""
    for snapshot in sorted((folder.path / "snapshots").rglob("*"), reverse=True):
        if snapshot.is_dir() and not snapshot.is_symlink():
            with contextlib.suppress(OSError):  # it holds something
                snapshot.rmdir()
    if folder.path.is_dir() and not _blobs(folder) and not any(folder.pointers()):
        shutil.rmtree(folder.path)
        shutil.rmtree(folder.cache / ".locks" / folder.path.name, ignore_errors=True)
