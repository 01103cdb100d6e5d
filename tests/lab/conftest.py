"""What tests of the lab share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from slmtui.core.ceiling import Ceiling
from slmtui.lab import bench_run, ceiling
from slmtui.lab.services import Services
from tests.hub import LoopbackHub, connect
from tests.lab.seats import services
from tests.sources.downloads import TINY

CEILING = Ceiling(read_bytes_per_s=20e9, threads=2)


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Services]:
    """Services of one test's own."""
    async with services(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub on this machine, whose files come into a cache of the test's own."""
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        yield opened


@pytest.fixture
def tiny(lab: Services) -> None:
    """The catalog has a card of what `serve` puts on the hub."""
    lab.catalog = (*lab.catalog, TINY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench_services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Services that the tests of one module share; the machine's ceiling has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ceiling, "measured", known_ceiling)
        async with services(tmp_path_factory.mktemp("bench")) as opened:
            yield opened


async def known_ceiling(_: Services) -> Ceiling:
    """What `ceiling.measured` says in tests of other things."""
    return CEILING


@pytest.fixture
def two_warmups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any two runs agree, so that tests about other things are short."""
    monkeypatch.setattr(bench_run, "settled", lambda *_: True)
