"""What a model thinks before it answers, told apart from the answer."""

from __future__ import annotations

OPEN = "<think>"
CLOSE = "</think>"


class ThinkingSplitter:
    """Splits the text of one answer, piece by piece, into thought and answer.

    A thought is what stands between `<think>` and `</think>` at the very start. With `inside`, the prompt has
    opened it already and the answer begins within the thought. A tag may arrive in several pieces.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._wanted = CLOSE if inside else OPEN
        self._held = ""
        self._over = False

    @property
    def thinking(self) -> bool:
        """Whether the text at this point belongs to a thought."""
        return not self._over and self._wanted == CLOSE

    def feed(self, piece: str) -> tuple[str, str]:
        """The thought and the answer that `piece` adds; the start of a tag is held back until it is certain."""
        if self._over:
            return "", piece
        self._held += piece
        thought = ""
        if self._wanted == OPEN and not self._opened():
            return "", self._release() if self._over else ""
        if self._wanted == CLOSE:
            thought, closed = self._until_close()
            if not closed:
                return thought, ""
        return thought, self._release()

    def close(self) -> tuple[str, str]:
        """What was held back when the answer ended."""
        held, self._held = self._held, ""
        return (held, "") if self.thinking else ("", held)

    def _opened(self) -> bool:
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._held = start[len(OPEN) :]
            self._wanted = CLOSE
            return True
        self._over = not OPEN.startswith(start)
        return False

    def _until_close(self) -> tuple[str, bool]:
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._held, self._over = rest.lstrip("\n"), True
            return thought, True
        keep = _overlap(self._held, CLOSE)
        self._held = self._held[len(self._held) - keep :]
        return thought[: len(thought) - keep], False

    def _release(self) -> str:
        released, self._held = self._held, ""
        return released


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` could be the start of `tag`."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:size])), 0)
