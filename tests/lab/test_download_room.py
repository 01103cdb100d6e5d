from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.core.outlook import Place
from slmtui.lab import download_plan
from slmtui.lab.download import Transfer, plan
from slmtui.lab.services import Services
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.resources import pocket_folder
from tests.hub import LoopbackHub, Repository
from tests.lab.test_download import everything
from tests.sources.downloads import MIB, NAME, noise, serve, weights

QWEN = "unsloth/Qwen3-0.6B-GGUF"
SIZES = {"Q8_0": 639_447_744, "Q4_K_M": 396_705_472, "Q3_K_M": 347_100_000}


@pytest.fixture
def loopback(tmp_path: Path, loopback: LoopbackHub) -> LoopbackHub:
    repository = loopback.add(Repository(QWEN))
    for label, size in SIZES.items():
        sparse = tmp_path / f"{label}.gguf"
        with sparse.open("wb") as file:
            file.truncate(size)
        repository.add(f"Qwen3-0.6B-{label}.gguf", sparse, sha256=f"{size:064x}")
    return loopback


def free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    """Let this machine have so much free memory."""

    async def place(_: Services) -> Place:
        return Place(name="this machine", available_bytes=mib * MIB)

    monkeypatch.setattr(download_plan, "place_of", place)


async def test_a_model_of_the_catalog_is_judged_without_asking_for_its_file(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 16_000)
    planned = await plan(lab, "qwen3-0.6b:Q8_0")
    assert planned.fit is not None
    assert planned.fit.verdict == "yes"
    assert planned.fit.needed_bytes > SIZES["Q8_0"]
    assert (planned.suggestion, planned.refusal) == (None, None)
    assert not loopback.downloads()


async def test_what_does_not_fit_is_refused_with_the_numbers_and_what_would_fit(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 300)
    planned = await plan(lab, "qwen3-0.6b:Q8_0")
    assert planned.fit is not None
    assert planned.fit.verdict == "no"
    assert planned.refusal is not None
    assert planned.refusal.startswith("it needs 1")
    assert planned.refusal.endswith(" of memory and 300 MiB are free")
    free(monkeypatch, 900)
    planned = await plan(lab, "qwen3-0.6b:Q8_0")
    assert planned.fit is not None
    assert planned.fit.verdict == "no"
    assert planned.refusal is None
    assert planned.suggestion is not None
    assert planned.suggestion.startswith("qwen3-0.6b:Q8_0 fits with a context of ")


async def test_a_model_that_the_catalog_does_not_know_is_judged_by_its_header(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(loopback, weights(4 * MIB))
    free(monkeypatch, 16_000)
    planned = await plan(lab, NAME)
    assert planned.fit is not None
    assert planned.fit.verdict == "yes"
    assert 0 < loopback.sent() < MIB, "no more than the header came"
    free(monkeypatch, 1)
    planned = await plan(lab, NAME)
    assert planned.refusal is not None
    assert planned.refusal.endswith(" of memory and 1 MiB are free")
    sent = loopback.sent()
    await everything(Transfer(lab, planned))
    assert (await plan(lab, NAME)).fit is not None
    assert loopback.sent() == sent + 4 * MIB, "what is here is not asked for again"


async def test_a_smaller_variant_of_the_repository_is_proposed(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = serve(loopback, pocket_folder() / "pocket-5m-F16.gguf", file="Tiny-F16.gguf")
    repository.add("Tiny-Q4_K_M.gguf", pocket_folder() / "pocket-5m-Q4_K_M.gguf")
    free(monkeypatch, 16_000)
    small = (await plan(lab, f"{NAME}:Q4_K_M")).fit
    assert small is not None
    free(monkeypatch, small.needed_bytes // MIB + 2)
    planned = await plan(lab, f"{NAME}:F16")
    assert planned.refusal is not None
    assert planned.suggestion == f"{NAME}:Q4_K_M (3.28 MB) should fit"


async def test_a_file_that_no_engine_opens_is_refused(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, noise(4 * MIB))
    planned = await plan(lab, NAME)
    assert planned.refusal is not None
    assert planned.refusal.startswith("the hub's file can't be opened: Tiny-Q4_K_M.gguf is not a GGUF file")
    assert not any(cache_folder().rglob("*.gguf"))
