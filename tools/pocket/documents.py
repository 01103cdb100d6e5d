"""What every generator of training text returns."""

from __future__ import annotations

from dataclasses import dataclass

Segment = tuple[str, bool]
"""A piece of text, and whether the loss is taken on it; it begins where the tokenizer would begin a word."""


@dataclass(frozen=True)
class Document:
    """A text in segments."""

    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(text for text, _ in self.segments)

    @property
    def wholly_learned(self) -> bool:
        """Whether the loss is taken on every segment."""
        return all(learned for _, learned in self.segments)


class DocumentBuilder:
    """Collects segments."""

    def __init__(self) -> None:
        """Start empty."""
        self._segments: list[Segment] = []
        self._length = 0

    def __len__(self) -> int:
        """Characters so far."""
        return self._length

    def add(self, text: str, *, learn: bool = False) -> None:
        """Append ``text``; ``learn`` puts the loss on it."""
        self._segments.append((text, learn))
        self._length += len(text)

    def build(self) -> Document:
        """Document of everything added."""
        return Document(tuple(self._segments))
