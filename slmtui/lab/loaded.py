"""A model in its own worker, from loading to closing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import (
    AnyEvent,
    EngineMemory,
    Failed,
    FailureKind,
    Inspected,
    Loaded,
    Loading,
    MemoryPart,
    MemorySampled,
    ModelFacts,
    ProcessMemory,
)
from slmtui.core.measurement import Settings
from slmtui.core.offload import FIT, shares_words
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Request
from slmtui.lab.loading import LoadOptions
from slmtui.lab.services import Services

__all__ = ["LoadOptions", "LoadedModel"]


class LoadedModel:
    """One model in one worker; `load` first, `close` in any case. While its worker lives, services know it.

    `behind` lets all other programs go before its worker: for models that answer while somebody types.
    """

    def __init__(
        self, services: Services, model: LocalModel, options: LoadOptions | None = None, *, behind: bool = False
    ) -> None:
        self.services = services
        self.model = model
        self.options = options or LoadOptions()
        self._behind = behind
        self.facts = ModelFacts()
        self.memory: tuple[MemoryPart, ...] = ()
        self.planned: tuple[MemoryPart, ...] = ()
        self.process_memory: ProcessMemory | None = None
        self.peak_rss_bytes: int | None = None
        self.peak_memory: ProcessMemory | None = None
        self.allocator: EngineMemory | None = None
        self.load_s: float | None = None
        self.page_cache = "unknown"
        self._client: WorkerClient | None = None
        self._starting: asyncio.Task[WorkerClient] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._load: Load | None = None

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and its worker lives."""
        return self.load_s is not None and self._client is not None and self._client.alive

    @property
    def busy(self) -> bool:
        """Whether a request runs."""
        return self._client is not None and self._client.busy

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None before it was started."""
        return self._client.pid if self._client else None

    @property
    def settings(self) -> Settings:
        """The engine's settings as used, for a measurement's provenance; batches are never larger than the context."""
        load = self._load
        if load is None:
            return Settings()
        largest = self.facts.context or load.batch
        micro_batch = min(load.micro_batch, load.batch, largest)
        if load.engine == "MLX":  # it has no such settings as threads, layers, or types of the cache
            return Settings(
                batch=min(load.batch, largest),
                micro_batch=None if self.facts.device == "cpu" else micro_batch,
                context=self.facts.context,
                type_k=self.facts.kv_type,
                type_v=self.facts.kv_type,
                device=self.facts.device or load.device,
            )
        return Settings(
            threads=load.threads,
            threads_batch=load.threads_batch or load.threads,
            batch=min(load.batch, largest),
            micro_batch=micro_batch,
            context=self.facts.context,
            type_k=load.type_k,
            type_v=load.type_v,
            flash_attention=load.flash_attention,
            device=load.device,
            gpu_layers=self.facts.gpu_layers if load.gpu_layers == FIT else load.gpu_layers,
            split_mode=load.split_mode if load.gpu_layers else None,
            tensor_split=shares_words(load.tensor_split) or None,
            extra_buffers=load.extra_buffers,
        )

    async def load(self, *, inspect_only: bool = False, texts: tuple[str, ...] = ()) -> AsyncGenerator[AnyEvent]:
        """Start the worker and load the model, ending with `Loaded` (or `Inspected`), `Failed` or a cancel.

        An inspection also counts the tokens of `texts`.
        """
        self.load_s = None
        request = await self.services.load_request(self.model, self.options, inspect_only=inspect_only)
        self._load = msgspec.structs.replace(request, texts=texts)
        if self._client is None or not self._client.alive:
            await self._start()
        if self._client is None:
            yield Failed(kind=FailureKind.CANCELLED, message=f"{self.model.name} was closed while it was loading.")
            return
        async with aclosing(self.request(self._load)) as events:
            async for event in events:
                yield event

    async def request(self, request: Request) -> AsyncGenerator[AnyEvent]:
        """Pass a request to the worker and yield its events, keeping what they say about this model."""
        if self._client is None:
            yield Failed(kind=FailureKind.BAD_REQUEST, message=f"{self.model.name} is not loaded; load it first.")
            return
        async with aclosing(self._client.request(request)) as events:
            async for event in events:
                self._note(event)
                yield event

    async def cancel(self) -> None:
        """Stop what runs; its ending arrives through its iterator."""
        if self._client is not None and self._client.busy:
            await self._client.cancel()

    async def _start(self) -> None:
        """Start the worker; nobody's being cancelled loses it, because services know this model from now on."""
        if self.services.closing:
            return
        if self not in self.services.loaded:
            self.services.loaded.append(self)
        self._ending = None
        self._starting = asyncio.create_task(WorkerClient.start(self.services.worker_log(), behind=self._behind))
        client = await asyncio.shield(self._starting)
        self._client = None if self._ending else client

    async def close(self) -> None:
        """End the worker and with it give back all of the model's memory; also while it is being loaded."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        if self._starting is not None:
            with contextlib.suppress(OSError):
                await (await self._starting).close()
        if self in self.services.loaded:
            self.services.loaded.remove(self)
        self.load_s = None

    def kill(self) -> None:
        """End the worker at once."""
        if self._client is not None:
            self._client.kill()

    def _note(self, event: AnyEvent) -> None:
        match event:
            case Loading(planned=planned) if planned:
                self.planned = planned
            case Loaded():
                self.facts, self.memory, self.load_s = event.facts, event.memory, event.load_s
                self.page_cache = event.page_cache
            case Inspected():
                self.facts, self.planned = event.facts, event.planned
            case MemorySampled():
                self.process_memory, self.peak_rss_bytes = event.memory, event.peak_rss_bytes
                self.peak_memory, self.allocator = event.peak, event.engine
            case _:
                pass
