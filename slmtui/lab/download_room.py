"""Whether what is to be downloaded will fit into memory, told before it comes."""

from __future__ import annotations

import contextlib
from functools import partial

import msgspec

from slmtui.core.catalog import Variant
from slmtui.core.estimate import anatomy_of
from slmtui.core.gguf import GgufHeader
from slmtui.core.hub_files import HubFile, gguf_choices
from slmtui.core.outlook import Outlook, Place, outlook
from slmtui.core.text import memory, size
from slmtui.lab import fit
from slmtui.lab.aside import aside
from slmtui.lab.download_events import Planned
from slmtui.lab.services import Services
from slmtui.sources.gguf import GgufError, parse_header
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.hub_header import remote_header
from slmtui.sources.store import StoreError


async def place_of(services: Services) -> Place | None:
    """This machine as it is now; None when what was measured here can't be read."""
    try:
        return await fit.here(services)
    except StoreError:
        return None


async def with_room(planned: Planned, hub: Hub, place: Place | None) -> Planned:
    """The plan with the memory verdict; what the catalog does not tell is read from the file's header on the hub."""
    if planned.format != "GGUF" or place is None:
        return planned
    try:
        found = _of_card(planned, place) or await aside(partial(_of_header, planned, hub, place))
    except GgufError as error:
        why = f"the hub's file can't be opened: {error}".rstrip(".")
        return msgspec.structs.replace(planned, refusal=planned.refusal or why)
    if found is None or found.fit is None:
        return planned
    verdict = found.fit
    hopeless = verdict.verdict == "no" and not found.largest_context
    needs = f"it needs {memory(verdict.needed_bytes)} of memory and {memory(verdict.available_bytes)} are free"
    return msgspec.structs.replace(
        planned,
        fit=verdict,
        suggestion=_suggestion(planned, found, place) if verdict.verdict == "no" else None,
        refusal=planned.refusal or (needs if hopeless else None),
    )


def _of_card(planned: Planned, place: Place) -> Outlook | None:
    """By the catalog's figures and the hub's size."""
    variant = _variant(planned)
    if planned.card is None or variant is None:
        return None
    return fit.of_card(planned.card, msgspec.structs.replace(variant, size_bytes=planned.size_bytes), place)


def _variant(planned: Planned) -> Variant | None:
    variants = planned.card.variants if planned.card is not None else ()
    return next((variant for variant in variants if variant.quantization == planned.label), None)


def _of_header(planned: Planned, hub: Hub, place: Place) -> Outlook | None:
    """By the file's header, here or on the hub; None where it does not come, or where each of several parts has one.

    Raises:
        GgufError: it is no GGUF file, or damaged.
    """
    if len(planned.files) > 1:
        return None
    file = planned.files[0]
    header = _header_here(RepositoryFolder(hub.cache, planned.listing.repository), file)
    try:
        header = header or remote_header(hub.source(planned.listing, file), file)
    except HubError:  # the download will say why
        return None
    try:
        return outlook(anatomy_of([header]), place)
    except ValueError as error:  # it holds something else than a language model
        raise GgufError(str(error)) from error


def _header_here(folder: RepositoryFolder, file: HubFile) -> GgufHeader | None:
    """The header of what is in the cache, if its beginning is there."""
    for path in (folder.blob(file), folder.partial(file)):
        with contextlib.suppress(OSError, GgufError), path.open("rb") as opened:
            return parse_header(opened, file.size_bytes, file.path)
    return None


def _suggestion(planned: Planned, found: Outlook, place: Place) -> str | None:
    """What would fit."""
    if found.largest_context:
        return f"{planned.id} fits with a context of {found.largest_context:,} tokens"
    variant = _variant(planned)
    if planned.card is not None and variant is not None:
        return fit.suggestion(planned.card, variant, place)
    assert found.fit is not None
    beside = found.fit.needed_bytes - planned.size_bytes
    room = [one for one in gguf_choices(planned.listing.files) if one.size_bytes + beside <= found.fit.available_bytes]
    if not room or room[-1].label is None:
        return None
    return f"{planned.listing.repository}:{room[-1].label} ({size(room[-1].size_bytes)}) should fit"
