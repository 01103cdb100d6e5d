"""Which files in Hugging Face's shared cache came there through slmtui, and may be deleted by it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from slmtui.core.hub_files import HubFile
from slmtui.sources.atomic import write_atomically
from slmtui.sources.locks import changing


class Receipt(msgspec.Struct, frozen=True):
    """One file that was downloaded."""

    repository: str
    path: str
    """In the repository."""
    key: str
    """Name of its blob."""


def read_receipts(ledger: Path) -> tuple[Receipt, ...]:
    """All receipts; a ledger that is not there or damaged has none."""
    try:
        return msgspec.json.decode(ledger.read_bytes(), type=tuple[Receipt, ...])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ()


def add_receipts(ledger: Path, repository: str, files: Iterable[HubFile]) -> None:
    """Note files; a ledger that can't be written means that slmtui asks before it deletes them."""
    new = tuple(Receipt(repository, file.path, file.key) for file in files)
    _change(ledger, lambda known: [*(one for one in known if one not in new), *new])


def drop_receipts(ledger: Path, receipts: Iterable[Receipt]) -> None:
    """Forget files that were deleted."""
    gone = set(receipts)
    _change(ledger, lambda known: [one for one in known if one not in gone])


def _change(ledger: Path, change: Callable[[tuple[Receipt, ...]], list[Receipt]]) -> None:
    with contextlib.suppress(OSError), changing(ledger):
        write_atomically(ledger, msgspec.json.encode(change(read_receipts(ledger))))
