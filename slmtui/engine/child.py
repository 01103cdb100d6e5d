"""A child process that says something and ends; it may crash, and it may hang."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Ended(NamedTuple):
    """How it ended."""

    output: bytes
    """What it wrote to standard output."""
    code: int | None
    """Exit code; minus the signal that ended it, where one did; None when it was killed for taking too long."""
    why: str | None
    """How it failed, in words that follow its name: "ended with signal 11"; None when it did not."""


async def run_child(command: Sequence[str], environment: Mapping[str, str], patience_s: float) -> Ended:
    """Run it to its end, or kill it after `patience_s`; also when the caller is cancelled.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        start_new_session=sys.platform != "win32",
    )
    output = bytearray()
    try:
        code = await asyncio.wait_for(_end(process, output), patience_s)
    except TimeoutError:
        return Ended(bytes(output), None, f"gave no answer within {patience_s:.0f} s")
    finally:
        if process.returncode is None:
            process.kill()
            await _killed(process)
    why = f"ended with signal {-code}" if code < 0 else f"ended with code {code}"
    return Ended(bytes(output), code, why if code else None)


async def _killed(process: asyncio.subprocess.Process) -> None:
    """Wait until it has ended and its pipe is closed; another cancel waits too: a killed process ends at once.

    A loop that closes cancels every task, this one's own wait among them, which then begins again.
    """
    ending = asyncio.create_task(process.communicate())
    while not ending.done() or ending.cancelled():
        if ending.cancelled():
            ending = asyncio.create_task(process.communicate())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(ending)


async def _end(process: asyncio.subprocess.Process, output: bytearray) -> int:
    if process.stdout is not None:
        while chunk := await process.stdout.read(65536):
            output += chunk
    return await process.wait()
