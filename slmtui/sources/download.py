"""Downloads one file of the hub: goes on where an earlier process was killed, hashes what comes, and trusts nothing.

Connections fetch spans and write them; the thread that runs the download hashes what is written, in order and close
behind. At first one connection fetches everything that is missing; others take over a part of it while that makes the
download faster. Content that turns out to be other content is begun anew, and content whose hash is wrong is deleted.
"""

from __future__ import annotations

import time

from slmtui.core.spans import Ramp
from slmtui.sources.fetch import Fetcher, StoppedError, Work
from slmtui.sources.hub_errors import HubError
from slmtui.sources.partial import Partial
from slmtui.sources.ranges import ChangedError, Source

MOST_LINES = 4
_MOST_STARTS = 5
_TICK_S = 0.25


class Download:
    """The download of one file into its partial file, whose lock this process holds."""

    def __init__(self, source: Source, partial: Partial, most_lines: int = MOST_LINES, patience_s: float = 1.0) -> None:
        """`most_lines` limits the connections; `patience_s` is the first wait after a failure, and it doubles."""
        self._source, self._partial = source, partial
        self._ramp = Ramp(most_lines)
        self._patience_s = patience_s
        self._work = Work(partial, patience_s)
        self._stopped = False

    @property
    def done_bytes(self) -> int:
        """How much of the content is there."""
        with self._work.changed:
            return self._partial.have.total

    @property
    def remark(self) -> str | None:
        """Why nothing comes at the moment, for a person; None while something comes."""
        return self._work.remark

    def stop(self) -> None:
        """End `run` soon; for any thread."""
        self._stopped = True
        self._work.end(StoppedError())

    def run(self) -> None:
        """Fetch what is missing and leave the whole, verified content in the partial file.

        Raises:
            StoppedError: `stop` was called.
            HubError: it can't be had, or what came is not what the hub lists, and was deleted.
            OSError: it can't be written.
        """
        for start in range(_MOST_STARTS):
            try:
                self._fetch_all()
                break
            except ChangedError as error:
                if start == _MOST_STARTS - 1:
                    raise HubError("changed", f"{self._partial.file.path} can't be had whole: {error}") from error
                self._ramp.settle(1)
                self._partial.start_over()
                self._work = Work(self._partial, self._patience_s)
        self._verify()
        self._partial.finish()

    def _fetch_all(self) -> None:
        """Hash the content to its end while connections fetch it."""
        partial, size, work = self._partial, self._partial.file.size_bytes, self._work
        crew: list[Fetcher] = []
        try:
            while partial.hashed_bytes < size:
                with work.changed:
                    if self._stopped:
                        raise StoppedError
                    work.check()
                    done, frontier = partial.have.total, partial.have.frontier
                self._call(crew, done, size - done)
                if frontier > partial.hashed_bytes:
                    partial.hash_more(frontier)
                else:
                    with work.changed:
                        work.changed.wait_for(self._has_news, _TICK_S)
        finally:
            work.end(StoppedError())
            for fetcher in crew:
                fetcher.dismiss()

    def _call(self, crew: list[Fetcher], done_bytes: int, left_bytes: int) -> None:
        """Call as many connections as help."""
        if self._work.crowded:
            self._ramp.settle(self._work.crew)
        wanted = self._ramp.note(time.monotonic(), done_bytes, left_bytes)
        while left_bytes and self._work.has_room(wanted):
            crew.append(Fetcher(self._source, self._work))
            crew[-1].start()

    def _has_news(self) -> bool:
        return self._work.problem is not None or self._partial.worth_hashing

    def _verify(self) -> None:
        file, found = self._partial.file, self._partial.digest()
        if found != file.key:
            self._partial.close()
            self._partial.path.unlink(missing_ok=True)
            raise HubError(
                "mismatch",
                f"what came as {file.path} is not the file that the hub lists: its hash is {found[:12]}… and not "
                f"{file.key[:12]}…. It was deleted. Try again; if it happens again, the file or something on the way "
                "to it is damaged",
            )
