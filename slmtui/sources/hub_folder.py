"""Hugging Face's cache of files on this machine, which many programs share.

A repository has a folder with `blobs` (contents, named by their hash), `snapshots` (a folder a commit, in which files
have their own names and are links to blobs, or copies) and `refs` (which commit a branch was last seen at). A file that
is being downloaded lies among the blobs, and its name ends with `.incomplete`, as Hugging Face's tools expect:
`hf cache prune` clears away those that nobody finishes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from slmtui.core.hub_files import HubDataError, HubFile, checked_commit, checked_repository
from slmtui.sources.atomic import write_atomically

_CACHE_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
"""Of https://bford.info/cachedir."""
_PARTIAL = ".slmtui.incomplete"


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the cache is, by the same environment variables as for huggingface_hub, without importing that."""
    known = os.environ if environ is None else environ
    home = known.get("XDG_CACHE_HOME") or str(Path("~") / ".cache")
    home = known.get("HF_HOME") or str(Path(home) / "huggingface")
    named = known.get("HF_HUB_CACHE") or known.get("HUGGINGFACE_HUB_CACHE") or str(Path(home) / "hub")
    return Path(os.path.expandvars(os.path.expanduser(named)))  # noqa: PTH111 - as huggingface_hub, never fails


class RepositoryFolder:
    """The folder of one repository in the cache.

    Raises:
        HubDataError: that is not the name of a repository.
    """

    def __init__(self, cache: Path, repository: str) -> None:
        self.cache = cache
        self.repository = checked_repository(repository)
        self.path = cache / "--".join(["models", *repository.split("/")])

    def blob(self, file: HubFile) -> Path:
        """Where the content of a file belongs."""
        return self.path / "blobs" / file.key

    def partial(self, file: HubFile) -> Path:
        """Where the content of a file is while it is not whole; the same for every process."""
        return self.path / "blobs" / f"{file.key}{_PARTIAL}"

    def lock(self, file: HubFile) -> Path:
        """The lock of a blob, which huggingface_hub takes too."""
        return self.cache / ".locks" / self.path.name / f"{file.key}.lock"

    def snapshot(self, commit: str) -> Path:
        """The folder of one commit."""
        return self.path / "snapshots" / checked_commit(commit)

    def pointer(self, commit: str, file: HubFile) -> Path:
        """Where a file stands under its own name."""
        return self.snapshot(commit).joinpath(*file.path.split("/"))

    def has(self, commit: str, file: HubFile) -> bool:
        """Whether the file stands there, whole as far as its size tells."""
        with contextlib.suppress(OSError):
            return self.pointer(commit, file).stat().st_size == file.size_bytes
        return False

    def prepare(self) -> None:
        """Make the folder of blobs.

        Raises:
            OSError: it can't be made.
            HubDataError: a link that somebody put into the cache leads out of it.
        """
        blobs = self.path / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        self.confine(blobs)
        tag = self.cache / "CACHEDIR.TAG"
        if not tag.exists():  # backup programs leave such folders out; huggingface_hub writes the same
            with contextlib.suppress(OSError):
                write_atomically(tag, f"{_CACHE_SIGNATURE}\n# A cache of Hugging Face's hub.\n")

    def publish(self, commit: str, file: HubFile) -> Path:
        """Make the blob, which is there and whole, appear under the file's own name; return that path.

        Raises:
            OSError: it can't be written.
            HubDataError: a link that somebody put into the cache leads out of it.
        """
        pointer = self.pointer(commit, file)
        if self.has(commit, file):
            return pointer
        pointer.parent.mkdir(parents=True, exist_ok=True)
        self.confine(pointer.parent)
        fresh = pointer.with_name(f".{pointer.name[:100]}.slmtui-{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            _stand_in(fresh, self.blob(file))
            fresh.replace(pointer)
        finally:
            fresh.unlink(missing_ok=True)
        return pointer

    def remember(self, branch: str, commit: str) -> None:
        """Note which commit a branch is at, where other programs look for it.

        Raises:
            OSError: it can't be written.
        """
        reference = self.path.joinpath("refs", *branch.split("/"))
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if reference.read_text("ascii") == commit:
                return
        reference.parent.mkdir(parents=True, exist_ok=True)
        self.confine(reference.parent)
        write_atomically(reference, checked_commit(commit))

    def confine(self, folder: Path) -> None:
        """Make sure that a folder of the cache is really in it.

        Raises:
            HubDataError: a link on the way leads out of the cache.
        """
        if not folder.resolve().is_relative_to(self.cache.resolve()):
            raise HubDataError(f"{folder} leads out of the cache {self.cache} through a link; nothing is written there")

    def partials(self) -> list[Path]:
        """Every content that is not whole and came through slmtui."""
        return sorted((self.path / "blobs").glob(f"*{_PARTIAL}"))

    def pointers(self) -> Iterator[Path]:
        """Every file of every snapshot."""
        for folder, _, names in os.walk(self.path / "snapshots"):
            yield from (Path(folder) / name for name in names)


def _stand_in(path: Path, blob: Path) -> None:
    """Make `path` a symbolic link to the blob; where that can't be, another name of it; where not even that, a copy.

    Raises:
        OSError: not even a copy can be made.
    """
    if os.environ.get("HF_HUB_DISABLE_SYMLINKS", "").upper() not in ("1", "ON", "YES", "TRUE"):
        with contextlib.suppress(OSError):  # Windows without developer mode, FAT, some network shares
            path.symlink_to(os.path.relpath(blob, path.parent))
            return
        with contextlib.suppress(OSError):
            os.link(blob, path)
            return
    shutil.copyfile(blob, path)
