"""What came of a download that was interrupted is deleted, and nothing else."""

from __future__ import annotations

import re

import pytest

from slmtui.lab import shelf
from slmtui.lab.download import Transfer, plan
from slmtui.lab.download_events import Paused
from slmtui.lab.services import Services
from slmtui.sources.hub_folder import RepositoryFolder, cache_folder
from slmtui.sources.library import UnknownModelError
from slmtui.sources.locks import locked
from tests.hub import LoopbackHub, Repository
from tests.hub.faults import Fault
from tests.lab.test_download import everything, until
from tests.lab.test_shelf import files_in
from tests.sources.downloads import FILE, MIB, NAME, TINY, forget_path, noise, serve, weights

pytestmark = pytest.mark.usefixtures("tiny")
SECOND = "Tiny-Q8_0.gguf"


async def interrupted(lab: Services, loopback: LoopbackHub, wanted: str, whole_bytes: int = 0) -> None:
    """Bring 1 MiB of a model, after so many bytes of files that come whole before it."""
    planned = await plan(lab, wanted)
    loopback.faults.extend([Fault()] * (whole_bytes > 0) + [Fault(stall_after=MIB)])
    paused = await until(Transfer(lab, planned), whole_bytes + MIB, Transfer.pause)
    assert paused == Paused(done_bytes=whole_bytes + MIB)


@pytest.mark.parametrize("spec", [NAME, NAME.lower(), f"{NAME}:q4km", f"{NAME}/{FILE}", "tiny-1b", "tiny-1b:Q4_K_M"])
async def test_what_came_is_deleted_without_a_hub(lab: Services, loopback: LoopbackHub, spec: str) -> None:
    serve(loopback, weights(3 * MIB))
    await interrupted(lab, loopback, NAME)
    loopback.asked.clear()
    removed = await shelf.remove(lab, spec)
    assert removed.freed_bytes == MIB
    assert removed.sentence == f"What came of {spec} is deleted; 1.05 MB are free again."
    assert not loopback.asked
    assert files_in(cache_folder()) == []
    with pytest.raises(UnknownModelError):
        await shelf.remove(lab, spec)


async def test_what_an_older_slmtui_began_is_deleted_by_the_name_of_its_repository(
    lab: Services, loopback: LoopbackHub
) -> None:
    serve(loopback, weights(3 * MIB))
    await interrupted(lab, loopback, NAME)
    forget_path(RepositoryFolder(cache_folder(), NAME).partials()[0])
    with pytest.raises(UnknownModelError):
        await shelf.remove(lab, f"{NAME}:Q4_K_M")
    assert (await shelf.remove(lab, NAME)).freed_bytes == MIB
    assert files_in(cache_folder()) == []


async def test_other_variants_stay(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, weights(3 * MIB)).add(SECOND, weights(2 * MIB))
    await interrupted(lab, loopback, f"{NAME}:Q4_K_M")
    await everything(Transfer(lab, await plan(lab, f"{NAME}:Q8_0")))
    for spec in ("tiny-1b:4bit", f"{NAME}:Q2_K", f"{NAME}/Tiny-Q2_K.gguf", "somebody/Else"):
        with pytest.raises(UnknownModelError):
            await shelf.remove(lab, spec)
    assert (await shelf.remove(lab, f"{NAME}:Q4_K_M")).freed_bytes == MIB
    assert [model.id for model in lab.library() if model.place == "hub cache"] == ["tiny-1b:Q8_0"]
    assert lab.find("tiny-1b:Q8_0").path.stat().st_size == 2 * MIB


async def test_a_part_that_stays_when_a_whole_variant_is_deleted_is_told(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, weights(3 * MIB)).add(SECOND, weights(2 * MIB))
    await interrupted(lab, loopback, f"{NAME}:Q4_K_M")
    await everything(Transfer(lab, await plan(lab, f"{NAME}:Q8_0")))
    removed = await shelf.remove(lab, NAME)
    assert (removed.freed_bytes, removed.sentence) == (
        2 * MIB,
        f"tiny-1b:Q8_0 is deleted; 2.1 MB are free again. What came of {NAME}:Q4_K_M stays; `slmtui rm "
        f"{NAME}:Q4_K_M` deletes it.",
    )
    assert (await shelf.remove(lab, f"{NAME}:Q4_K_M")).freed_bytes == MIB
    assert files_in(cache_folder()) == []


async def test_a_file_whose_name_tells_no_label_is_meant_alone(lab: Services, loopback: LoopbackHub) -> None:
    loopback.add(Repository(NAME)).add("tiny.gguf", weights(3 * MIB))
    await interrupted(lab, loopback, NAME)
    loopback.repositories[NAME].add(SECOND, noise(2 * MIB))
    await interrupted(lab, loopback, f"{NAME}:Q8_0")
    with pytest.raises(UnknownModelError):
        await shelf.remove(lab, f"{NAME}/other.gguf")
    assert (await shelf.remove(lab, f"{NAME}/tiny.gguf")).freed_bytes == MIB
    assert len(RepositoryFolder(cache_folder(), NAME).partials()) == 1
    assert (await shelf.remove(lab, f"{NAME}:Q8_0")).freed_bytes == MIB


async def test_parts_that_are_whole_go_with_the_one_that_is_not(lab: Services, loopback: LoopbackHub) -> None:
    repository = loopback.add(Repository(NAME))
    repository.add("Tiny-Q8_0-00001-of-00002.gguf", noise(2 * MIB))
    repository.add("Tiny-Q8_0-00002-of-00002.gguf", noise(3 * MIB, seed=8))
    await interrupted(lab, loopback, NAME, whole_bytes=2 * MIB)
    assert (await shelf.remove(lab, f"{NAME}:Q8_0")).freed_bytes == 3 * MIB
    assert files_in(cache_folder()) == []
    assert lab.paths.downloads.read_text() == "[]"


async def test_whole_models_stay_where_their_name_means_more_than_one_or_none(
    lab: Services, loopback: LoopbackHub
) -> None:
    lab.catalog = tuple(card for card in lab.catalog if card != TINY)
    serve(loopback, weights(2 * MIB)).add(SECOND, noise(MIB))
    for label in ("Q4_K_M", "Q8_0"):
        await everything(Transfer(lab, await plan(lab, f"{NAME}:{label}")))
    before = files_in(cache_folder())
    for spec in (NAME, f"{NAME}/{FILE}", f"https://huggingface.co/{NAME}/blob/main/{FILE}"):
        with pytest.raises(UnknownModelError):
            await shelf.remove(lab, spec)
    assert files_in(cache_folder()) == before


async def test_what_another_process_downloads_just_now_stays(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, weights(3 * MIB))
    await interrupted(lab, loopback, NAME)
    file = (await plan(lab, NAME)).files[0]
    folder = RepositoryFolder(cache_folder(), NAME)
    with (
        locked(folder.lock(file), 1),
        pytest.raises(shelf.ShelfError, match=re.escape(f"{NAME} is being downloaded now; stop that first")),
    ):
        await shelf.remove(lab, NAME)
    assert folder.partial(file).exists()
