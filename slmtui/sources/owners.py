"""Which process has something in hand, so that another one keeps off while it lives."""

from __future__ import annotations

import msgspec

_SAME_START_S = 2.0
"""The system's clock may be set between two readings of a start time; process ids are not used again that soon."""


class Owner(msgspec.Struct, frozen=True):
    """A process; its id alone would be a stranger's after it has ended."""

    pid: int
    started_s: float
    """Since the epoch."""


def this_process() -> Owner:
    """The process that asks."""
    import psutil

    process = psutil.Process()
    return Owner(process.pid, process.create_time())


def lives(owner: Owner) -> bool:
    """Whether that very process still runs."""
    import psutil

    try:
        process = psutil.Process(owner.pid)
        same = abs(process.create_time() - owner.started_s) <= _SAME_START_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
