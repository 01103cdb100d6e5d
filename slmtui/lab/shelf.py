"""What a person puts on the shelf of models and takes off it again: files, folders, repositories of the hub."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from slmtui.core.catalog import Format, LocalModel
from slmtui.core.hub_files import SHARD, ChoiceError, Listing, choose, gguf_choices
from slmtui.core.quantization import label_in, matching
from slmtui.core.reference import Reference, parse_reference
from slmtui.core.text import counted, one_line, shorten, size
from slmtui.lab.aside import aside
from slmtui.lab.download_plan import label_of_repository, mlx_variant
from slmtui.lab.services import Services
from slmtui.sources import catalog
from slmtui.sources.config import Config
from slmtui.sources.gguf import GgufError, read_header
from slmtui.sources.hub import Found, Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import RepositoryFolder, cache_folder
from slmtui.sources.hub_remove import discard
from slmtui.sources.hub_remove import remove as remove_files
from slmtui.sources.library import UnknownModelError, absolute, folder_models, holds, looks_like_path, no_model_at
from slmtui.sources.library_hub import files_of, repository_folders
from slmtui.sources.pull import interrupted
from slmtui.sources.receipts import Receipt, drop_receipts, read_receipts

_OWN_WAY = {"Ollama": "`ollama rm {name}`", "LM Studio": "LM Studio", "llama.cpp": "`rm`, it is a plain file"}
"""How other programs' models are deleted."""


class ShelfError(Exception):
    """A model can't be put on the shelf or taken off it; the message says why and what to do."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What is known now that was not before."""

    models: tuple[LocalModel, ...] = ()
    """Models on this machine."""
    card: str | None = None
    """Id of the card that the catalog has now, for a repository of the hub."""
    sentence: str


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    freed_bytes: int
    sentence: str


async def add(services: Services, what: str, hub: Hub | None = None) -> Added:
    """Remember a .gguf file, a folder of them, or a repository of the hub, whichever `what` names.

    Raises:
        ShelfError: there is nothing of that name, or nothing in it.
        HubError: the hub can't be asked about it, or does not have it.
        UnknownModelError: the file is no model's.
        ConfigError, CatalogError: the settings or the person's catalog can't be written.
    """
    if not what.strip():
        raise ShelfError("nothing was named; name a .gguf file, a folder of them, or a repository of the hub")
    path = absolute(what)
    if await asyncio.to_thread(holds, path.is_file):
        return await _add_file(services, path)
    if await asyncio.to_thread(holds, path.is_dir):
        return await _add_folder(services, path)
    reference = parse_reference(what)
    if await asyncio.to_thread(_means_a_path, what, reference):
        raise ShelfError(await asyncio.to_thread(no_model_at, path))
    if reference is None:
        shown = shorten(one_line(what), 80)
        raise ShelfError(f"{shown} is no file or folder here, and no repository of the hub (owner/name)")
    if hub is None:
        hub = await asyncio.to_thread(Hub.from_environment)
    listing = await aside(partial(hub.listing, reference.repository, reference.revision))
    return await asyncio.to_thread(_add_repository, services, listing)


async def search(words: str, form: Format = "GGUF", limit: int = 20) -> tuple[Found, ...]:
    """Repositories of the hub whose name has all of the words and that hold models of a format, most used first.

    Raises:
        HubError: the hub can't be asked.
    """
    hub = await asyncio.to_thread(Hub.from_environment)
    return await aside(partial(hub.search, words, form, limit))


async def remove(services: Services, spec: str, *, force: bool = False) -> Removed:
    """Delete a model's files if slmtui downloaded them, or forget them if they are the person's own.

    Of a model whose download was interrupted, what came is deleted.

    `force` deletes from the cache that programs share also what another program brought there.

    Raises:
        UnknownModelError: there is no such model here.
        ShelfError: the files are another program's, or come with slmtui, or can't be deleted.
        ConfigError: the settings can't be written.
    """
    try:
        model = await asyncio.to_thread(services.find_any, spec)
    except UnknownModelError:
        if (removed := await asyncio.to_thread(_give_up, services, spec)) is not None:
            return removed
        raise
    if any(loaded.model.path == model.path for loaded in services.loaded):
        raise ShelfError(f"{model.name} is loaded now; unload it first")
    match model.place:
        case "bundled":
            raise ShelfError(f"{model.id} comes with slmtui and can't be deleted")
        case "hub cache":
            return await asyncio.to_thread(_delete, services, model, force=force)
        case "file":
            return await _forget(services, model)
        case program:
            way = _OWN_WAY[program].format(name=model.name)
            raise ShelfError(f"{one_line(str(model.path))} is {program}'s; delete it with {way}")


def _means_a_path(what: str, reference: Reference | None) -> bool:
    """Whether it names a place on this machine rather than a repository."""
    if reference is None or os.path.lexists(absolute(what)):
        return looks_like_path(what)
    return reference.file is None and what.lower().endswith(".gguf")


