"""Whole text files that somebody else wrote: of bounded size, in UTF-8 or UTF-16, or JSON, or refused in words."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from slmtui.core.documents import decode_others

_T = TypeVar("_T")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class TextFileError(ValueError):
    """A file is no text that can be read; the message says why, not which file."""


def expanded(path: Path) -> Path:
    """The path with the home folder in place of `~`; as it stands where that is nobody's."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - as a shell does; `Path.expanduser` fails there


def read_bytes(path: Path, largest_bytes: int) -> bytes:
    """The content of a plain file; `~` is the home folder.

    Raises:
        TextFileError: there is none, it is larger than `largest_bytes`, or it can't be read.
    """
    try:
        path = path.expanduser()
        if path.is_dir():
            raise TextFileError("it is a folder; name a file")
        if path.exists() and not path.is_file():
            raise TextFileError("it is not a plain file")
        if path.stat().st_size > largest_bytes:
            raise TextFileError(f"it is larger than {largest_bytes // 10**6} MB, more than can be meant")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TextFileError("there is no such file") from error
    except TextFileError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # the last two: a name with a null, ~ of nobody
        raise TextFileError(getattr(error, "strerror", None) or str(error)) from error


def decoded(content: bytes) -> str:
    """The text, in UTF-8 or in the UTF-16 that PowerShell's `>` writes, without a byte order mark.

    Raises:
        TextFileError: it is in another encoding; the message names the line.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TextFileError(f"line {line}: it is not UTF-8 text; save it as UTF-8") from error


def read_json(path: Path, kind: type[_T], largest_bytes: int) -> _T:
    """What the JSON in a plain file says.

    Raises:
        TextFileError: see `read_bytes`; or it is something else than such JSON, or nested too deeply.
    """
    content = read_bytes(path, largest_bytes)
    try:
        return msgspec.convert(decode_others(content), kind)
    except (ValueError, RecursionError) as error:
        raise TextFileError(f"it is not the JSON that it should be ({error})") from error
