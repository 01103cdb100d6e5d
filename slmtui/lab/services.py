"""What every use-case shares: folders, settings, models, store, the machine, and how workers are set up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import platform
import secrets
import tempfile
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slmtui import __version__
from slmtui.core.catalog import LocalModel, ModelCard
from slmtui.core.events import Failed, Inspected, Timing
from slmtui.core.machine import Machine, Memory
from slmtui.core.measurement import Environment, Kind, Measurement, Session
from slmtui.engine.protocol import Load
from slmtui.sources import library
from slmtui.sources.config import Config, ConfigError, load_config, save_config
from slmtui.sources.paths import PathError, Paths
from slmtui.sources.resources import pocket_folder
from slmtui.sources.store import Store, StoreError

if TYPE_CHECKING:
    from slmtui.lab.loaded import LoadedModel, LoadOptions

TRIAL_MODEL = "pocket-5m-Q4_K_M.gguf"
_MAIN_MEMORY = ("CPU", "BLAS")
"""Beginnings of the names of llama.cpp's devices that need no offloading."""
RESERVE_BYTES = 256 * 1024 * 1024
"""Memory that a model may not take: the worker itself and what the system needs to stay responsive."""


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is noted when a measurement begins."""

    load_average: float | None
    temperature_c: float | None


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
    _machine: asyncio.Task[Machine] | None = None
    _inspected: dict[tuple[str, tuple[int, int], int | None], Inspected] = field(default_factory=dict)

    @classmethod
    def open(cls, *, strict: bool) -> Services:
        """Read settings and catalog and open the store.

        With `strict`, a data folder or settings file that does not work is an error; otherwise it becomes a notice,
        defaults are used, and measurements are kept in memory until they are exported.

        Raises:
            PathError, StoreError, ConfigError: only with `strict`.
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
        try:
            paths.ensure()
            store = Store.open(paths.store)
        except (PathError, StoreError) as error:
            if strict:
                raise
            store = Store.in_memory()
            notices.append(f"Measurements are kept in memory only, export them before you quit: {error}")
        return cls(paths, config, library.read_catalog(), store, notices)

    async def close(self) -> None:
        """End all workers and the session, and close the store."""
        self.closing = True
        await asyncio.gather(*(loaded.close() for loaded in list(self.loaded)))
        if self._machine is not None and not self._machine.done():
            self._machine.cancel()
            await asyncio.gather(self._machine, return_exceptions=True)
        if self.session is not None:
            with contextlib.suppress(StoreError):
                await asyncio.to_thread(self.store.end_session, self.session.id)
        self.store.close()

    # -- models

    def models(self) -> tuple[LocalModel, ...]:
        """Bundled models and the person's own files."""
        return library.local_models(self.catalog, self.config.folders)

    def find(self, spec: str) -> LocalModel:
        """The model that `pocket-5m`, `pocket-5m:Q4_K_M` or a path means.

        Raises:
            library.UnknownModelError: there is no such model; the message says what to do.
        """
        return library.find_model(spec, self.catalog, self.config.folders)

    async def add_file(self, path: Path) -> LocalModel:
        """Remember a .gguf file, so that it is listed now and later.

        Raises:
            library.UnknownModelError: there is no such file.
            ConfigError: the settings cannot be written.
        """
        model = self.find(str(path))
        known = {str(one.path) for one in self.models()}
        if str(model.path) not in known:
            folders = (*self.config.folders, str(model.path))
            await self.save_config(msgspec.structs.replace(self.config, folders=folders))
        return model

    async def save_config(self, config: Config) -> None:
        """Use these settings from now on and write them.

        Raises:
            ConfigError: they cannot be written.
        """
        self.config = config
        await asyncio.to_thread(save_config, config, self.paths.config_file)

    async def inspect(self, model: LocalModel, context: int | None = None) -> Inspected | Failed:
        """Facts from the file's header and the exact memory it would take, by a dry run in a worker."""
        from slmtui.lab.loaded import LoadedModel, LoadOptions

        key = (str(model.path), _stamp(model.path), context)
        if key in self._inspected:
            return self._inspected[key]
        probe = LoadedModel(self, model, LoadOptions(context=context))
        try:
            async with aclosing(probe.load(inspect_only=True)) as events:
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
        from slmtui.sources import detect

        return await asyncio.to_thread(detect.detect_quick)

    async def machine(self) -> Machine:
        """Everything about the machine, engines and their trial included; detected once a run."""
        if self._machine is None:
            self._machine = asyncio.create_task(self._detect())
        return await asyncio.shield(self._machine)

    async def _detect(self) -> Machine:
        # Imported here: the two cost 30 ms, and the first frame does not need them.
        from slmtui.engine import trial
        from slmtui.sources import detect

        machine = await asyncio.to_thread(detect.detect, self.paths.cache)
        state = await trial.engine_state(
            pocket_folder() / TRIAL_MODEL,
            self.paths.cache / "trial.json",
            f"{machine.cpu.name} {platform.node()}",
        )
        return msgspec.structs.replace(machine, engines=(state,))

    async def memory_now(self) -> Memory:
        """Main memory as it is now."""
        from slmtui.sources import detect

        return await asyncio.to_thread(detect.memory_now)

    async def circumstances(self) -> Circumstances:
        """Load and temperature of the machine, as far as they can be read."""
        from slmtui.sources import detect

        def read() -> Circumstances:
            return Circumstances(load_average=detect.load_average(), temperature_c=detect.temperature_c())

        return await asyncio.to_thread(read)

    # -- workers

    async def load_request(self, model: LocalModel, options: LoadOptions, *, inspect_only: bool = False) -> Load:
        """How to load this model on this machine."""
        machine = await self.machine()
        state = next((engine for engine in machine.engines if engine.name == "llama.cpp"), None)
        gpu = any(not device.startswith(_MAIN_MEMORY) for device in state.devices) if state else False
        available = (await self.memory_now()).available_bytes if options.check_memory else None
        return Load(
            path=str(model.path),
            device="gpu" if gpu else "cpu",
            gpu_layers=-1 if gpu else 0,
            context=options.context or self.config.context,
            threads=options.threads or self.config.threads or machine.cpu.threads,
            type_k=options.type_k,
            type_v=options.type_v,
            flash_attention=options.flash_attention,
            extra_buffers=state is None or state.trial == "sound",
            memory_budget_bytes=None if available is None else max(0, available - RESERVE_BYTES),
            inspect_only=inspect_only,
        )

    def worker_log(self) -> Path:
        """A fresh log file for a worker; in the temporary folder when the logs folder cannot be written."""
        folder = self.paths.logs
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_old_logs(folder)
        except OSError:
            folder = Path(tempfile.gettempdir())
        return folder / f"worker-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}.log"

    # -- measurements

    async def measurement(
        self, loaded: LoadedModel, kind: Kind, timing: Timing, surroundings: Circumstances
    ) -> Measurement:
        """A measurement with the provenance that every kind has; the caller adds what is its own.

        Raises:
            StoreError: no session can be started.
        """
        session = await self._running_session()
        model = loaded.model
        return Measurement(
            id=secrets.token_hex(8),
            session=session.id,
            kind=kind,
            measured_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            model=model.id,
            name=model.name,
            file=str(model.path),
            file_bytes=model.size_bytes,
            file_sha256=await self._sha256(model.path),
            demo=model.demo,
            facts=loaded.facts,
            settings=loaded.settings,
            timing=timing,
            load_s=loaded.load_s,
            page_cache=loaded.page_cache,
            engine_memory=loaded.memory,
            process_memory=loaded.process_memory,
            peak_rss_bytes=loaded.peak_rss_bytes,
            load_average=surroundings.load_average,
            temperature_c=surroundings.temperature_c,
        )

    async def keep(self, measurement: Measurement) -> None:
        """Write a measurement; it is on disk when this returns.

        Raises:
            StoreError: the disk is full or cannot be written; the message says what to do.
        """
        await asyncio.to_thread(self.store.add, measurement)

    async def _running_session(self) -> Session:
        async with self._session_lock:  # answers that end together must not begin two sessions
            if self.session is None:
                machine = await self.machine()
                environment = Environment(slmtui=__version__, python=platform.python_version(), machine=machine)
                self.session = await asyncio.to_thread(self.store.start_session, environment)
            return self.session

    async def _sha256(self, path: Path) -> str | None:
        try:
            return await asyncio.to_thread(library.file_sha256, path, self.paths.hashes)
        except OSError:
            return None

    async def speeds(self) -> dict[str, tuple[float | None, float | None]]:
        """Model id to (prefill, decode) medians in tokens per second of its latest benchmark on this machine."""
        return await asyncio.to_thread(self.store.latest_speed)

    # -- sessions

    async def sessions(self) -> tuple[Session, ...]:
        """Everything measured, newest first."""
        return await asyncio.to_thread(self.store.sessions)

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

    async def export(self, session_id: str, form: str, path: Path | str | None = None) -> Path:
        """Write one session as csv, json, parquet or md and return the file; None takes the exports folder.

        Raises:
            ExportError: unknown format, or the path cannot be written.
            StoreError: there is no such session.
        """
        from slmtui.lab.export import export

        session = await asyncio.to_thread(self.store.session, session_id)
        measurements = await self.measurements(session.id)
        return await asyncio.to_thread(partial(export, session, measurements, form, path or self.paths.exports))


def prompt_sha256(text: str) -> str:
    """What stands for a prompt in an export: the text itself may be private."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change, which tell a file from the one that replaced it."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _drop_old_logs(folder: Path, keep: int = 50) -> None:
    logs = sorted(folder.glob("worker-*.log"), key=os.path.getmtime)
    for log in logs[:-keep]:
        log.unlink(missing_ok=True)
