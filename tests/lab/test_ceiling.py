"""When the machine's ceiling is measured, and how long it is remembered. How it is measured has tests of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from slmtui.core.ceiling import Ceiling, MatmulRate
from slmtui.core.events import Tokens
from slmtui.core.sampling import Sampling
from slmtui.engine import ceiling as engine_ceiling
from slmtui.engine import trial
from slmtui.engine.ceiling import Order
from slmtui.engine.protocol import Generate
from slmtui.lab import ceiling
from slmtui.lab.services import Services
from tests.engine.support import STORY
from tests.lab import seats

SOUND = Ceiling(read_bytes_per_s=20e9, matmul=(MatmulRate(type="f16", flops=1e11),), threads=2, cpu_share=0.97)
Child = Callable[[Order], Ceiling]


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with seats.services(tmp_path) as opened:
        yield opened


class Measurer:
    """Stands for the child process: says what it is told to, and notes the orders."""

    def __init__(self, *says: Ceiling) -> None:
        self.says, self.orders, self.given_up = list(says), list[Order](), 0
        self.takes_s = 0.0
        self.began = asyncio.Event()

    async def __call__(self, order: Order) -> Ceiling:
        self.orders.append(order)
        self.began.set()
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


def measurer(patch: pytest.MonkeyPatch, *says: Ceiling) -> Measurer:
    made = Measurer(*says)
    patch.setattr(engine_ceiling, "measure", made)
    return made


def file(services: Services) -> Path:
    return services.paths.cache / "ceiling.json"


async def test_it_is_measured_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    child = measurer(monkeypatch, SOUND)
    assert ceiling.known(services) is None
    assert await asyncio.gather(*(ceiling.measured(services) for _ in range(3))) == [SOUND] * 3
    assert ceiling.known(services) == SOUND
    (order,) = child.orders
    machine = await services.machine()
    assert (order.threads, order.extra_buffers) == (machine.cpu.threads, True)
    assert order.available_bytes is not None
    async with seats.services(services.paths.cache.parent) as later:
        assert ceiling.known(later) == SOUND, "in the next run of the program too"
    assert [path.name for path in file(services).parent.glob("*.tmp")] == []


async def test_it_is_measured_anew_when_asked(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    better = msgspec.structs.replace(SOUND, read_bytes_per_s=30e9)
    measurer(monkeypatch, SOUND, better)
    assert await ceiling.measured(services) == SOUND
    assert await ceiling.measured(services, anew=True) == better
    assert ceiling.known(services) == better


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b'{"a": 1}', b'{"a": {"read_bytes_per_s": "fast"}}'])
async def test_a_damaged_file_is_replaced(services: Services, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    measurer(monkeypatch, SOUND)
    file(services).parent.mkdir(parents=True, exist_ok=True)
    file(services).write_bytes(content)
    assert ceiling.known(services) is None
    assert await ceiling.measured(services) == SOUND
    assert ceiling.known(services) == SOUND


async def test_another_build_of_the_engine_is_measured_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = measurer(monkeypatch, SOUND)
    await ceiling.measured(services)
    monkeypatch.setattr(trial, "fingerprint", lambda: "another")
    assert ceiling.known(services) is None
    await ceiling.measured(services)
    assert len(child.orders) == 2


@pytest.mark.parametrize(
    "half",
    [msgspec.structs.replace(SOUND, read_bytes_per_s=None), msgspec.structs.replace(SOUND, matmul=())],
    ids=["no bandwidth", "no engine"],
)
async def test_half_a_measurement_is_told_but_not_kept(
    services: Services, half: Ceiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurer(monkeypatch, half)
    assert await ceiling.measured(services) == half
    assert ceiling.known(services) is None


async def test_other_programs_spoil_it(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = [msgspec.structs.replace(SOUND, cpu_share=share) for share in (0.4, 0.6, 0.5)]
    child = measurer(monkeypatch, *spoiled)
    assert await ceiling.measured(services) == spoiled[1], "the least disturbed of three"
    assert len(child.orders) == 3
    assert ceiling.known(services) is None
    assert not ceiling.due(services)
    assert await ceiling.measured(services) == spoiled[1], "it serves for a while"
    monkeypatch.setattr(ceiling, "DOUBTFUL_S", 0.0)
    assert ceiling.due(services)
    child = measurer(monkeypatch, spoiled[0], SOUND)
    assert await ceiling.measured(services) == SOUND
    assert len(child.orders) == 2
    assert ceiling.known(services) == SOUND


async def test_a_folder_that_cannot_be_written(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    measurer(monkeypatch, SOUND)
    file(services).mkdir(parents=True)
    assert await ceiling.measured(services) == SOUND
    assert ceiling.known(services) is None


async def test_it_waits_while_a_model_answers(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    child = measurer(monkeypatch, SOUND)
    loaded = await seats.load(services, STORY, context=16384)
    async with aclosing(loaded.request(_long())) as events:
        async for event in events:
            if isinstance(event, Tokens):
                break
        measuring = asyncio.create_task(ceiling.measured(services))
        await asyncio.sleep(0.2)
        assert loaded.busy
        assert child.orders == []
        await loaded.cancel()
        _ = [event async for event in events]
    assert await measuring == SOUND
    assert len(child.orders) == 1


async def test_an_answer_that_begins_ends_it_until_later(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    child = measurer(monkeypatch, SOUND)
    child.takes_s = 60.0
    loaded = await seats.load(services, STORY, context=16384)
    measuring = asyncio.create_task(ceiling.measured(services))
    async with asyncio.timeout(30):
        await child.began.wait()
        async with aclosing(loaded.request(_long())) as events:
            async for _ in events:
                if child.given_up:
                    break
            child.takes_s = 0.0
            await loaded.cancel()
            _ = [event async for event in events]
        assert await measuring == SOUND
    assert (child.given_up, len(child.orders)) == (1, 2)


async def test_leaving_ends_the_measurement(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    child = measurer(monkeypatch, SOUND)
    child.takes_s = 60.0
    measuring = asyncio.create_task(ceiling.measured(services))
    await child.began.wait()
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
    assert child.given_up == 1


def _long() -> Generate:
    return Generate(prompt="Once", ignore_end=True, sampling=Sampling(max_tokens=100_000, temperature=0))
