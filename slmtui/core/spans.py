"""Which bytes of a file are here, as spans from a start to before an end, and how many connections fetch the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Span = tuple[int, int]


class Spans:
    """A set of bytes; spans that touch are one."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        for start, end in spans:
            self.add(start, end)

    def __iter__(self) -> Iterator[Span]:
        """The spans, in order, with others between them."""
        return iter(self._spans)

    def add(self, start: int, end: int) -> None:
        """Put in what is between `start` and `end`."""
        if start >= end:
            return
        apart = [span for span in self._spans if span[1] < start or end < span[0]]
        touching = [span for span in self._spans if not (span[1] < start or end < span[0])]
        whole = min([start, *(span[0] for span in touching)]), max([end, *(span[1] for span in touching)])
        self._spans = sorted([*apart, whole])

    @property
    def total(self) -> int:
        """Bytes in all spans."""
        return sum(end - start for start, end in self._spans)

    @property
    def frontier(self) -> int:
        """Where the span that begins at 0 ends; 0 without one."""
        return self._spans[0][1] if self._spans and self._spans[0][0] == 0 else 0

    def gaps(self, size: int) -> Iterator[Span]:
        """What is not in the set, of the bytes from 0 to before `size`."""
        at = 0
        for start, end in self._spans:
            if start > at:
                yield at, min(start, size)
            at = max(at, end)
        if at < size:
            yield at, size


class Ramp:
    """Twice as many connections each time that those before made the download faster, up to a number.

    A single connection is often as fast as the way to this machine; where a host limits each of them, or the way is
    long, several help.
    """

    def __init__(self, most: int, every_s: float = 1.0, gain: float = 1.2) -> None:
        """After each `every_s` the rate must have grown by the factor `gain` for more connections.

        They are doubled because a new one needs a part of so short a time to reach its rate: one more beside three
        would seem to bring nothing.
        """
        self._most, self._every_s, self._gain = most, every_s, gain
        self._since: tuple[float, int] | None = None
        self._best: float | None = None
        self.lines = 1

    def note(self, now_s: float, done_bytes: int, left_bytes: int) -> int:
        """How many connections there should be now; short rests are not worth more."""
        if self._since is None:
            self._since = now_s, done_bytes
        elapsed_s = now_s - self._since[0]
        if self.lines < self._most and elapsed_s >= self._every_s:
            rate = (done_bytes - self._since[1]) / elapsed_s
            self._since = now_s, done_bytes
            if self._best is not None and rate < self._best * self._gain:
                self._most = self.lines
            elif rate > 0 and left_bytes / rate > 2 * self._every_s:
                self._best = rate
                self.lines = min(2 * self.lines, self._most)
        return self.lines

    def settle(self, lines: int) -> None:
        """No more than so many from now on: the host does not want them."""
        self._most = self.lines = max(1, min(self.lines, lines))
