"""Values as JSON documents, paths of files in them included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import msgspec

_Value = TypeVar("_Value")


def encode(value: msgspec.Struct) -> str:
    """The value as JSON."""
    return msgspec.json.encode(value, enc_hook=_as_text).decode()


def decode(document: str, kind: type[_Value]) -> _Value:
    """The value that `encode` wrote.

    Raises:
        msgspec.DecodeError: it is damaged or was written by another version.
    """
    return msgspec.json.decode(document, type=kind, dec_hook=_from_text)


def decode_others(content: bytes) -> object:
    """What a JSON file of another program says: as Python's own `json` writes it, Infinity and NaN included.

    Raises:
        ValueError: it is no such JSON, or has half a character, which could not be passed on.
        RecursionError: it is nested too deeply.
    """
    value: object = json.loads(content.decode())
    msgspec.json.encode(value)
    return value


def _as_text(value: object) -> str:
    return str(value)


def _from_text(kind: type, value: object) -> object:
    return Path(str(value)) if kind is Path else value
