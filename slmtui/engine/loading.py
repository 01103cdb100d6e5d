"""What loading a model has in common in all engines: ranges, the memory budget, progress that can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable

from slmtui.core import ranges, text
from slmtui.core.events import MAIN_MEMORY, FailureKind, Loading, MemoryPart, total_bytes
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.protocol import Load

_EMIT_EVERY_S = 0.020


def check_request(request: Load) -> None:
    """Refuse settings out of their ranges, some of which llama.cpp would answer with an abort.

    Raises:
        EngineError: names the setting and its range.
    """
    allowed = {
        "threads": ranges.THREADS,
        "threads_batch": ranges.THREADS,
        "batch": ranges.BATCH,
        "micro_batch": ranges.BATCH,
        "gpu_layers": ranges.LAYERS,
        "context": ranges.CONTEXT,
    }
    for name, among in allowed.items():
        value = getattr(request, name)
        if value is not None and not among.low <= value <= among.high:
            raise EngineError(
                FailureKind.BAD_REQUEST, f"{name} is {value}; it must be from {among.low} to {among.high:,}."
            )


def check_budget(planned: tuple[MemoryPart, ...], budget_bytes: int | None) -> None:
    """Refuse what the dry run says does not fit into main memory.

    Raises:
        EngineError: says what is needed, what is free, and what would need less.
    """
    needed = total_bytes(tuple(part for part in planned if part.device == MAIN_MEMORY))
    if budget_bytes is None or needed <= budget_bytes:
        return
    parts = " + ".join(
        f"{kind} {text.memory(total_bytes(planned, kind))}"
        for kind in ("weights", "KV cache", "compute")
        if total_bytes(planned, kind)
    )
    raise EngineError(
        FailureKind.OUT_OF_MEMORY,
        f"It needs {text.memory(needed)} ({parts}) and {text.memory(budget_bytes)} is free. "
        "Close other programs, or choose a smaller context or a smaller variant.",
    )


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
