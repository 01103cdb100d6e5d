"""Two GPUs: how layers are shared out between them, which one alone is used, and what is told of both."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slmtui.core.events import Loaded, Loading, MemoryPart, StopReason, total_bytes
from slmtui.core.offload import ALL
from slmtui.engine.protocol import Load, Measure
from tests.engine.support import F16, done, of, run, tell, text_of, worker
from tests.gpu.support import MIB, Graphics

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("graphics")]
Pair = tuple[Graphics, Graphics]
ONCE = "Once upon a time, there was a"


def weights(parts: tuple[MemoryPart, ...], there: Graphics) -> int:
    """Bytes of weights on one of them."""
    return there.bytes_of(tuple(part for part in parts if part.kind == "weights"))


def request(device: str, **changes: object) -> Load:
    """All layers on a device, or on all GPUs of a backend."""
    return msgspec.structs.replace(Load(path=str(F16), device=device, gpu_layers=ALL, context=512), **changes)


@pytest.mark.parametrize("shares", [(3.0, 1.0), (1.0, 3.0), ()], ids=["3/1", "1/3", "by free memory"])
async def test_layers_are_shared_out(pair: Pair, tmp_path: Path, shares: tuple[float, ...]) -> None:
    async with worker(tmp_path / "log") as one:
        assert isinstance((await run(one, request(pair[0].name)))[-1], Loaded)
        expected = text_of(await run(one, tell(ONCE, 16)))
        events = await run(one, request(pair[0].backend, tensor_split=shares))
        ending = events[-1]
        assert isinstance(ending, Loaded), ending
        assert ending.facts.device == "+".join(each.name for each in pair)
        first, second = (weights(ending.memory, each) for each in pair)
        assert min(first, second) > 0
        if shares:
            assert (first > second) == (shares[0] > shares[1])
        more = total_bytes(of(events, Loading)[0].planned) - total_bytes(ending.memory)
        assert -MIB < more < 4 * MIB, "a dry run gives the second GPU a buffer more than it then takes"
        assert text_of(await run(one, tell(ONCE, 16))) == expected
        done(await run(one, Measure(prompt_tokens=64, generated_tokens=8, repetitions=2)), StopReason.COMPLETED)


async def test_one_of_them_alone(pair: Pair, tmp_path: Path) -> None:
    async with worker(tmp_path / "log") as one:
        ending = (await run(one, request(pair[1].name)))[-1]
        assert isinstance(ending, Loaded), ending
        assert ending.facts.device == pair[1].name
        assert (pair[0].bytes_of(ending.memory), weights(ending.memory, pair[1]) > 0) == (0, True)


async def test_without_a_split_the_first_has_everything(pair: Pair, tmp_path: Path) -> None:
    async with worker(tmp_path / "log") as one:
        events = await run(one, request(pair[0].backend, split_mode="none"))
        ending = events[-1]
        assert isinstance(ending, Loaded), ending
        assert ending.facts.device == pair[0].name
        assert (weights(ending.memory, pair[0]) > 0, pair[1].bytes_of(ending.memory)) == (True, 0)
        planned = of(events, Loading)[0].planned
        assert pair[0].bytes_of(planned) == pytest.approx(pair[0].bytes_of(ending.memory), rel=0.02, abs=MIB)
