"""What the commands share: errors as exit codes, standard error, and a progress line on terminals."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from slmtui.cli import DONE, FAILED
from slmtui.core.catalog import CatalogError
from slmtui.core.text import clean, shorten
from slmtui.lab.services import Services
from slmtui.sources.config import ConfigError
from slmtui.sources.library import UnknownModelError
from slmtui.sources.paths import PathError
from slmtui.sources.resources import ResourceError
from slmtui.sources.store import StoreError


class CommandError(Exception):
    """A command cannot do its job; the message says why and what to do."""


EXPECTED = (CommandError, CatalogError, ConfigError, PathError, ResourceError, StoreError, UnknownModelError)
"""Errors that a person can act on; anything else is a bug and shows its traceback."""


def with_services(job: Callable[[Services], Awaitable[int]]) -> int:
    """Run an asynchronous command with the lab's services, and end all of its workers in any case."""

    async def run() -> int:
        services = Services.open(strict=True)
        try:
            return await job(services)
        finally:
            await services.close()

    try:
        return asyncio.run(run())
    except EXPECTED as error:
        return fail(str(error))


def fail(message: str) -> int:
    """Say on standard error what failed and return the exit code."""
    say(f"slmtui: {message}")
    return FAILED


def say(message: str) -> None:
    """A line on standard error."""
    progress("")
    print(clean(message), file=sys.stderr, flush=True)


def progress(message: str) -> None:
    """Replace the progress line, on terminals only; an empty message removes it."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{shorten(clean(message), width)}", end="", file=sys.stderr, flush=True)


def print_json(document: Any) -> int:  # noqa: ANN401 - any JSON document
    """Print a document as JSON and return the exit code."""
    print(json.dumps(document, ensure_ascii=False, indent=2))
    return DONE


def print_table(rows: list[dict[str, str]]) -> None:
    """Print rows of the same keys under their names; columns of numbers end at the right."""
    from tabulate import tabulate

    print(tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True))
