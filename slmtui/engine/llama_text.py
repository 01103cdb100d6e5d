"""Text to token ids and back with llama.cpp's vocabulary."""

from __future__ import annotations

import ctypes
from typing import Any

from slmtui.engine import llama_library
from slmtui.engine import vocabulary as engine_vocabulary

_UNKNOWN, _CONTROL, _USER_DEFINED = 1 << 0, 1 << 3, 1 << 4
"""Bits of `enum llama_token_attr` (llama.h)."""


class Vocabulary(engine_vocabulary.Vocabulary):
    """llama.cpp's tokenizer of one open model."""

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
