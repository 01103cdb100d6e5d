"""Brings one file of a hub into Hugging Face's cache, once: a process that wants the same file waits for the first."""

from __future__ import annotations

import contextlib
from pathlib import Path

from slmtui.core.hub_files import HubFile, Listing
from slmtui.sources.download import Download
from slmtui.sources.fetch import StoppedError
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.locks import locked
from slmtui.sources.partial import Partial, any_note, read_note

_POLL_S = 0.2


class Pull:
    """One file on its way; `run` is for a thread, everything else for any."""

    def __init__(self, hub: Hub, listing: Listing, file: HubFile) -> None:
        """Nothing is asked or written yet."""
        self.file = file
        self._hub, self._listing = hub, listing
        self._folder = RepositoryFolder(hub.cache, listing.repository)
        self._download: Download | None = None
        self._stopped = False
        self.waits = False
        """Whether another process downloads this file just now."""

    @property
    def done_bytes(self) -> int:
        """How much of the file is here, whoever brings it."""
        if self._download is not None:
            return self._download.done_bytes
        return here_bytes(self._folder, self._listing.commit, self.file)

    @property
    def remark(self) -> str | None:
        """Why nothing comes at the moment; None while something comes."""
        if self.waits:
            return "another program downloads this file; waiting for it"
        return self._download.remark if self._download is not None else None

    def run(self) -> Path:
        """Have the whole file, verified, under its own name in the cache, and return its path.

        Raises:
            StoppedError: `stop` was called; what came stays and is gone on with another time.
            HubError: it can't be had, or is not what the hub lists.
            HubDataError: a link in the cache leads out of it.
            OSError: it can't be written.
        """
        folder, commit, file = self._folder, self._listing.commit, self.file
        if folder.has(commit, file):
            return self._publish()
        blob = folder.blob(file)
        folder.prepare()
        with contextlib.ExitStack() as stack:
            self._lock(stack)
            if not _whole(blob, file):
                partial = Partial(folder.partial(file), file, commit)
                try:
                    self._download = Download(
                        self._hub.source(self._listing, file), partial, patience_s=self._hub.patience_s
                    )
                    if self._stopped:
                        raise StoppedError
                    self._download.run()
                except HubError as error:
                    if error.kind == "gated":
                        raise self._hub.gated(self._listing.repository) from error
                    raise
                finally:
                    partial.close()
                partial.path.replace(blob)
            return self._publish()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped = True
        if self._download is not None:
            self._download.stop()

    def _publish(self) -> Path:
        """Give the content its name, and note which commit the branch is at."""
        path = self._folder.publish(self._listing.commit, self.file)
        if self._listing.branch is not None:
            with contextlib.suppress(OSError):  # a cache that can be read only, with the file in it
                self._folder.remember(self._listing.branch, self._listing.commit)
        return path

    def _lock(self, stack: contextlib.ExitStack) -> None:
        """Wait until this process is the only one that writes the file.

        Raises:
            StoppedError: `stop` was called meanwhile.
        """
        while not self._stopped:
            try:
                stack.enter_context(locked(self._folder.lock(self.file), _POLL_S))
            except TimeoutError:
                self.waits = True
            else:
                self.waits = False
                return
        raise StoppedError


def here_bytes(folder: RepositoryFolder, commit: str, file: HubFile) -> int:
    """How much of a file is in the cache."""
    if folder.has(commit, file) or _whole(folder.blob(file), file):
        return file.size_bytes
    note = read_note(folder.partial(file), file)
    return note.done_bytes if note is not None else 0


def interrupted(folder: RepositoryFolder) -> dict[HubFile, int]:
    """Files of a repository that came in part, each with how many of its bytes are here."""
    found: dict[HubFile, int] = {}
    for path in folder.partials():
        if (note := any_note(path)) is not None:
            file = HubFile(path=note.path, size_bytes=note.size_bytes, blob=note.key)
            found |= {file: note.done_bytes} if folder.partial(file) == path else {}
    return found


def _whole(blob: Path, file: HubFile) -> bool:
    with contextlib.suppress(OSError):
        return blob.stat().st_size == file.size_bytes
    return False
