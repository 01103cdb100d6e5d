"""Finding stop strings in text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Passes text through until a stop string appears, holding back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str], *, after_text: bool = False) -> None:
        """With `after_text`, what stands before the first character that is no white space stops nothing."""
        self._stops = tuple(stop for stop in stops if stop)
        self._blank = after_text
        self._pending = ""
        self.hit = False
        """Whether a stop string was found; nothing passes after that."""

    def feed(self, text: str) -> str:
        """Take new text and return what may be shown."""
        if self.hit:
            return ""
        if not self._stops:
            return text
        if self._blank:
            blanks = len(text) - len(text.lstrip())
            self._blank = blanks == len(text)
            return text[:blanks] + (self.feed(text[blanks:]) if blanks < len(text) else "")
        self._pending += text
        found = [position for stop in self._stops if (position := self._pending.find(stop)) >= 0]
        if found:
            self.hit = True
            return self._take(min(found), drop_rest=True)
        return self._take(len(self._pending) - self._held())

    def rest(self) -> str:
        """Return what was held back, when no more text comes."""
        return "" if self.hit else self._take(len(self._pending))

    def _held(self) -> int:
        longest = max(len(stop) for stop in self._stops) - 1
        for length in range(min(longest, len(self._pending)), 0, -1):
            if any(stop.startswith(self._pending[-length:]) for stop in self._stops):
                return length
        return 0

    def _take(self, length: int, *, drop_rest: bool = False) -> str:
        taken = self._pending[:length]
        self._pending = "" if drop_rest else self._pending[length:]
        return taken
