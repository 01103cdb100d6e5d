"""Outlooks on real files and on the whole catalog, beside the engine's own dry run and real workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.core.estimate_memory import Setup, reserved_bytes
from slmtui.core.events import Inspected, total_bytes
from slmtui.core.outlook import Outlook
from slmtui.engine.protocol import Load
from slmtui.lab import fit
from tests import families
from tests.core.estimates import MIB, place
from tests.engine.support import F16, Q4_K_M, Q8_0, STORY, of, run, worker

ROUNDING = 0.02 * MIB
"""The dry run's figures have two decimals of MiB, one for keys and one for values of each kind of cache."""
BUFFER_ERROR = 0.10


def part(told: Outlook, kind: str) -> int:
    return sum(one.bytes for one in told.parts if one.kind == kind)


def check(path: Path, told: Inspected, context: int, kv: str) -> None:
    found = fit.of_file(path, place(), context, kv)
    assert part(found, "KV cache") == pytest.approx(total_bytes(told.planned, "KV cache"), abs=2 * ROUNDING)
    assert part(found, "recurrent state") == pytest.approx(total_bytes(told.planned, "recurrent state"), abs=ROUNDING)
    assert part(found, "weights") == told.facts.weights_bytes
    assert part(found, "output") == pytest.approx(total_bytes(told.planned, "output"), abs=ROUNDING)
    setup = Setup(context=context, type_k=kv, type_v=kv)
    buffers = total_bytes(told.planned, "compute")
    assert reserved_bytes(fit.anatomy_of_file(path), setup) == pytest.approx(buffers, rel=BUFFER_ERROR)


@pytest.mark.parametrize("path", [F16, Q8_0, Q4_K_M, STORY], ids=lambda path: path.stem)
async def test_real_files_beside_the_engines_dry_run(tmp_path: Path, path: Path) -> None:
    async with worker(tmp_path / "log") as client:
        for context, kv in ((512, "f16"), (4000, "f16"), (4096, "f16" if path == STORY else "q8_0")):
            request = Load(path=str(path), context=context, type_k=kv, type_v=kv, inspect_only=True)
            (told,) = of(await run(client, request), Inspected)
            check(path, told, context, kv)


async def test_other_architectures_beside_the_engines_dry_run(tmp_path: Path) -> None:
    async with worker(tmp_path / "log") as client:
        for name in families.MODELS:
            path = families.model(name, "Q4_K_M").write(tmp_path / "model.gguf")
            for context, kv in ((1024, "f16"), (1024 if name == "gpt2" else 8192, "q8_0")):
                request = Load(path=str(path), context=context, type_k=kv, type_v=kv, inspect_only=True)
                (told,) = of(await run(client, request), Inspected)
                try:
                    check(path, told, context, kv)
                except AssertionError as error:
                    raise AssertionError(f"{name} at {context} with {kv}: {error}") from error
