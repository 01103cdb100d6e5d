"""What every generator of training text returns."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]
"""Half-open range of character positions."""


@dataclass(frozen=True)
class Document:
    """A text, with the spans on which the loss is taken, in order; None means the whole text."""

    text: str
    learned: tuple[Span, ...] | None = None


class DocumentBuilder:
    """Collects pieces of text and remembers which of them are to be learned."""

    def __init__(self) -> None:
        """Start empty."""
        self._pieces: list[str] = []
        self._learned: list[Span] = []
        self._length = 0

    def __len__(self) -> int:
        """Characters so far."""
        return self._length

    def add(self, text: str, *, learn: bool = False) -> None:
        """Append ``text``; ``learn`` puts the loss on it."""
        if learn:
            self._learned.append((self._length, self._length + len(text)))
        self._pieces.append(text)
        self._length += len(text)

    def build(self) -> Document:
        """Document of everything added."""
        return Document("".join(self._pieces), tuple(self._learned))
