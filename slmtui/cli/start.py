"""`slmtui` without a command: the app on a terminal, the quick comparison elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from slmtui.cli import Importing, is_dumb
from slmtui.core.catalog import CatalogError
from slmtui.lab.services import Services
from slmtui.sources.paths import PathError
from slmtui.sources.resources import ResourceError

if TYPE_CHECKING:
    import argparse


def start(_: argparse.Namespace | None = None) -> int:
    """Open the app; without a terminal, compare the bundled models and say where the export is."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        if not is_dumb():
            return _open_app()
        why = "this terminal can show lines only (TERM is dumb)"
    else:
        why = "there is no terminal here"
    from slmtui.cli.terminal import say, with_services

    say(f"slmtui: {why}, so the app cannot open. Comparing the bundled models instead.")
    return with_services(_compare)


def _open_app() -> int:
    with Importing():
        from slmtui.ui.app import run_app
    try:
        services = Services.open(strict=False)
    except (CatalogError, PathError, ResourceError) as error:
        from slmtui.cli.terminal import fail

        return fail(str(error))
    return run_app(services)


async def _compare(services: Services) -> int:
    from slmtui.cli.bench import run_plan
    from slmtui.cli.terminal import CommandError, say
    from slmtui.lab import speed

    bundled = tuple(model for model in services.models() if model.card is not None and model.card.bundled)
    if not bundled:
        raise CommandError("the bundled models are missing; install slmtui again")
    code = await run_plan(services, await speed.make_plan(services, "quick", bundled), "md")
    if services.session is not None:
        path = await services.export(services.session.id, "csv")
        say(f"Every repetition is exported to {path}")
        say("`slmtui --help` lists what else works without a terminal.")
    return code
