"""Connections that fetch the missing spans of one file side by side, and what they agree on."""

from __future__ import annotations

import threading

from slmtui.core.spans import Spans
from slmtui.core.text import duration
from slmtui.sources.hub_errors import HubError, refusal
from slmtui.sources.partial import Partial, write_at
from slmtui.sources.ranges import BROKEN, AnswerError, Body, ChangedError, Line, Source

_BUFFER_BYTES = 128 * 1024
"""Received and written at once; Linux's page cache does not like larger ones. On loopback 2 GiB took 2.2 s, with half
as much 2.5 s, with twice as much 2.4 to 3.6 s, with four times as much 4.2 s.
"""
_PIECE_BYTES = 32 * 1024 * 1024
"""What one of several connections fetches at a time: 0.3 s at 100 MB/s each, so that asking costs little."""
_LEAST_BYTES = 8 * 1024 * 1024
"""What is worth another connection when little is left, so that all of them are at work to the end."""
_MOST_FAILURES = 6
"""In a row and without a byte, on one connection."""
_LONGEST_WAIT_S = 300.0
_BUSY = (408, 429, 500, 502, 503, 504)
_POLL_S = 0.05


class StoppedError(Exception):
    """The download was stopped; what is there stays."""


class _BrokenError(Exception):
    """The connection broke."""


