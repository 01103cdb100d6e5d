"""What loading a model has in common in all engines: progress that is said now and then, and can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable

from slmtui.core.events import Loading
from slmtui.engine.backends import Emit

_EMIT_EVERY_S = 0.020


def load_progress(emit: Emit, stopped: Callable[[], bool]) -> Callable[[float], bool]:
    """A function to call with the fraction that is in memory; it emits `Loading` and says whether to go on."""
    last = 0.0

    def progress(fraction: float) -> bool:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _EMIT_EVERY_S or fraction >= 1:
            last = now
            emit(Loading(fraction=fraction))
        return not stopped()

    return progress
