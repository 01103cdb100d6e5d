"""What is known before a download, and what is told while it runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from slmtui.core.catalog import Format, LocalModel, ModelCard
from slmtui.core.fit import Fit
from slmtui.core.hub_files import HubFile, Listing
from slmtui.sources.hub_errors import Kind


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as the hub has it now, and whether this machine has room for it."""

    id: str
    """What names the model once it is here: `qwen3-0.6b:Q4_K_M`, or `owner/name:Q4_K_M`."""
    name: str
    """For a person to read, without control characters."""
    card: ModelCard | None
    format: Format
    label: str | None
    listing: Listing
    files: tuple[HubFile, ...]
    here_bytes: int
    """What of it is on disk already, of an earlier download or of another program's."""
    disk_left_bytes: int | None
    fit: Fit | None
    """Whether it goes into the memory that is free now; None where that can't be told before it is here."""
    suggestion: str | None
    """What would fit, where this does not: a context or another variant."""
    refusal: str | None
    """Why it should not be downloaded, with the numbers; None when nothing is against it."""
    notices: tuple[str, ...] = ()
    """Sentences about what is odd: the repository was renamed, or lists names that are not used."""

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def left_bytes(self) -> int:
        """What has to be downloaded."""
        return self.size_bytes - self.here_bytes


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the download is; told five times a second."""

    done_bytes: int
    total_bytes: int
    rate_bytes_per_s: float | None
    seconds_left: float | None
    file: str
    remark: str | None
    """Why nothing comes at the moment, in a sentence; None while something comes."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A file is whole and its hash is the one that the hub lists."""

    file: str
    sha256: str | None
    """None for small files, which the hub knows by git's hash."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The model can be used."""

    model: LocalModel


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """The download was stopped; what is here stays, and the same plan goes on with it."""

    done_bytes: int


class Cancelled(msgspec.Struct, frozen=True):
    """The download was given up, and what was here of it is deleted."""


class DownloadFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The download ended; what is here of it stays unless it was wrong."""

    kind: Kind | Literal["disk"]
    message: str
    """What failed, why, and what to do."""


Event: TypeAlias = Progress | Verified | Ready | Paused | Cancelled | DownloadFailed
Ending: TypeAlias = Ready | Paused | Cancelled | DownloadFailed