class Claim:
    """A span that one connection has taken on: what is before `at` has arrived."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.at, self.end = start, start, end


class Work:
    """What is to be fetched, who fetches it, and what ended it; every thread may use it."""

    def __init__(self, partial: Partial, patience_s: float) -> None:
        """`patience_s` is the first wait after a failure; it doubles with each more."""
        self.partial, self.patience_s = partial, patience_s
        self.changed = threading.Condition()
        self.problem: Exception | None = None
        """What ended the work; everybody leaves when it is set."""
        self.remark: str | None = None
        """Why nothing comes at the moment; None while something comes."""
        self.crew = 0
        """How many connections there are."""
        self.crowded = False
        """Whether the host sent a connection away because there are several."""
        self.all_taken = False
        """Whether a connection found nothing more to do."""
        self._claims: list[Claim] = []

    def take(self) -> Claim | None:
        """Something to fetch: all that is missing for one connection, pieces for several; None when all is taken.

        Raises:
            Exception: what ended the work.
        """
        with self.changed:
            self.check()
            size = self.partial.file.size_bytes
            taken = Spans([*self.partial.have, *((claim.at, claim.end) for claim in self._claims)])
            gap = next(taken.gaps(size), None)
            if gap is None:
                gap = self._split()
            if gap is None:
                self.all_taken = True
                return None
            end = gap[1] if self.crew == 1 else min(gap[1], gap[0] + _PIECE_BYTES)
            claim = Claim(gap[0], end)
            self._claims.append(claim)
            return claim

    def arrived(self, claim: Claim, count: int) -> None:
        """Note that so many bytes of the claim are written.

        Raises:
            OSError: the note can't be written.
            Exception: what ended the work.
        """
        with self.changed:
            self.check()
            self.partial.received(claim.at, claim.at + count)
            claim.at += count
            self.remark = None
            if self.partial.worth_hashing:
                self.changed.notify_all()

    def give_back(self, claim: Claim) -> None:
        """Let others fetch what is left of the claim."""
        with self.changed:
            self._claims.remove(claim)

    def agree(self, etag: str | None) -> None:
        """Note which content the answers are of."""
        with self.changed:
            self.partial.etag = self.partial.etag or etag

    def end(self, problem: Exception) -> None:
        """Send everybody home; the first problem counts."""
        with self.changed:
            self.problem = self.problem or problem
            self.changed.notify_all()

    def check(self) -> None:
        """Leave if the work was ended.

        Raises:
            Exception: what ended it.
        """
        if self.problem is not None:
            raise self.problem

    def has_room(self, wanted: int) -> bool:
        """Count another connection in, unless there are as many as wanted or one found nothing to do."""
        with self.changed:
            room = self.crew == 0 or (self.crew < wanted and not self.all_taken)
            self.crew += room
            return room

    def leave_if_crowded(self) -> bool:
        """Count the connection that asks out if there are others, because the host is busy."""
        with self.changed:
            crowded = self.crew > 1
            if crowded:
                self.crowded = True
                self.crew -= 1
            return crowded

    def leave(self) -> None:
        """Count a connection out that has nothing more to do."""
        with self.changed:
            self.crew -= 1

    def wait(self, seconds: float, remark: str) -> None:
        """Wait before the next try, and say why.

        Raises:
            Exception: what ended the work meanwhile.
        """
        with self.changed:
            if self.crew == 1:
                self.remark = remark
            self.changed.wait_for(lambda: self.problem is not None, seconds)
            self.check()

    def _split(self) -> tuple[int, int] | None:
        """The part of the largest claim that its connection will come to last."""
        largest = max(self._claims, key=lambda claim: claim.end - claim.at, default=None)
        if largest is None or largest.end - largest.at < 2 * _LEAST_BYTES:
            return None
        start, end = largest.at + min(_PIECE_BYTES, (largest.end - largest.at) // 2), largest.end
        largest.end = start
        return start, end


class Fetcher(threading.Thread):
    """One connection at work."""

    def __init__(self, source: Source, work: Work) -> None:
        super().__init__(name="download", daemon=True)
        self._line, self._work = Line(source), work
        self._host = source.host
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._failures = 0

    def run(self) -> None:
        """Fetch until nothing is missing or the work ends."""
        problem: Exception | None = RuntimeError("a connection of a download ended with a bug; its traceback is above")
        try:
            with self._work.partial.writer() as self._writer:
                self._fetch_all()
            problem = None
        except (HubError, ChangedError, StoppedError, OSError) as error:
            problem = error
        finally:
            self._line.close()
            if problem is not None:
                self._work.end(problem)

    def dismiss(self) -> None:
        """Return when this thread is gone, or is only waiting for a connection with which it will do nothing."""
        self._line.cut()
        while self.is_alive() and not self._line.connecting:
            self.join(_POLL_S)

    def _fetch_all(self) -> None:
        while (claim := self._work.take()) is not None:
            if not self._fetch(claim):
                return
        self._work.leave()

    def _fetch(self, claim: Claim) -> bool:
        """Fetch what was claimed; False when this connection is one too many."""
        try:
            body = self._get(claim)
            while claim.at < claim.end:
                count = self._receive(body, min(_BUFFER_BYTES, claim.end - claim.at))
                write_at(self._writer, claim.at, self._buffer[:count])
                self._work.arrived(claim, count)
            if not body.finished:  # the rest was given to another connection
                self._line.close()
        except (AnswerError, _BrokenError) as error:
            self._line.close()
            self._failures = 1 if claim.at > claim.start else self._failures + 1
            return self._bear(error)
        finally:
            self._work.give_back(claim)
        return True

    def _get(self, claim: Claim) -> Body:
        try:
            body = self._line.get(claim.at, claim.end, self._work.partial.etag)
        except BROKEN as error:
            raise _BrokenError(_why(error)) from error
        self._work.agree(body.etag)
        return body

    def _receive(self, body: Body, count: int) -> int:
        try:
            received = body.readinto(self._buffer[:count])
        except (*BROKEN, ValueError, AttributeError) as error:  # the last two: hung up while it was read
            raise _BrokenError(_why(error)) from error
        if not received:
            raise _BrokenError("the connection ended too early")
        return received

    def _bear(self, error: AnswerError | _BrokenError) -> bool:
        """Wait before another try where one may help; False where others are at work and the host is busy.

        Raises:
            HubError: none will, or there were enough.
        """
        wait_s = self._work.patience_s * 2 ** (self._failures - 1)
        if isinstance(error, AnswerError):
            if error.status not in _BUSY:
                raise refusal(error.status, error.code, error.host, self._work.partial.file.path)
            if self._work.leave_if_crowded():
                return False
            wait_s = max(wait_s, min(error.wait_s or 0.0, _LONGEST_WAIT_S))
        if self._failures > _MOST_FAILURES:
            raise HubError("unreachable", f"{self._host} does not let {self._work.partial.file.path} through: {error}")
        self._work.wait(wait_s, f"{self._host}: {error}; trying again in {duration(wait_s)}")
        return True


def _why(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return (strerror or str(error) or type(error).__name__).lower()