async def _add_file(services: Services, path: Path) -> Added:
    model = await asyncio.to_thread(services.find, str(path))
    try:
        await asyncio.to_thread(read_header, model.path)
    except GgufError as error:
        raise UnknownModelError(str(error)) from error
    if model.path not in {one.path for one in await asyncio.to_thread(services.models)}:
        await _remember(services, model.path)
    return Added(models=(model,), sentence=f"{one_line(str(model.path))} is listed from now on.")


async def _remember(services: Services, path: Path) -> None:
    """Look for models there, now and later."""
    folder = str(path)

    def and_this(config: Config) -> Config:
        known = config.folders
        return msgspec.structs.replace(config, folders=known if folder in known else (*known, folder))

    await services.change_config(and_this)


async def _add_folder(services: Services, folder: Path) -> Added:
    if not any(await asyncio.to_thread(lambda: [*folder_models(folder)])):
        raise ShelfError(
            f"{one_line(str(folder))} holds no model, neither a .gguf file nor one in MLX's format; add it when it does"
        )
    before = {model.path for model in await asyncio.to_thread(services.library)}
    await _remember(services, folder)
    found = tuple(one for one in await asyncio.to_thread(services.library) if one.path not in before)
    news = f"it holds {counted(len(found), 'model')} not known before"
    return Added(models=found, sentence=f"{one_line(str(folder))} is searched from now on; {news}.")


def _add_repository(services: Services, listing: Listing) -> Added:
    name = listing.repository
    known = next((card.id for card in services.catalog if name in {one.id for one in card.repositories}), None)
    if known is not None:
        return Added(card=known, sentence=f"{name} is in the catalog already: `slmtui pull {known}` downloads it.")
    entry = _entry(listing, {card.id for card in services.catalog})
    services.catalog = catalog.add_own(services.catalog, services.paths.own_catalog, entry)
    new = str(entry["id"])
    return Added(card=new, sentence=f"{name} is in your catalog now, as {new}: `slmtui pull {new}` downloads it.")


def _entry(listing: Listing, taken: set[str]) -> dict[str, Any]:
    """A card for the person's catalog that says what the hub says, and no more."""
    owner, _, name = listing.repository.partition("/")
    plain = re.sub(r"[-_.]gguf$", "", name, flags=re.IGNORECASE)
    slug = re.sub(r"[^a-z0-9._-]", "-", plain.lower()).lstrip("._-") or "model"
    variants = _variants(listing)
    labels = [variant["quantization"] for variant in variants]
    form = variants[0]["format"]
    facts: Mapping[str, object] = {"licence": listing.licence, "base": listing.base_model}
    return {
        "id": slug if slug not in taken else f"{owner.lower()}-{slug}",
        "name": plain,
        "family": plain,
        "developer": owner,
        **{key: value for key, value in facts.items() if value},
        "repositories": [{"id": listing.repository, "format": form, "quantizations": labels}],
        "default": labels[0],
        "variants": variants,
    }


def _variants(listing: Listing) -> list[dict[str, Any]]:
    """What can be had, the usual choice first.

    Raises:
        HubError: it holds no model that an engine could open.
    """
    choices = gguf_choices(listing.files)
    try:
        if not choices:
            mlx = mlx_variant(listing)
            return [{"quantization": mlx.label or "MLX", "format": "MLX", "size_bytes": mlx.size_bytes}]
        usual = choose(choices) if len(choices) > 1 else choices[0]
    except ChoiceError as error:
        raise HubError("no_variant", f"{listing.repository}: {error}") from error
    variants: dict[str, dict[str, Any]] = {}
    for choice in (usual, *choices):
        file = choice.files[0]
        label = choice.label or "GGUF"
        variant = {"quantization": label, "format": "GGUF", "file": file.path, "size_bytes": choice.size_bytes}
        whole = {"sha256": file.sha256} if len(choice.files) == 1 and file.sha256 else {}
        variants.setdefault(label, variant | whole)
    return list(variants.values())


def _delete(services: Services, model: LocalModel, *, force: bool) -> Removed:
    """Delete a model from the cache that programs share."""
    assert model.repository is not None
    folder = RepositoryFolder(cache_folder(), model.repository)
    files = files_of(model)
    ours = _receipts(services, folder, model.repository, files)
    if len(ours) < len(files) and not force:
        raise ShelfError(
            f"{model.id} was downloaded by another program, into the cache that both use; `slmtui rm --force` or "
            "`hf cache rm` deletes it"
        )
    with _told(folder):
        freed = remove_files(folder, files, [receipt.key for receipt in ours])
    drop_receipts(services.paths.downloads, ours)
    deleted = f"{model.id} is deleted; {size(freed)} are free again."
    return Removed(freed_bytes=freed, sentence=" ".join((deleted, *_remains(folder))))


