"""`slmtui pull` and `slmtui search`."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing

import msgspec

from slmtui.cli import DONE, FAILED
from slmtui.cli.terminal import CommandError, UsageError, print_json, print_table, progress, say, show, with_services
from slmtui.core import text
from slmtui.core.catalog import Format, LocalModel
from slmtui.core.ranges import FOUND
from slmtui.lab import shelf
from slmtui.lab.download import Transfer, plan
from slmtui.lab.download_events import DownloadFailed, Ending, Planned, Progress, Ready, Verified
from slmtui.lab.services import Services
from slmtui.sources.hub_errors import HubError
from slmtui.sources.library import UnknownModelError

_BAR_WIDTH = 20
_BLOCKS = " ▏▎▍▌▋▊▉█"


def pull(options: argparse.Namespace) -> int:
    """Download each model, one after another; 1 when one of them did not come."""

    async def run(services: Services) -> int:
        outcomes: list[Planned | LocalModel] = []
        for wanted in options.models:
            outcome = await _bring(services, wanted, options)
            if outcome is not None:
                outcomes.append(outcome)
                if not options.json:
                    show("\n".join(_lines(outcome)))
        if options.json:
            print_json(msgspec.to_builtins(outcomes, enc_hook=str))
        return DONE if len(outcomes) == len(options.models) else FAILED

    return with_services(run)


def _lines(outcome: Planned | LocalModel) -> list[str]:
    return plan_lines(outcome) if isinstance(outcome, Planned) else [str(outcome.path)]


async def _bring(services: Services, wanted: str, options: argparse.Namespace) -> Planned | LocalModel | None:
    """The model, once it is here, or only its plan; None when it does not come, which was said."""
    progress("Asking the hub …")
    try:
        planned = await plan(services, wanted)
    except HubError as error:
        say(f"slmtui pull: {error}")
        return _what_is_here(services, wanted) if error.kind in ("offline", "unreachable") else None
    progress("")
    if options.dry_run:
        return planned
    ending = await _pull(services, planned, force=options.force)
    return ending.model if isinstance(ending, Ready) else None


def _what_is_here(services: Services, wanted: str) -> LocalModel | None:
    """The model as it was downloaded before; says so."""
    try:
        model = services.find_any(wanted)
    except UnknownModelError:
        return None
    say(f"{model.id} is here, as it was downloaded.")
    return model


def search(options: argparse.Namespace) -> int:
    """Print repositories of the hub that have all of the words in their names."""

    async def run(services: Services) -> int:
        del services
        if (wrong := FOUND.problem("--limit", [options.limit])) is not None:
            raise UsageError(wrong)
        form: Format = "MLX" if options.mlx else "GGUF"
        progress("Asking the hub …")
        try:
            found = await shelf.search(" ".join(options.words), form, options.limit)
        except HubError as error:
            raise CommandError(str(error)) from error
        finally:
            progress("")
        if options.json:
            return print_json(msgspec.to_builtins(found))
        if not found:
            say(f"No repository with {form} models has these words in its name.")
            return DONE
        print_table(
            [
                {
                    "repository": one.repository,
                    "downloads": text.count(one.downloads),
                    "likes": text.count(one.likes),
                    "updated": one.updated or text.NOT_MEASURED,
                    "": "gated" if one.gated else "",
                }
                for one in found
            ]
        )
        say("`slmtui pull OWNER/NAME` downloads one, `slmtui pull OWNER/NAME:Q8_0` another variant of it.")
        return DONE

    return with_services(run)


def plan_lines(planned: Planned) -> list[str]:
    """What is known before the download, for a person."""
    files = text.counted(len(planned.files), "file")
    lines = [f"{planned.id}: {text.size(planned.size_bytes)} in {files} of {planned.listing.repository}"]
    if planned.here_bytes:
        lines.append(f"  here already: {text.size(planned.here_bytes)}; to download: {text.size(planned.left_bytes)}")
    lines.append(f"  left on the disk: {text.size(planned.disk_left_bytes)}")
    if planned.fit is not None:
        lines.append(f"  fits into memory: {planned.fit.words}")
    if planned.suggestion is not None:
        lines.append(f"  {planned.suggestion}")
    licence = planned.listing.licence or (planned.card.licence if planned.card else None)
    lines.append(f"  licence: {licence or text.NOT_MEASURED}")
    return [*lines, *(f"  {notice}" for notice in planned.notices)]


async def _pull(services: Services, planned: Planned, *, force: bool) -> Ending | None:
    for line in plan_lines(planned):
        say(line)
    if planned.refusal is not None and planned.left_bytes and not force:
        say(f"slmtui pull: {planned.refusal}; --force downloads it all the same")
        return None
    ending: Ending | None = None
    try:
        async with aclosing(Transfer(services, planned).events()) as events:
            async for event in events:
                match event:
                    case Progress():
                        progress(progress_line(event))
                    case Verified():
                        pass
                    case _:
                        ending = event
    except asyncio.CancelledError:
        say(f"What came of {planned.id} stays; the same command goes on with it.")
        raise
    if isinstance(ending, DownloadFailed):
        say(f"slmtui pull: {planned.id}: {ending.message}")
    else:
        progress("")
    return ending


def progress_line(event: Progress) -> str:
    """A bar with figures: share, bytes, rate, time left, or why nothing comes."""
    share = event.done_bytes / event.total_bytes if event.total_bytes else 1.0
    eighths = round(share * _BAR_WIDTH * 8)
    bar = ("█" * (eighths // 8) + _BLOCKS[eighths % 8]).strip().ljust(_BAR_WIDTH)
    figures = [f"{share:4.0%}", f"{text.size(event.done_bytes)} of {text.size(event.total_bytes)}"]
    if event.remark is not None:
        figures.append(event.remark)
    elif event.rate_bytes_per_s is not None:
        figures.append(f"{text.size(round(event.rate_bytes_per_s))}/s")
        if event.seconds_left is not None:
            figures.append(f"{text.duration(event.seconds_left)} left")
    return f"{bar} {'  '.join(figures)}"
