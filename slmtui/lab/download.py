"""Downloads: a plan becomes files on this machine, and everything that happens on the way is told as events.

    planned = await plan(services, "qwen3-0.6b:Q4_K_M")
    transfer = Transfer(services, planned)
    async for event in transfer.events():        # Progress …, Verified …, then one ending
        ...                                      # meanwhile: transfer.pause() or transfer.cancel()

Several transfers may run at once. After `Paused` the same plan in another `Transfer`, in this process or another one,
goes on with what is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

from slmtui.core.hub_files import HubDataError, HubFile
from slmtui.core.rate import Rate
from slmtui.lab.aside import aside
from slmtui.lab.download_events import (
    Cancelled,
    DownloadFailed,
    Event,
    Paused,
    Planned,
    Progress,
    Ready,
    Verified,
)
from slmtui.lab.download_plan import plan
from slmtui.lab.services import Services
from slmtui.sources.fetch import StoppedError
from slmtui.sources.hashes import file_sha256, learn_sha256
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.hub_remove import discard, remove
from slmtui.sources.pull import Pull, here_bytes
from slmtui.sources.receipts import add_receipts

__all__ = ["Transfer", "plan"]

_TELL_EVERY_S = 0.2


class Transfer:
    """One variant on its way to this machine."""

    def __init__(self, services: Services, planned: Planned, hub: Hub | None = None) -> None:
        """Nothing happens before `events` is iterated; `hub` None is the one of the environment."""
        self.planned = planned
        self._services, self._hub = services, hub
        self._wish: Literal["pause", "cancel"] | None = None
        self._pull: Pull | None = None
        self._rate = Rate()
        self._brought: list[HubFile] = []
        """Files that were not here before."""

    def pause(self) -> None:
        """End the transfer soon, with `Paused`; what is here stays."""
        self._stop("pause")

    def cancel(self) -> None:
        """End the transfer soon, with `Cancelled`; what is here of it is deleted."""
        self._stop("cancel")

    async def events(self) -> AsyncGenerator[Event]:
        """Download file after file; exactly one ending comes, last."""
        hub = self._hub if self._hub is not None else await asyncio.to_thread(Hub.from_environment)
        try:
            before = 0
            for file in self.planned.files:
                async for progress in self._bring(hub, file, before):
                    yield progress
                before += file.size_bytes
                yield Verified(file=file.path, sha256=file.sha256)
            yield Ready(model=await asyncio.to_thread(self._services.find_any, self.planned.id))
        except StoppedError:
            yield await asyncio.to_thread(self._leave, hub)
        except HubError as error:
            yield DownloadFailed(kind=error.kind, message=f"{error}.")
        except HubDataError as error:
            yield DownloadFailed(kind="hostile", message=f"{error}.")
        except OSError as error:
            yield DownloadFailed(kind="disk", message=_disk_words(error, hub))

    async def _bring(self, hub: Hub, file: HubFile, before: int) -> AsyncGenerator[Progress]:
        """Bring one file; `before` bytes of the plan's other files are here."""
        pull = self._pull = Pull(hub, self.planned.listing, file)
        was_here = await asyncio.to_thread(lambda: pull.done_bytes == file.size_bytes)
        if self._wish is not None:
            pull.stop()
        # A thread of its own: long downloads must not take those that everything else is asked in.
        thread = ThreadPoolExecutor(1, "transfer")
        running = asyncio.get_running_loop().run_in_executor(thread, pull.run)
        thread.shutdown(wait=False)
        try:
            while not running.done():
                yield await asyncio.to_thread(self._progress, pull, before)
                await asyncio.wait({running}, timeout=_TELL_EVERY_S)
            path = await running
            if was_here:
                await aside(partial(self._verify, file, path))
            else:
                await asyncio.to_thread(self._note, file, path)
            yield await asyncio.to_thread(self._progress, pull, before)
        finally:
            pull.stop()
            # A thread can't be cancelled: the lock is given back, and the note written, when it has ended.
            while not running.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # asyncio prints one that nobody asked for, such as that it was stopped

    def _progress(self, pull: Pull, before: int) -> Progress:
        done, total = before + pull.done_bytes, self.planned.size_bytes
        self._rate.note(time.monotonic(), done)
        return Progress(
            done_bytes=done,
            total_bytes=total,
            rate_bytes_per_s=self._rate.per_s,
            seconds_left=self._rate.left_s(total - done),
            file=pull.file.path,
            remark=pull.remark,
        )

    def _stop(self, wish: Literal["pause", "cancel"]) -> None:
        self._wish = wish
        if self._pull is not None:
            self._pull.stop()

    def _note(self, file: HubFile, path: Path) -> None:
        """Remember that it came, and the hash that was verified on the way."""
        self._brought.append(file)
        add_receipts(self._services.paths.downloads, self.planned.listing.repository, [file])
        if file.sha256 is not None:
            learn_sha256(path, self._services.paths.hashes, file.sha256)

    def _verify(self, file: HubFile, path: Path) -> None:
        """Look at a file that was here, whichever program brought it.

        Raises:
            HubError: it is not the file that the hub lists.
        """
        if file.sha256 is not None and file_sha256(path, self._services.paths.hashes) != file.sha256:
            raise HubError(
                "mismatch",
                f"{file.path} was here already, but is not the file that the hub lists; delete it with "
                f"`slmtui rm --force {self.planned.id}`, then download it again",
            )

    def _leave(self, hub: Hub) -> Event:
        """Keep or delete what is here."""
        folder = RepositoryFolder(hub.cache, self.planned.listing.repository)
        commit = self.planned.listing.commit
        if self._wish == "cancel":
            remove(folder, [folder.pointer(commit, file) for file in self._brought], [one.key for one in self._brought])
            discard(folder, self.planned.files)
            return Cancelled()
        return Paused(done_bytes=sum(here_bytes(folder, commit, file) for file in self.planned.files))


def _disk_words(error: OSError, hub: Hub) -> str:
    why = error.strerror or str(error)
    return f"The file can't be written into {hub.cache}: {why}. Free some space or set HF_HUB_CACHE; what came stays."
