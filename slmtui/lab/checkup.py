"""The checks of `slmtui doctor`: folders, store, catalog, bundled models, engine, and a worker that answers."""

from __future__ import annotations

import platform
from contextlib import aclosing

import msgspec

from slmtui import __version__
from slmtui.core import text
from slmtui.core.catalog import CatalogError
from slmtui.core.events import Done, Failed, Loaded
from slmtui.core.gpu_advice import gpu_advice
from slmtui.core.machine import EngineState, strip_words
from slmtui.engine.protocol import Measure
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.services import Services
from slmtui.lab.surroundings import TRIAL_MODEL
from slmtui.sources.catalog import read_catalog, with_own
from slmtui.sources.config import ConfigError, load_config
from slmtui.sources.library import UnknownModelError
from slmtui.sources.paths import PathError, Paths
from slmtui.sources.resources import ResourceError, pocket_folder, theme_files
from slmtui.sources.store import Store, StoreError


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one check."""

    what: str
    sound: bool
    words: str
    advice: str | None = None
    """What to do; None when there is nothing to do."""


async def examine() -> tuple[Finding, ...]:
    """Run all checks; each is made even when others fail."""
    findings = [
        Finding(what="slmtui", sound=True, words=f"{__version__}, Python {platform.python_version()}"),
        *_folders(),
        _shipped(),
        *_own_catalog(),
    ]
    try:
        findings += await _running_parts()
    except (PathError, CatalogError, ResourceError, UnknownModelError) as error:
        findings.append(Finding(what="worker", sound=False, words=f"not tried: {error}"))
    return tuple(findings)


async def _running_parts() -> list[Finding]:
    """Machine, engines and a worker.

    Raises:
        PathError, CatalogError, ResourceError, UnknownModelError: too much is missing to try them.
    """
    findings: list[Finding] = []
    services = Services.open(strict=False)
    try:
        machine = await services.machine()
        findings.append(Finding(what="machine", sound=True, words=strip_words(machine)))
        findings += [_engine(engine) for engine in machine.engines]
        findings += [Finding(what="note", sound=True, words=note) for note in machine.notes]
        advice = gpu_advice(machine)
        if advice:
            findings.append(Finding(what="GPU", sound=False, words="not used", advice=advice))
        findings.append(await _worker(services))
    finally:
        await services.close()
    return findings


def _folders() -> list[Finding]:
    try:
        paths = Paths.find()
    except PathError as error:
        return [Finding(what="data", sound=False, words=str(error))]
    try:
        paths.ensure()
        Store.open(paths.store).close()
        folders = Finding(what="data", sound=True, words=f"{paths.data} can be written")
    except (PathError, StoreError) as error:
        folders = Finding(what="data", sound=False, words=str(error))
    try:
        load_config(paths.config_file)
        settings = Finding(what="settings", sound=True, words=f"{paths.config_file}")
    except ConfigError as error:
        settings = Finding(what="settings", sound=False, words=str(error))
    return [folders, settings]


def _shipped() -> Finding:
    try:
        cards = read_catalog()
        themes = len(theme_files())
        files = [file for file in pocket_folder().glob("*.gguf") if file.is_file()]
    except (CatalogError, ResourceError) as error:
        return Finding(what="shipped files", sound=False, words=str(error))
    expected = sum(len(card.variants) for card in cards if card.bundled)
    words = f"{len(cards)} models in the catalog, {len(files)} bundled files, {themes} themes"
    if len(files) < expected or not themes:
        return Finding(what="shipped files", sound=False, words=words, advice="Install slmtui again.")
    return Finding(what="shipped files", sound=True, words=words)


def _own_catalog() -> list[Finding]:
    """The person's own catalog, where there is one."""
    try:
        path = Paths.find().own_catalog
        if not path.exists():
            return []
        cards = read_catalog()
        added = len(with_own(cards, path)) - len(cards)
    except (PathError, ResourceError):  # told above
        return []
    except CatalogError as error:
        return [Finding(what="your catalog", sound=False, words=str(error), advice="Until then it is not used.")]
    return [Finding(what="your catalog", sound=True, words=f"{text.counted(added, 'model')} more in {path}")]


def _engine(engine: EngineState) -> Finding:
    words = f"{engine.version or 'not installed'}, devices {', '.join(engine.devices) or '—'}, {engine.trial}"
    sound = engine.trial in ("sound", "plain buffers only", "processor only")
    return Finding(what=engine.name, sound=sound, words=words, advice=engine.advice)


async def _worker(services: Services) -> Finding:
    """Load a bundled model in a worker and decode a few tokens."""
    path = pocket_folder() / TRIAL_MODEL
    loaded = LoadedModel(services, services.find(str(path)))
    words = f"loads {path.name}"
    try:
        async with aclosing(loaded.load()) as events:
            async for event in events:
                if isinstance(event, Failed):
                    return Finding(what="worker", sound=False, words=event.message)
                if isinstance(event, Loaded):
                    words += f" in {text.duration(event.load_s)}"
        async with aclosing(loaded.request(Measure(prompt_tokens=16, generated_tokens=8))) as events:
            async for event in events:
                if isinstance(event, Failed):
                    return Finding(what="worker", sound=False, words=event.message)
                if isinstance(event, Done):
                    return Finding(what="worker", sound=True, words=f"{words} and decodes")
    finally:
        await loaded.close()
    raise AssertionError("a request always ends with an ending")
