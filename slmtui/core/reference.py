"""How a person names something on the hub: `owner/name:Q4_K_M`, a file in it, or an address copied from a browser."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from slmtui.core.hub_files import is_repository

_ADDRESS = re.compile(r"(?:https?://[^/\s]+/|hf://|(?:www\.)?(?:huggingface\.co|hf\.co)/)", re.IGNORECASE)
_BROWSED = re.compile(r"(?P<repository>[^/]+/[^/]+)/(?:tree|blob|resolve)/(?P<revision>[^/]+)(?:/(?P<file>.+))?")
_TYPED = re.compile(
    r"(?P<repository>[^/:@\s]+/[^/:@\s]+)(?:@(?P<revision>[^/:\s]+))?(?:/(?P<file>[^:]+)|:(?P<label>[^/]+))?"
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A repository, and what of it is meant; None where that is left to the defaults."""

    repository: str
    revision: str | None = None
    """Branch, tag or commit."""
    file: str | None = None
    label: str | None = None
    """Quantization, in any spelling."""


def parse_reference(text: str) -> Reference | None:
    """What is meant; None when the text can't name anything on the hub."""
    text = text.strip()
    address = _ADDRESS.match(text)
    if address:
        text = unquote(text[address.end() :]).partition("?")[0].partition("#")[0].rstrip("/")
    found = (address and _BROWSED.fullmatch(text)) or _TYPED.fullmatch(text)
    if not found:
        return None
    parts = found.groupdict()
    if not is_repository(parts["repository"]):
        return None
    return Reference(**parts)
