"""What every engine's tokenizer can do, and token ids drawn from it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Protocol

_DRAWS = 100
"""How often to look for an ordinary token before any will do; a file may say that none is."""


class Vocabulary(Protocol):
    """Tokenizer of one open model."""

    size: int
    """Token ids that the model knows."""
    bos: int | None
    adds_bos: bool
    """Whether the model wants the beginning-of-sequence token in front of every text."""

    @property
    def eos(self) -> int | None:
        """The end-of-sequence token."""
        ...

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Token ids of the text alone; with `special`, the text of control tokens becomes those tokens."""
        ...

    def piece(self, token: int) -> bytes:
        """Bytes of one token; control tokens have none."""
        ...

    def ends(self, token: int) -> bool:
        """Whether the token ends generation (EOS, EOT, …)."""
        ...

    def is_control(self, token: int) -> bool:
        """Whether the token is one that no text of a person's should become.

        Tokens that the model's maker added without making them control tokens (`<think>`, runs of blanks) are text.
        """
        ...

    def is_ordinary(self, token: int) -> bool:
        """Whether the token is a piece of text that the vocabulary was trained to find, or a byte."""
        ...

    def written(self, token: int | None) -> str:
        """A token as the vocabulary writes it ("<s>"), for templates; empty for none."""
        ...

    def counted(self, texts: Iterable[str]) -> tuple[int, ...]:
        """Tokens of each text alone."""
        return tuple(len(self.tokens(text, special=True)) for text in texts)

    def with_bos(self, tokens: list[int]) -> list[int]:
        """Put the beginning-of-sequence token in front where the model wants one and none is there."""
        if not self.adds_bos or self.bos is None or tokens[:1] == [self.bos]:
            return tokens
        return [self.bos, *tokens]


class TokenSource:
    """Ordinary token ids of a vocabulary, drawn by a seed: the same ids for the same seed and model."""

    def __init__(self, vocabulary: Vocabulary, seed: int) -> None:
        self._random = random.Random(seed)
        self._vocabulary = vocabulary

    def tokens(self, count: int, *, first: bool) -> list[int]:
        """`count` ids; those that begin a context begin with BOS where the model wants one."""
        drawn = [self._draw() for _ in range(count)]
        if first and drawn and self._vocabulary.adds_bos and self._vocabulary.bos is not None:
            drawn[0] = self._vocabulary.bos
        return drawn

    def _draw(self) -> int:
        token = 0
        for _ in range(_DRAWS):
            token = self._random.randrange(self._vocabulary.size)
            if self._vocabulary.is_ordinary(token):
                break
        return token
