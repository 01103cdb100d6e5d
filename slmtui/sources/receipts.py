"""Which files in Hugging Face's shared cache came there through slmtui, and may be deleted by it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from slmtui.core.hub_files import HubFile
from slmtui.sources.atomic import write_atomically


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
    new = [Receipt(repository, file.path, file.key) for file in files]
    _write(ledger, [*(known for known in read_receipts(ledger) if known not in new), *new])


def drop_receipts(ledger: Path, receipts: Iterable[Receipt]) -> None:
    """Forget files that were deleted."""
    gone = set(receipts)
    _write(ledger, [known for known in read_receipts(ledger) if known not in gone])


def _write(ledger: Path, receipts: list[Receipt]) -> None:
    with contextlib.suppress(OSError):
        ledger.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(ledger, msgspec.json.encode(receipts))
