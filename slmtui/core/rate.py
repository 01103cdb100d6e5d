"""How fast something comes, over the last seconds."""

from __future__ import annotations

from collections import deque


class Rate:
    """Learns how much was done when, and says how much comes in a second and when the rest will be here."""

    def __init__(self, window_s: float = 5.0) -> None:
        """Only the last `window_s` count."""
        self._window_s = window_s
        self._noted: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, done: int) -> None:
        """So much is done now; less than before means that it was begun anew."""
        if self._noted and done < self._noted[-1][1]:
            self._noted.clear()
        self._noted.append((now_s, done))
        while len(self._noted) > 2 and self._noted[1][0] <= now_s - self._window_s:
            self._noted.popleft()

    @property
    def per_s(self) -> float | None:
        """What comes in a second; None until something can be told."""
        if len(self._noted) < 2:
            return None
        (began_s, before), (now_s, done) = self._noted[0], self._noted[-1]
        return (done - before) / (now_s - began_s) if now_s > began_s else None

    def left_s(self, left: int) -> float | None:
        """When the rest will be here; None while nothing comes."""
        rate = self.per_s
        return left / rate if rate else None
