"""What every use-case shares: folders, settings, models, store, the machine, and how workers are set up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import platform
import secrets
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slmtui import __version__
from slmtui.core.catalog import CatalogError, LocalModel, ModelCard, preferring
from slmtui.core.events import Failed, Inspected, ModelFacts, Timing
from slmtui.core.machine import GpuUser, Machine, Memory
from slmtui.core.measurement import Environment, Kind, Measurement, Session
from slmtui.engine.protocol import Load
from slmtui.lab import ceiling, loading
from slmtui.lab import surroundings as around
from slmtui.lab.aside import aside
from slmtui.lab.loading import LoadOptions
from slmtui.lab.surroundings import Circumstances, Surroundings
from slmtui.sources import catalog, hashes, library
from slmtui.sources.config import Config, ConfigError, change_config, load_config
from slmtui.sources.paths import PathError, Paths
from slmtui.sources.store import Store, StoreError

if TYPE_CHECKING:
    from slmtui.lab.loaded import LoadedModel

__all__ = ["Circumstances", "Services", "prompt_sha256"]


@dataclass(eq=False)
class Services:
    """Shared by the use-cases of one run of the program; `open` makes one, `close` ends all workers."""

    paths: Paths
    config: Config
    catalog: tuple[ModelCard, ...]
    store: Store
    notices: list[str] = field(default_factory=list)
    """Sentences about what does not work as it should, to be shown once."""
    loaded: list[LoadedModel] = field(default_factory=list)
    """Models whose workers live."""
    session: Session | None = None
    """The running session, once something was measured."""
    _session_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    benchmarks: int = 0
    """How many plans run; an answer beside one would spoil its figures."""
    talks: int = 0
    """How many questions Chat has under way; a benchmark beside one would be spoiled."""
    closing: bool = False
    """Whether `close` was called; no worker is started any more."""
    _inspected: dict[tuple[str, tuple[int, int], LoadOptions, tuple[str, ...]], Inspected] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.surroundings = Surroundings(self.paths.cache)
        self.formats = loading.formats()
        """Formats that an engine installed here opens, the preferred one first."""
        self.catalog = preferring(self.catalog, self.formats[0])

    @classmethod
    def open(cls, *, strict: bool) -> Services:
        """Read settings and catalog and open the store.

        With `strict`, a data folder or settings file that does not work is an error; otherwise it becomes a notice,
        defaults are used, and measurements are kept in memory until they are exported. A catalog of the person's that
        is wrong becomes a notice in any case: it spoils nothing but its own entries.

        Raises:
            PathError: `SLMTUI_HOME` names a user who does not exist; with `strict` also folders that cannot be made.
            StoreError, ConfigError: only with `strict`.
            CatalogError: the shipped catalog is damaged.
        """
        paths = Paths.find()
        notices: list[str] = []
        try:
            config = load_config(paths.config_file)
        except ConfigError as error:
            if strict:
                raise
            config = Config()
            notices.append(f"Settings are not used: {error}.")
        cards = catalog.shipped_catalog(paths.parsed_catalog)
        try:
            cards = catalog.with_own(cards, paths.own_catalog)
        except CatalogError as error:
            notices.append(f"Your catalog is not used: {error}.")
        try:
            paths.ensure()
            store = Store.open(paths.store)
        except (PathError, StoreError) as error:
            if strict:
                raise
            store = Store.in_memory()
            notices.append(f"Measurements are kept in memory only, export them before you quit: {error}")
        return cls(paths, config, cards, store, notices)

    async def close(self) -> None:
        """End all workers and the session, and close the store."""
        self.closing = True
        await asyncio.gather(*(loaded.close() for loaded in list(self.loaded)))
        await self.surroundings.close()
        if self.session is not None:
            with contextlib.suppress(StoreError):
                await asyncio.to_thread(self.store.end_session, self.session.id)
        self.store.close()

    # -- models

    def models(self) -> tuple[LocalModel, ...]:
        """Models that an engine here opens: bundled, downloaded, other programs', and the person's files."""
        return tuple(model for model in self.library() if model.format in self.formats)

    def bundled(self) -> tuple[LocalModel, ...]:
        """The models that come with the program, which takes no search."""
        return library.local_models(self.catalog)

    def library(self) -> tuple[LocalModel, ...]:
        """Every model on this machine."""
        return library.local_models(self.catalog, self.config.folders, self._shared())

    def find(self, spec: str) -> LocalModel:
        """The model that `pocket-5m`, `qwen3-0.6b:Q4_K_M`, another id or a path means.

        Raises:
            library.UnknownModelError: there is no such model that can be opened; the message says what to do.
        """
        model = self.find_any(spec)
        if model.format not in self.formats:
            raise library.UnknownModelError(f"{model.id} is here in MLX's format, and {loading.mlx_missing()}")
        return model

    def find_any(self, spec: str) -> LocalModel:
        """The same, whether an engine opens it or not.

        Raises:
            library.UnknownModelError: there is no such model.
        """
        return library.find_model(spec, self.catalog, self.config.folders, self._shared())

    async def facts(self, model: LocalModel) -> ModelFacts | None:
        """What the model's own file says, read without an engine; None when it can't be read."""
        from slmtui.sources.library_facts import model_facts

        return await asyncio.to_thread(model_facts, model, self.paths.headers)

    def _shared(self) -> tuple[LocalModel, ...]:
        # Imported here: what looks for models is needed after the first frame, and costs 10 ms of it.
        from slmtui.sources.hub_folder import cache_folder
        from slmtui.sources.library_hub import hub_models
        from slmtui.sources.library_others import Others, other_models

        return (*hub_models(self.catalog, cache_folder()), *other_models(Others.find()))

    async def change_config(self, change: Callable[[Config], Config]) -> None:
        """Use changed settings from now on and write them; what other processes changed in the file stays.

        Raises:
            ConfigError: they cannot be written.
        """
        self.config = change(self.config)
        self.config = await asyncio.to_thread(change_config, self.paths.config_file, change)

    async def inspect(
        self,
        model: LocalModel,
        context: int | None = None,
        options: LoadOptions | None = None,
        texts: tuple[str, ...] = (),
    ) -> Inspected | Failed:
        """Facts from the file's header and the exact memory it would take, by a dry run in a worker.

        Of `texts` it says how many tokens each has.
        """
        from slmtui.lab.loaded import LoadedModel

        options = msgspec.structs.replace(options or LoadOptions(context=context), threads=None, threads_batch=None)
        key = (str(model.path), _stamp(model.path), options, texts)
        if key in self._inspected:
            return self._inspected[key]
        probe = LoadedModel(self, model, options)
        try:
            async with aclosing(probe.load(inspect_only=True, texts=texts)) as events:
                async for event in events:
                    if isinstance(event, Inspected):
                        self._inspected[key] = event
                    if isinstance(event, Inspected | Failed):
                        return event
        finally:
            await probe.close()
        raise AssertionError("a request always ends with an ending")

    # -- machine

    async def quick_machine(self) -> Machine:
        """What can be told about the machine within 30 ms."""
        return await around.quick_machine()

    async def machine(self) -> Machine:
        """Everything about the machine, engines and their trial included; detected once a run."""
        return await self.surroundings.machine()

    async def gpu_users(self) -> tuple[GpuUser, ...]:
        """Processes that have memory on NVIDIA processors now."""
        return await around.gpu_users()

    async def memory_now(self) -> Memory:
        """Main memory as it is now."""
        return await around.memory_now()

    async def circumstances(self) -> Circumstances:
        """Load, temperature, power and governor now, as far as they can be read."""
        return await around.circumstances()

    # -- workers

    async def load_request(self, model: LocalModel, options: LoadOptions, *, inspect_only: bool = False) -> Load:
        """How to load this model on this machine."""
        available = (await self.memory_now()).available_bytes if options.check_memory else None
        request = loading.load_request(model, options, await self.machine(), self.config, available)
        return msgspec.structs.replace(request, inspect_only=inspect_only)

    def worker_log(self) -> Path:
        """A fresh log file for a worker; in the temporary folder when the logs folder cannot be written."""
        return loading.worker_log(self.paths.logs)

    # -- measurements

    async def measurement(
        self, loaded: LoadedModel, kind: Kind, timing: Timing, surroundings: Circumstances, session: str | None = None
    ) -> Measurement:
        """A measurement with the provenance that every kind has; the caller adds what is its own.

        It belongs to the session of this id, or to the running one.

        Raises:
            StoreError: no session can be started.
        """
        model = loaded.model
        return Measurement(
            id=secrets.token_hex(8),
            session=session or (await self.running_session()).id,
            kind=kind,
            measured_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            model=model.id,
            name=model.name,
            file=str(model.path),
            file_bytes=model.size_bytes,
            file_sha256=await self.sha256(model.path),
            demo=model.demo,
            facts=loaded.facts,
            settings=loaded.settings,
            timing=timing,
            load_s=loaded.load_s,
            page_cache=loaded.page_cache,
            engine_memory=loaded.memory,
            process_memory=loaded.process_memory,
            peak_rss_bytes=loaded.peak_rss_bytes,
            peak_memory=loaded.peak_memory,
            allocator=loaded.allocator,
            load_average=surroundings.load_average,
            temperature_c=surroundings.temperature_c,
            power=surroundings.power,
            governor=surroundings.governor,
            ceiling=await asyncio.to_thread(ceiling.known, self),
        )

    async def keep(self, measurement: Measurement) -> None:
        """Write a measurement; it is on disk when this returns.

        Raises:
            StoreError: the disk is full or cannot be written; the message says what to do.
        """
        await asyncio.to_thread(self.store.add, measurement)

    async def running_session(self) -> Session:
        """The session of this run of the program, begun with the first question.

        Raises:
            StoreError: the store cannot be written.
        """
        async with self._session_lock:  # answers that end together must not begin two sessions
            if self.session is None:
                machine = msgspec.structs.replace(await self.machine(), installer=None)  # a path of this person's own
                environment = Environment(slmtui=__version__, python=platform.python_version(), machine=machine)
                self.session = await asyncio.to_thread(self.store.start_session, environment)
            return self.session

    async def sha256(self, path: Path, told: hashes.Told | None = None) -> str | None:
        """Hash of a model file, None when it cannot be read; a file that did not change is read once.

        `told` hears of each piece that is read, in the thread that reads it.
        """
        try:
            return await aside(partial(hashes.model_sha256, path, self.paths.hashes, told))
        except OSError:
            return None

    async def speeds(self) -> dict[str, tuple[float | None, float | None]]:
        """Model id to (prefill, decode) medians in tokens per second of its latest benchmark on this machine."""
        return await asyncio.to_thread(self.store.latest_speed)

    # -- sessions

    async def sessions(self) -> tuple[Session, ...]:
        """Everything measured, newest first."""
        return await asyncio.to_thread(self.store.sessions)

    async def stored(self, session_id: str) -> Session:
        """A session with how much it holds by now.

        Raises:
            StoreError: there is no such session.
        """
        return await asyncio.to_thread(self.store.session, session_id)

    async def measurements(self, session_id: str) -> tuple[Measurement, ...]:
        """The repetitions of one session in the order in which they were measured."""
        return await asyncio.to_thread(self.store.measurements, session_id)

    async def rename_session(self, session_id: str, name: str) -> None:
        """Give a session a name."""
        await asyncio.to_thread(self.store.rename_session, session_id, name)

    async def delete_session(self, session_id: str) -> None:
        """Delete a session; the running one starts anew with the next measurement."""
        await asyncio.to_thread(self.store.delete_session, session_id)
        if self.session is not None and self.session.id == session_id:
            self.session = None

    async def export(
        self, session_id: str, form: str, path: Path | str | None = None, *, answers: bool = False
    ) -> Path:
        """Write one session as csv, json, parquet or md and return the file; None takes the exports folder.

        With `answers`, or when it holds nothing else, it is the answers of its probes that are written.

        Raises:
            ExportError: unknown format, or the path cannot be written.
            StoreError: there is no such session.
        """
        from slmtui.lab.export import export
        from slmtui.lab.probe_export import export_answers

        session = await self.stored(session_id)
        if answers or (session.answers and not session.measurements):
            batches = await asyncio.to_thread(self.store.probes.of_session, session.id)
            return await asyncio.to_thread(partial(export_answers, session, batches, form, path or self.paths.exports))
        measurements = await self.measurements(session.id)
        return await asyncio.to_thread(partial(export, session, measurements, form, path or self.paths.exports))


def prompt_sha256(text: str) -> str:
    """What stands for a prompt in an export: the text itself may be private."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change, which tell a file from the one that replaced it; of a folder, of all files in it."""
    try:
        found = [file.stat() for file in path.iterdir()] if path.is_dir() else [path.stat()]
    except OSError:
        return 0, 0
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)
