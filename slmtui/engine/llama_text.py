"""Text to token ids and back with llama.cpp's vocabulary, and conversations to token ids."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from typing import Any

from slmtui.core.chat import Message
from slmtui.core.events import FailureKind
from slmtui.engine import llama_library
from slmtui.engine.backends import EngineError
from slmtui.engine.template import Rendered, Renderer, TemplateError

_UNKNOWN, _CONTROL, _USER_DEFINED = 1 << 0, 1 << 3, 1 << 4
"""Bits of `enum llama_token_attr` (llama.h)."""
_DRAWS = 100
"""How often to look for an ordinary token before any will do; a file may say that none is."""


class Vocabulary:
    """Tokenizer of one open model."""

    def __init__(self, vocabulary: Any) -> None:
        self._bindings = llama_library.load()
        self._vocabulary = vocabulary
        self._buffer = ctypes.create_string_buffer(64)
        self.size = int(self._bindings.llama_vocab_n_tokens(vocabulary))
        self.bos: int | None = self._bindings.llama_vocab_bos(vocabulary)
        if self.bos is not None and self.bos < 0:
            self.bos = None
        self.adds_bos = bool(self._bindings.llama_vocab_get_add_bos(vocabulary)) and self.bos is not None

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Token ids of the text alone; with `special`, the text of control tokens becomes those tokens."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8  # a token is at least a byte, but for a blank that some vocabularies put in front
        while True:
            ids = (self._bindings.llama_token * room)()
            count = self._bindings.llama_tokenize(self._vocabulary, data, len(data), ids, room, False, special)
            if count >= 0:
                return list(ids[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """Bytes of one token; control tokens have none. Pieces of any length come whole."""
        convert = self._bindings.llama_token_to_piece
        length = convert(self._vocabulary, token, self._buffer, len(self._buffer), 0, False)
        if length < 0:
            self._buffer = ctypes.create_string_buffer(-length)
            length = convert(self._vocabulary, token, self._buffer, len(self._buffer), 0, False)
        return self._buffer.raw[:length]

    def ends(self, token: int) -> bool:
        """Whether the token ends generation (EOS, EOT, …)."""
        return bool(self._bindings.llama_vocab_is_eog(self._vocabulary, token))

    def is_control(self, token: int) -> bool:
        """Whether the token is one that no text of a person's should become.

        Tokens that the model's maker added without making them control tokens (`<think>`, runs of blanks) are text.
        """
        return bool(self._bindings.llama_vocab_get_attr(self._vocabulary, token) & (_CONTROL | _UNKNOWN))

    def is_ordinary(self, token: int) -> bool:
        """Whether the token is a piece of text that the vocabulary was trained to find, or a byte."""
        special = _CONTROL | _UNKNOWN | _USER_DEFINED
        return not self._bindings.llama_vocab_get_attr(self._vocabulary, token) & special

    def written(self, token: int | None) -> str:
        """A token as the vocabulary writes it ("<s>"), for templates; empty for none."""
        if token is None or token < 0:
            return ""
        return str(self._bindings.llama_vocab_get_text(self._vocabulary, token).decode("utf-8", "replace"))

    @property
    def eos(self) -> int | None:
        """The end-of-sequence token."""
        token = int(self._bindings.llama_vocab_eos(self._vocabulary))
        return token if token >= 0 else None

    def with_bos(self, tokens: list[int]) -> list[int]:
        """Put the beginning-of-sequence token in front where the model wants one and none is there."""
        if not self.adds_bos or self.bos is None or tokens[:1] == [self.bos]:
            return tokens
        return [self.bos, *tokens]


def prompt_tokens(vocabulary: Vocabulary, text: str) -> list[int]:
    """Token ids of a raw prompt, in which control tokens may be written out; none for a prompt of nothing."""
    return vocabulary.with_bos(vocabulary.tokens(text, special=True))


def conversation_tokens(
    vocabulary: Vocabulary, renderer: Renderer | None, messages: Sequence[Message]
) -> tuple[str, list[int]]:
    """Rendered prompt and token ids of a conversation, with the opening of the model's answer.

    The whole text is tokenized at once, as every other program does it, unless a message contains the text of a
    control token: then its contents are tokenized apart, so that `<|im_end|>` in a message stays text.

    Raises:
        EngineError: no template, or one that refuses, or one that hides where contents are.
    """
    if renderer is None:
        raise EngineError(
            FailureKind.BAD_REQUEST,
            "This file has no chat template, so it cannot hold a conversation. It can continue a text: use --raw.",
        )
    try:
        rendered = renderer.render(messages)
    except TemplateError as error:
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"The chat template of this model fails on this conversation: {error}. "
            "Remove the system prompt if there is one, or use the model with a raw prompt.",
        ) from None
    return rendered.text, vocabulary.with_bos(_separated(vocabulary, rendered, messages))


def _separated(vocabulary: Vocabulary, rendered: Rendered, messages: Sequence[Message]) -> list[int]:
    whole = vocabulary.tokens(rendered.text, special=True)
    if rendered.pieces is None:
        for message in messages:
            if any(vocabulary.is_control(token) for token in vocabulary.tokens(message.content, special=True)):
                raise EngineError(
                    FailureKind.BAD_REQUEST,
                    f"A message of the {message.role} contains control tokens of this model, and its chat template "
                    "rewrites messages, so they cannot be told apart. Remove them from the message.",
                )
        return whole
    literals = [piece for piece, foreign in rendered.pieces if not foreign]
    controls = [token for piece in literals for token in vocabulary.tokens(piece, special=True)]
    if list(filter(vocabulary.is_control, controls)) == list(filter(vocabulary.is_control, whole)):
        return whole
    return [token for piece, foreign in rendered.pieces for token in vocabulary.tokens(piece, special=not foreign)]


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
