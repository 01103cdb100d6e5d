"""What the commands share: errors as exit codes, standard error, and a progress line on terminals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import sys
from collections.abc import Awaitable, Callable

from slmtui.cli import DONE, FAILED, USAGE, is_dumb
from slmtui.core.catalog import CatalogError
from slmtui.core.plan import PlanError
from slmtui.core.task import TaskError
from slmtui.core.text import clean, shorten
from slmtui.lab.services import Services
from slmtui.sources.config import ConfigError
from slmtui.sources.harness import HarnessError
from slmtui.sources.library import UnknownModelError
from slmtui.sources.paths import PathError, Paths
from slmtui.sources.resources import ResourceError
from slmtui.sources.store import StoreError


class CommandError(Exception):
    """A command cannot do its job; the message says why and what to do."""


class UsageError(CommandError):
    """The command was called with a value that it cannot use; the message says what is allowed."""


EXPECTED = (
    CommandError,
    CatalogError,
    ConfigError,
    HarnessError,
    PathError,
    PlanError,
    ResourceError,
    StoreError,
    TaskError,
    UnknownModelError,
)
"""Errors that a person can act on; anything else is a bug and shows its traceback."""
MEASURING_CEILING = "Measuring memory bandwidth and matrix multiplication once, about 6 s …"


def with_services(job: Callable[[Services], Awaitable[int]]) -> int:
    """Run an asynchronous command with the lab's services, and end all of its workers in any case."""

    async def run() -> int:
        Paths.find().ensure()  # before the settings are read, whose error would blame the file for the folder
        services = Services.open(strict=True)
        for notice in services.notices:
            say(f"slmtui: {notice}")
        try:
            return await job(services)
        finally:
            await services.close()

    return guarded(lambda: asyncio.run(run()))


def guarded(job: Callable[[], int]) -> int:
    """Run a command, and turn errors that a person can act on into a message and an exit code."""
    try:
        return job()
    except UsageError as error:
        fail(str(error))
        return USAGE
    except EXPECTED as error:
        return fail(str(error))


def fail(message: str) -> int:
    """Say on standard error what failed and return the exit code."""
    say(f"slmtui: {message}")
    return FAILED


def say(message: str) -> None:
    """A line on standard error; one that nobody can read any more ends nothing."""
    progress("")
    with contextlib.suppress(OSError):
        print(clean(message), file=sys.stderr, flush=True)


def progress(message: str) -> None:
    """Replace the progress line, on terminals only; an empty message removes it."""
    if sys.stderr.isatty() and not is_dumb():
        width = shutil.get_terminal_size().columns - 1
        with contextlib.suppress(OSError):
            print(f"\r\x1b[K{shorten(clean(message), width)}", end="", file=sys.stderr, flush=True)


def print_json(document: object) -> int:
    """Print a document as JSON and return the exit code."""
    show(portable_json(json.dumps(document, ensure_ascii=False, indent=2)))
    return DONE


def portable_json(document: str) -> str:
    """JSON that says the same where standard output has not every character: those outside ASCII as escapes."""
    if sys.stdout.encoding.lower().replace("-", "").startswith("utf"):
        return document
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], document)


def show(result: str, end: str = "\n") -> None:
    """Print a result at once: as it is into a pipe or file, without what could act on a terminal on one."""
    print(clean(result) if sys.stdout.isatty() else result, end=end, flush=True)


def print_table(rows: list[dict[str, str]]) -> None:
    """Print rows of the same keys under their names; columns of numbers end at the right."""
    show(_table(rows))


def say_table(rows: list[dict[str, str]]) -> None:
    """The same on standard error."""
    say(_table(rows))


def _table(rows: list[dict[str, str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)
