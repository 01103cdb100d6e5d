"""What can be wrong with an answer of the storage host, one answer a fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Everything that may be wrong with one answer; what is None is right."""

    status: int | None = None
    """Answer with this status and no content."""
    retry_after: int | None = None
    cut_after: int | None = None
    """Close the connection after so many bytes."""
    stall_after: int | None = None
    """Say nothing more after so many bytes, until the hub is closed."""
    wrong_at: int | None = None
    """Send another byte at this place of the file."""
    ignore_range: bool = False
    """Send all of the file with status 200 whatever was asked."""
    etag: str | None = None
    """Say that it is this content."""
    bytes_per_s: float | None = None
    """Send no faster."""

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
