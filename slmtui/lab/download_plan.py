"""Which files a person means, and whether there is room for them: everything that is known before a download."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from slmtui.core.catalog import Format, ModelCard, Repository
from slmtui.core.hub_files import Choice, ChoiceError, Listing, choose, file_choice, gguf_choices, mlx_choice
from slmtui.core.quantization import canonical, matching
from slmtui.core.reference import Reference, parse_reference
from slmtui.core.text import one_line, shorten, size
from slmtui.lab.aside import aside
from slmtui.lab.download_events import Planned
from slmtui.lab.download_room import place_of, with_room
from slmtui.lab.services import Services
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.pull import here_bytes

_FATAL = ("offline", "unreachable", "server")
"""What no other repository of the same hub will change."""
_MLX_LABEL = re.compile(
    r"(?<![A-Za-z0-9])(?:(?P<bits>\d)[-_]?bit|(?P<numbers>bf16|fp16|mxfp[48]|nvfp4))(?![A-Za-z0-9])", re.IGNORECASE
)


async def plan(services: Services, wanted: str, hub: Hub | None = None) -> Planned:
    """What `qwen3-0.6b`, `qwen3-0.6b:Q4_K_M`, `owner/name`, `owner/name:Q4_K_M` or an address on the hub means now.

    Of a model in the catalog the first repository that has the variant and gives it is taken; `hub` None is the one of
    the environment.

    Raises:
        HubError: the hub can't be asked, or no repository has it or gives it; the message says what to do.
    """
    if hub is None:
        hub = await asyncio.to_thread(Hub.from_environment)
    planned, place = await asyncio.gather(
        aside(partial(_plan, services.catalog, hub, wanted.strip())), place_of(services)
    )
    return await with_room(planned, hub, place)


def _plan(catalog: Sequence[ModelCard], hub: Hub, wanted: str) -> Planned:
    named, _, label = wanted.partition(":")
    card = next((card for card in catalog if card.id == named.lower()), None)
    if card is not None:
        return _plan_card(hub, card, label)
    reference = parse_reference(wanted)
    if reference is None:
        raise HubError(
            "missing",
            f"{shorten(one_line(wanted), 80)} is neither a model of the catalog nor a repository on the hub, which is "
            "owner/name; `slmtui search` finds repositories by words",
        )
    return _plan_reference(hub, reference)


def _plan_reference(hub: Hub, reference: Reference) -> Planned:
    listing = hub.listing(reference.repository, reference.revision)
    try:
        form, choice = _chosen(listing, reference)
    except ChoiceError as error:
        raise HubError("no_variant", f"{listing.repository}: {error}") from error
    if listing.gated:
        hub.check(listing, choice.files[0])
    planned = _planned(hub, listing, form, choice)
    if listing.repository.lower() == reference.repository.lower():
        return planned
    renamed = f"{reference.repository} is called {listing.repository} now."
    return msgspec.structs.replace(planned, notices=(*planned.notices, renamed))


def _chosen(listing: Listing, reference: Reference) -> tuple[Format, Choice]:
    choices = gguf_choices(listing.files)
    if reference.file is not None:
        return "GGUF", file_choice(choices, reference.file)
    if not choices and any(file.path.endswith(".safetensors") for file in listing.files):
        return "MLX", mlx_variant(listing)
    return "GGUF", choose(choices, reference.label)


def mlx_variant(listing: Listing) -> Choice:
    """The model in MLX's format that a repository holds; its name tells the quantization.

    Raises:
        ChoiceError: it holds none.
    """
    return mlx_choice(listing.files, label_of_repository(listing.repository))


def label_of_repository(repository: str) -> str | None:
    """The quantization that the name of a repository in MLX's format tells."""
    found = _MLX_LABEL.search(repository)
    if found is None:
        return None
    return f"{found['bits']}bit" if found["bits"] else found["numbers"].lower()


def _plan_card(hub: Hub, card: ModelCard, label: str) -> Planned:
    if card.bundled:
        raise HubError("missing", f"{card.id} comes with slmtui; there is nothing to download")
    wanted, form = _variant(card, label)
    passed_over: list[str] = []
    for repository in _places(card, wanted, form):
        try:
            listing = hub.listing(repository.id)
            choices = [mlx_choice(listing.files, wanted)] if form == "MLX" else gguf_choices(listing.files)
            choice = choose(choices, wanted, repository.quantizations)
            if listing.gated:
                hub.check(listing, choice.files[0])
        except (HubError, ChoiceError) as error:
            if isinstance(error, HubError) and error.kind in _FATAL:
                raise
            passed_over.append(f"{repository.id} was passed over: {error}.")
            continue
        label = choice.label or wanted or "model"
        return msgspec.structs.replace(
            (planned := _planned(hub, listing, form, choice)),
            id=f"{card.id}:{label}",
            name=f"{card.name} {label}",
            card=card,
            notices=(*planned.notices, *passed_over),
        )
    if not passed_over:
        raise HubError("missing", f"{card.id} is in the catalog, but there is no file of it that an engine can open")
    raise HubError("no_variant", f"no repository gives {card.id}:{wanted}. {' '.join(passed_over)}")


def _variant(card: ModelCard, label: str) -> tuple[str | None, Format]:
    """The quantization that is meant, as the card or else as llama.cpp writes it, and its format."""
    if not label:
        variant = card.default_variant
        return (variant.quantization, variant.format) if variant else (None, "GGUF")
    named = matching(label, [variant.quantization for variant in card.variants]) or canonical(label)
    form: Format = next((variant.format for variant in card.variants if variant.quantization == named), "GGUF")
    return named, form


def _places(card: ModelCard, wanted: str | None, form: Format) -> Iterator[Repository]:
    """Repositories to ask: that of the variant, those that are said to have it, then the others of the format."""
    of_format = [repository for repository in card.repositories if repository.format == form]
    named = next((variant.repository for variant in card.variants if variant.quantization == wanted), None)
    if form == "MLX":  # a repository holds one quantization
        of_format = [one for one in of_format if named in (None, one.id) and wanted in (None, *one.quantizations)]
    yield from sorted(of_format, key=lambda one: (one.id != named, wanted not in one.quantizations))


def _planned(hub: Hub, listing: Listing, form: Format, choice: Choice) -> Planned:
    folder = RepositoryFolder(hub.cache, listing.repository)
    here = sum(here_bytes(folder, listing.commit, file) for file in choice.files)
    left = _disk_left(hub.cache)
    missing = choice.size_bytes - here
    refusal = None
    if left is not None and missing > left:
        refusal = f"{size(missing)} have to be downloaded and {size(left)} are left on the disk of {hub.cache}"
    named = f"{listing.repository}:{choice.label}" if choice.label else f"{listing.repository}/{choice.files[0].path}"
    odd = len(listing.refused)
    notices = (f"{odd} of its names can't be used and are left out ({listing.refused[0]}).",) if odd else ()
    return Planned(
        id=named,
        name=one_line(named),
        card=None,
        format=form,
        label=choice.label,
        listing=listing,
        files=choice.files,
        here_bytes=here,
        disk_left_bytes=left,
        fit=None,
        suggestion=None,
        refusal=refusal,
        notices=notices,
    )


def _disk_left(folder: Path) -> int | None:
    """Bytes that are free where the folder is or will be; None when the system does not say."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
