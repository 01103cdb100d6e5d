"""Being asked to end from outside: by a signal, or because the terminal has gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_EXIT_CODE_BASE = 128
"""A shell shows a program that signal N ended as 128 + N."""


@contextmanager
def obeying_signals(leave: Callable[[int], object]) -> Iterator[None]:
    """Leave properly on SIGINT, SIGTERM and SIGHUP: `leave` is given the exit code; Windows has no such handlers.

    The terminal sends SIGINT for ctrl+c only until the app reads the keys itself, that is in its first moments.
    """
    loop = asyncio.get_running_loop()
    heard = []
    for number in _SIGNALS:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or no Unix
            loop.add_signal_handler(number, leave, _EXIT_CODE_BASE + number)
            heard.append(number)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def has_terminal() -> bool:
    """Whether standard input is a terminal that is still there; one that was closed answers no more.

    A program that leads its session is told by SIGHUP. One that was started without a controlling terminal is not, and
    reading its end of a closed terminal returns at once, for ever.
    """
    return sys.__stdin__ is not None and os.isatty(sys.__stdin__.fileno())
