from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from slmtui.core.catalog import LocalModel
from slmtui.lab import shelf
from slmtui.lab.download import Transfer, plan
from slmtui.lab.download_events import DownloadFailed, Ready
from slmtui.lab.services import Services
from slmtui.sources.catalog import read_catalog, with_own
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.library import UnknownModelError
from slmtui.sources.resources import pocket_folder
from tests.hub import LoopbackHub, Repository
from tests.lab.test_download import everything
from tests.sources.downloads import FILE, NAME, noise, serve

POCKET = pocket_folder() / "pocket-2m-Q4_K_M.gguf"


async def pulled(lab: Services, wanted: str) -> LocalModel:
    ready = (await everything(Transfer(lab, await plan(lab, wanted))))[-1]
    assert isinstance(ready, Ready)
    return ready.model


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG")


async def test_a_file_and_a_folder_are_listed_and_forgotten_and_stay(lab: Services, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(POCKET, mine / name)
    added = await shelf.add(lab, str(mine / "a.gguf"))
    assert [model.path.name for model in added.models] == ["a.gguf"]
    added = await shelf.add(lab, str(mine))
    assert [model.path.name for model in added.models] == ["b.gguf"]
    assert added.sentence.endswith("it holds 1 model not known before.")
    with pytest.raises(shelf.ShelfError, match=r"b\.gguf is your own file: delete it yourself"):
        await shelf.remove(lab, str(mine / "b.gguf"))
    removed = await shelf.remove(lab, str(mine / "a.gguf"))
    assert removed.sentence.endswith("a.gguf is no longer listed; the file stays.")
    assert files_in(mine) == ["a.gguf", "b.gguf"]


async def test_a_repository_becomes_a_card_of_the_person_s_own(lab: Services, loopback: LoopbackHub) -> None:
    repository = serve(loopback, noise(2000), "Some.One/New-Model_1B-GGUF", "New-Model_1B-Q8_0.gguf")
    repository.add("New-Model_1B-Q4_K_M.gguf", noise(1000))
    repository.add("New-Model_1B-F16-00001-of-00002.gguf", noise(3000))
    repository.add("New-Model_1B-F16-00002-of-00002.gguf", noise(3001))
    repository.card = {"license": "mit", "base_model": "some/base"}
    lab.paths.own_catalog.write_text('# my own models\n\n[[model]]\nid = "qwen3-0.6b"\nname = "Mine"\n')
    added = await shelf.add(lab, "Some.One/New-Model_1B-GGUF")
    assert added.card == "new-model_1b"
    text = lab.paths.own_catalog.read_text()
    assert text.startswith("# my own models\n")
    again = with_own(read_catalog(), lab.paths.own_catalog)
    card = next(card for card in again if card.id == "new-model_1b")
    assert card in lab.catalog
    assert (card.name, card.developer, card.licence, card.base) == ("New-Model_1B", "Some.One", "mit", "some/base")
    assert [(one.quantization, one.size_bytes) for one in card.variants] == [
        ("Q4_K_M", 1000),
        ("Q8_0", 2000),
        ("F16", 6001),
    ]
    assert (await pulled(lab, "new-model_1b:q8_0")).id == "new-model_1b:Q8_0"
    assert "is in the catalog already: `slmtui pull new-model_1b`" in (await shelf.add(lab, repository.id)).sentence


async def test_what_can_not_be_added_is_said(lab: Services, loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(Repository("void/Nothing")).add("README.md", b"#")
    with pytest.raises(HubError, match=r"void/Nothing: it holds no model in MLX's format"):
        await shelf.add(lab, "void/Nothing")
    with pytest.raises(HubError, match=r"has no model nobody/here"):
        await shelf.add(lab, "nobody/here")
    with pytest.raises(shelf.ShelfError, match=r"never-heard is no file or folder here, and no repository"):
        await shelf.add(lab, "never-heard")


async def test_what_was_downloaded_is_deleted_whole(lab: Services, loopback: LoopbackHub) -> None:
    repository = serve(loopback, noise(1000))
    repository.add("Tiny-Q8_0-00001-of-00002.gguf", noise(500))
    repository.add("Tiny-Q8_0-00002-of-00002.gguf", noise(600))
    await pulled(lab, NAME)
    await pulled(lab, f"{NAME}:Q8_0")
    removed = await shelf.remove(lab, f"{NAME}:q8_0")
    assert removed.freed_bytes == 1100
    assert removed.sentence == f"{NAME}:Q8_0 is deleted; 1.1 kB are free again."
    assert [model.id for model in lab.library() if model.place == "hub cache"] == [f"{NAME}:Q4_K_M"]
    await shelf.remove(lab, NAME)
    assert files_in(cache_folder()) == []
    assert not any(cache_folder().glob("models--*"))
    assert json.loads(lab.paths.downloads.read_text()) == []


async def test_other_programs_files_are_left_alone(
    lab: Services, loopback: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(loopback, noise(1000))
    hf_hub_download(NAME, FILE)
    with pytest.raises(shelf.ShelfError, match=r"was downloaded by another program, .*; `slmtui rm --force` or"):
        await shelf.remove(lab, NAME)
    assert (await shelf.remove(lab, NAME, force=True)).freed_bytes == 1000
    assert files_in(cache_folder()) == []
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama"))
    (tmp_path / "llama").mkdir()
    shutil.copy(POCKET, tmp_path / "llama" / "theirs.gguf")
    with pytest.raises(shelf.ShelfError, match=r"theirs\.gguf is llama\.cpp's; delete it with"):
        await shelf.remove(lab, "theirs", force=True)
    with pytest.raises(shelf.ShelfError, match=r"pocket-5m:Q8_0 comes with slmtui and can't be deleted"):
        await shelf.remove(lab, "pocket-5m", force=True)
    assert files_in(tmp_path / "llama") == ["theirs.gguf"]


async def test_what_another_program_brought_is_verified_before_it_is_used(lab: Services, loopback: LoopbackHub) -> None:
    content = noise(1000)
    serve(loopback, content)
    path = Path(hf_hub_download(NAME, FILE))
    assert (await pulled(lab, NAME)).path == path
    path.write_bytes(content[:-1] + b"?")  # noqa: ASYNC240
    failed = (await everything(Transfer(lab, await plan(lab, NAME))))[-1]
    assert isinstance(failed, DownloadFailed)
    assert failed.kind == "mismatch"
    assert f"`slmtui rm --force {NAME}:Q4_K_M`" in failed.message


async def test_a_hash_that_was_verified_is_not_computed_again(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = serve(loopback, noise(1000)).files[FILE]
    model = await pulled(lab, NAME)
    monkeypatch.setattr("slmtui.sources.hashes._digest", None)
    assert await lab.sha256(model.path) == content.sha256


async def test_facts_come_from_the_file_and_not_from_its_name(lab: Services, tmp_path: Path) -> None:
    lying = tmp_path / "Llama-70B-Q2_K.gguf"
    shutil.copy(POCKET, lying)
    facts = await lab.facts(lab.find(str(lying)))
    assert facts is not None
    inspected = await lab.inspect(lab.find("pocket-2m:Q4_K_M"))
    theirs = inspected.facts  # type: ignore[union-attr]
    for fact in ("name", "architecture", "quantization", "parameters", "layers", "hidden_size", "heads", "kv_heads"):
        assert getattr(facts, fact) == getattr(theirs, fact), fact
    assert (facts.vocabulary, facts.trained_context) == (theirs.vocabulary, theirs.trained_context)
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF and no more")
    assert await lab.facts(lab.find(str(tmp_path / "damaged.gguf"))) is None


async def test_a_file_that_is_no_model_is_not_listed(lab: Services, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(POCKET.read_bytes()[:5000])
    (tmp_path / "letter").write_text("Dear reader, " * 100)
    for path, words in (
        (cut, r"cut\.gguf ends in the middle of its header"),
        (tmp_path / "letter", r"letter is not a GGUF file"),
        (tmp_path / "letter" / "x.gguf", r"there is no file .*x\.gguf"),
    ):
        with pytest.raises((shelf.ShelfError, UnknownModelError), match=words):
            await shelf.add(lab, str(path))
    assert lab.config.folders == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
async def test_what_is_neither_file_nor_folder_is_said_and_not_waited_for(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "sorry").mkdir()
    os.mkfifo(tmp_path / "sorry" / "config.json")  # a folder in MLX's format has a file of that name
    (tmp_path / "sorry" / "model.safetensors").touch()
    for name, words in (
        ("pipe", "pipe is a device or a pipe; name a .gguf file"),
        (os.devnull, "is a device or a pipe"),
        ("broken", "broken is a link to nowhere, which is not there"),
        ("loop", "loop is a link that leads to itself"),
        ("sorry", "sorry holds no model, neither a .gguf file nor one in MLX's format"),
        ("x" * 300, "is no file or folder here, and no repository of the hub"),
        (" ", "nothing was named"),
    ):
        with pytest.raises(shelf.ShelfError, match=re.escape(words)):
            await shelf.add(lab, name)
    assert lab.config.folders == ()
    for name in ("pipe", "broken", "loop"):
        with pytest.raises(UnknownModelError, match=rf"{name} is a (device|link)"):
            lab.find(name)
