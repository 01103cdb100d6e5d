"""Questions that may take long, to other machines and to large files: asked in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


async def aside(question: Callable[[], _T]) -> _T:
    """The answer, from a thread of its own.

    asyncio's threads are waited for when a loop ends, so that ctrl+c, or leaving the app, would wait for a host that
    does not answer, or until 20 GB are read. This one is left alone then, so a question must change nothing but caches.

    Raises:
        Exception: whatever the question raises.
    """
    answer: Future[_T] = Future()
    threading.Thread(target=_ask, args=(question, answer), name="aside", daemon=True).start()
    return await asyncio.wrap_future(answer)


def _ask(question: Callable[[], _T], answer: Future[_T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(question())
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
        answer.set_exception(error)
