"""Services and loaded models for tests of the lab: real workers, one thread each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from slmtui.core.catalog import Format, LocalModel
from slmtui.core.events import AnyEvent, Loaded
from slmtui.core.machine import EngineState
from slmtui.engine import trial
from slmtui.lab.loaded import LoadedModel, LoadOptions
from slmtui.lab.services import Services
from slmtui.lab.talk import Seat


@asynccontextmanager
async def services(home: Path) -> AsyncIterator[Services]:
    """Services with their files below `home`; no worker may be left afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLMTUI_HOME", str(home))
        patch.setattr(trial, "_try", _sound)
        opened = Services.open(strict=True)
        try:
            await opened.machine()
            yield opened
        finally:
            await opened.close()
    assert not workers()


async def _sound(version: str, *_: object) -> tuple[EngineState, bool]:
    """The trial takes a second and has tests of its own."""
    return EngineState(name="llama.cpp", version=version, devices=("CPU",), trial="sound"), True


def workers() -> list[int]:
    """Workers of this process that live."""
    children = psutil.Process().children()
    return [child.pid for child in children if "slmtui.engine.worker" in child.cmdline()]


def model(path: Path, name: str | None = None) -> LocalModel:
    """A file as a model."""
    size = path.stat().st_size if path.exists() else 0
    form: Format = "MLX" if path.is_dir() else "GGUF"
    return LocalModel(id=str(path), name=name or path.stem, path=path, size_bytes=size, format=form)


async def load(shared: Services, path: Path, **options: object) -> LoadedModel:
    """A loaded model."""
    loaded = LoadedModel(shared, model(path), msgspec.structs.replace(LoadOptions(threads=1), **options))
    async with aclosing(loaded.load()) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, Loaded), last
    return loaded


@asynccontextmanager
async def seated(shared: Services, paths: Sequence[Path], **options: object) -> AsyncIterator[list[Seat]]:
    """A seat for each file, their workers ended afterwards."""
    async with AsyncExitStack() as stack:
        seats = [Seat(await load(shared, path, **options)) for path in paths]
        for seat in seats:
            stack.push_async_callback(seat.loaded.close)
        yield seats


def of_seat(events: Sequence[tuple[Seat, AnyEvent]], seat: Seat) -> list[AnyEvent]:
    """What one seat's model said."""
    return [event for one, event in events if one is seat]