def _remains(folder: RepositoryFolder) -> Iterator[str]:
    """Sentences about what of a repository came in part, with the name that means it alone."""
    paths = {file.path for file in interrupted(folder)}
    if any(folder.pointers()):
        paths.discard("")  # the repository's name would mean the whole ones
    for spec in sorted({_spec(folder, path) for path in paths}):
        yield f"What came of {spec} stays; `slmtui rm {spec}` deletes it."


def _spec(folder: RepositoryFolder, path: str) -> str:
    label = _label(folder, path)
    return f"{folder.repository}:{label}" if label else f"{folder.repository}/{path}".rstrip("/")


def _give_up(services: Services, spec: str) -> Removed | None:
    """Delete what came of a model whose download was interrupted; None when there is nothing of it.

    Without a label all variants are meant that came in part, unless a whole one is here too.
    """
    card = next((card for card in services.catalog if card.id == spec.strip().partition(":")[0].lower()), None)
    reference = parse_reference(spec)
    if card is not None:
        names, label, file = {place.id.lower() for place in card.repositories}, spec.strip().partition(":")[2], None
    elif reference is not None:
        names, file = {reference.repository.lower()}, reference.file
        label = reference.label or label_in(file or "") or ""
    else:
        return None
    whole = [model for model in services.library() if model.repository and model.repository.lower() in names]
    if whole and not label and file is None:
        return None
    folders = [folder for folder in repository_folders(cache_folder()) if folder.repository.lower() in names]
    freed = [_discard(services, folder, label, file, whole) for folder in folders]
    if not any(each is not None for each in freed):
        return None
    total = sum(each or 0 for each in freed)
    return Removed(
        freed_bytes=total, sentence=f"What came of {one_line(spec)} is deleted; {size(total)} are free again."
    )


def _discard(
    services: Services, folder: RepositoryFolder, label: str, file: str | None, whole: Iterable[LocalModel]
) -> int | None:
    """Delete what came of models in a repository's folder that are not whole; None when there is nothing.

    A `file` means all of its label; one whose name tells no label means itself, with the other parts of a split model.
    """
    partial = interrupted(folder)
    mine = [model for model in whole if model.repository == folder.repository]
    kept = {_place(folder, path) for model in mine for path in files_of(model)}
    ours = [one for one in read_receipts(services.paths.downloads) if one.repository == folder.repository]
    receipts = [one for one in ours if one.path not in kept]
    labels = {path: _label(folder, path) for path in (*(one.path for one in partial), *(one.path for one in receipts))}
    wanted = matching(label, [known for known in labels.values() if known is not None]) if label else None
    meant = {path for path, known in labels.items() if not label or (wanted is not None and known == wanted)}
    if file is not None and not label:
        meant = {path for path in meant if _stem(path) == _stem(file)}
    begun = [file for file in partial if file.path in meant]
    parts = {one.path: one for one in receipts if one.path in meant}
    names = [path for path in folder.pointers() if _place(folder, path) in parts]
    if not begun and not names:
        return None
    with _told(folder):
        discard(folder, begun)
        if any(folder.partial(file).exists() for file in begun):
            raise ShelfError(f"{folder.repository} is being downloaded now; stop that first")
        freed = remove_files(folder, names, [receipt.key for receipt in parts.values()])
    drop_receipts(services.paths.downloads, parts.values())
    return freed + sum(partial[file] for file in begun)


def _label(folder: RepositoryFolder, path: str) -> str | None:
    """The quantization of a file in a repository, as names tell it."""
    return label_in(path) if path.lower().endswith(".gguf") else label_of_repository(folder.repository)


def _stem(path: str) -> str:
    """What the paths of a split model's parts have in common; of another file the path itself."""
    part = SHARD.fullmatch(path)
    return part["stem"] if part else path


def _place(folder: RepositoryFolder, path: Path) -> str:
    """Path in the repository of a file in one of its snapshots."""
    return path.relative_to(folder.path / "snapshots").as_posix().partition("/")[2]


@contextlib.contextmanager
def _told(folder: RepositoryFolder) -> Iterator[None]:
    """Errors of deleting files as sentences."""
    try:
        yield
    except OSError as error:
        raise ShelfError(f"{error.filename or folder.path} can't be deleted: {error.strerror}") from error


def _receipts(
    services: Services, folder: RepositoryFolder, repository: str, files: tuple[Path, ...]
) -> tuple[Receipt, ...]:
    """The receipts of these files."""
    places = {_place(folder, path) for path in files}
    known = read_receipts(services.paths.downloads)
    return tuple(one for one in known if one.repository == repository and one.path in places)


async def _forget(services: Services, model: LocalModel) -> Removed:
    def without(config: Config) -> Config:
        kept = tuple(one for one in config.folders if absolute(one) != model.path)
        return msgspec.structs.replace(config, folders=kept)

    if without(services.config) == services.config:
        raise ShelfError(
            f"{one_line(str(model.path))} is your own file: delete it yourself, or take its folder out of the settings "
            f"({services.paths.config_file})"
        )
    await services.change_config(without)
    return Removed(freed_bytes=0, sentence=f"{one_line(str(model.path))} is no longer listed; the file stays.")
