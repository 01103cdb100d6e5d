"""`slmtui import`."""

from __future__ import annotations

import argparse

import msgspec

from slmtui.cli import DONE, FAILED
from slmtui.cli.terminal import print_json, say, show, with_services
from slmtui.lab.importing import ImportFailedError, ImportOutcome, import_file
from slmtui.lab.services import Services


def take(options: argparse.Namespace) -> int:
    """Import each file as a session; 1 when one of them could not be read, and the others are imported all the same."""

    async def run(services: Services) -> int:
        outcomes: list[ImportOutcome] = []
        failed = False
        for file in options.files:
            try:
                outcome = await import_file(services, file)
            except ImportFailedError as error:
                failed = True
                say(f"slmtui import: {error}; nothing of it was imported")
                continue
            outcomes.append(outcome)
            if not options.json:
                show(outcome.sentence)
        if options.json:
            print_json(msgspec.to_builtins(outcomes))
        return FAILED if failed else DONE

    return with_services(run)
