"""`slmtui add` and `slmtui rm`."""

from __future__ import annotations

import argparse

import msgspec

from slmtui.cli import DONE, FAILED
from slmtui.cli.terminal import CommandError, fail, print_json, progress, show, with_services
from slmtui.lab import shelf
from slmtui.lab.services import Services
from slmtui.sources.hub_errors import HubError
from slmtui.sources.library import UnknownModelError


def add(options: argparse.Namespace) -> int:
    """List a file, a folder or a repository from now on, and print the ids of what is new."""

    async def run(services: Services) -> int:
        progress("Looking …")
        try:
            added = await shelf.add(services, options.what)
        except (shelf.ShelfError, HubError) as error:
            raise CommandError(str(error)) from error
        finally:
            progress("")
        if options.json:
            return print_json(msgspec.to_builtins(added, enc_hook=str))
        show(added.sentence)
        return DONE

    return with_services(run)


def rm(options: argparse.Namespace) -> int:
    """Take models away; 1 when one of them stays."""

    async def run(services: Services) -> int:
        removed: list[shelf.Removed] = []
        for spec in options.models:
            try:
                removed.append(await shelf.remove(services, spec, force=options.force))
            except (shelf.ShelfError, UnknownModelError) as error:
                fail(str(error))
            else:
                if not options.json:
                    show(removed[-1].sentence)
        if options.json:
            print_json(msgspec.to_builtins(removed))
        return DONE if len(removed) == len(options.models) else FAILED

    return with_services(run)
