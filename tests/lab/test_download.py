from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from slmtui.core.catalog import ModelCard, Variant
from slmtui.core.catalog import Repository as Place
from slmtui.lab.download import Transfer, plan
from slmtui.lab.download_events import Event, Progress, Ready, Verified
from slmtui.lab.services import Services
from slmtui.sources.resources import pocket_folder
from tests.hub import LoopbackHub, connect
from tests.lab.seats import services
from tests.sources.downloads import FILE, NAME, serve

TINY = ModelCard(
    id="tiny-1b",
    name="Tiny 1B",
    family="Tiny",
    developer="Somebody",
    repositories=(
        Place(id="official/Tiny-GGUF", quantizations=("Q4_K_M", "Q8_0")),
        Place(id=NAME, quantizations=("Q4_K_M",)),
        Place(id="mlx-community/Tiny-4bit", format="MLX", quantizations=("4bit",)),
    ),
    variants=(
        Variant(quantization="Q4_K_M", file=FILE),
        Variant(quantization="Q8_0", file="Tiny-Q8_0.gguf"),
        Variant(quantization="4bit", format="MLX"),
    ),
)


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Services]:
    async with services(tmp_path / "home") as opened:
        opened.catalog = (*opened.catalog, TINY)
        yield opened


@pytest.fixture
def loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        yield opened


async def everything(transfer: Transfer) -> list[Event]:
    async with aclosing(transfer.events()) as events:
        return [event async for event in events]


async def test_a_pulled_model_can_be_used_by_its_id(lab: Services, loopback: LoopbackHub) -> None:
    source = pocket_folder() / "pocket-5m-Q4_K_M.gguf"
    serve(loopback, source)
    planned = await plan(lab, "tiny-1b:q4km")
    assert (planned.id, planned.name, planned.format) == ("tiny-1b:Q4_K_M", "Tiny 1B Q4_K_M", "GGUF")
    assert planned.size_bytes == planned.left_bytes == source.stat().st_size
    assert planned.disk_left_bytes is not None
    assert planned.refusal is None
    *told, verified, ready = await everything(Transfer(lab, planned))
    assert {type(event) for event in told} == {Progress}
    assert isinstance(verified, Verified)
    assert isinstance(ready, Ready)
    assert lab.find("tiny-1b:Q4_K_M") == lab.find("TINY-1B") == ready.model
    assert ready.model in lab.models()
    assert ready.model.path.read_bytes() == source.read_bytes()
    assert (await plan(lab, "tiny-1b")).left_bytes == 0
