from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir

from slmtui.core.hub_files import HubDataError
from slmtui.sources.hub import Hub
from slmtui.sources.hub_folder import RepositoryFolder, cache_folder
from slmtui.sources.locks import locked
from slmtui.sources.pull import Pull
from tests.hub import LoopbackHub, connect
from tests.hub.faults import Fault
from tests.sources.downloads import FILE, MIB, NAME, noise, serve

CONTENT = noise(3 * MIB + 5)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        serve(opened, CONTENT).add("config.json", b"{}\n")
        yield opened


def pull_of(hub: LoopbackHub, file: str = FILE) -> Pull:
    asked = Hub(hub.endpoint, cache_folder(), timeout_s=5, patience_s=0.01)
    listing = asked.listing(NAME)
    return Pull(asked, listing, next(one for one in listing.files if one.path == file))


def test_other_programs_find_what_was_pulled_and_it_finds_theirs(hub: LoopbackHub) -> None:
    ours = pull_of(hub).run()
    small = pull_of(hub, "config.json").run()
    sent = hub.sent()
    assert hf_hub_download(NAME, FILE, local_files_only=True) == str(ours)
    assert hf_hub_download(NAME, FILE) == str(ours)
    assert hf_hub_download(NAME, "config.json") == str(small)
    (repository,) = scan_cache_dir(cache_folder()).repos
    assert (repository.repo_id, repository.nb_files, repository.size_on_disk) == (NAME, 2, len(CONTENT) + 3)
    assert not scan_cache_dir(cache_folder()).warnings
    assert pull_of(hub).run() == ours
    assert hub.sent() == sent


def test_what_another_program_downloaded_is_not_downloaded_again(hub: LoopbackHub) -> None:
    came = hf_hub_download(NAME, FILE)
    sent = hub.sent()
    pull = pull_of(hub)
    assert pull.done_bytes == len(CONTENT)
    assert pull.run() == Path(came)
    assert hub.sent() == sent


def test_a_second_one_waits_and_shares(hub: LoopbackHub) -> None:
    hub.faults.append(Fault(bytes_per_s=4 * MIB))
    pulls = [pull_of(hub), pull_of(hub)]
    found: list[Path] = []
    waited = threading.Event()

    def run(pull: Pull) -> None:
        found.append(pull.run())

    threads = [threading.Thread(target=run, args=[pull]) for pull in pulls]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if any(pull.waits and pull.done_bytes > 0 for pull in pulls):
            waited.set()
        threading.Event().wait(0.01)
    assert waited.is_set(), "the one that waited saw how far the other one was"
    assert found[0] == found[1]
    assert found[0].read_bytes() == CONTENT
    assert hub.sent() == len(CONTENT)


def test_huggingface_hub_waits_for_us_too(hub: LoopbackHub) -> None:
    hub.faults.append(Fault(bytes_per_s=4 * MIB))
    pull = pull_of(hub)
    thread = threading.Thread(target=pull.run)
    thread.start()
    while not hub.sent():
        threading.Event().wait(0.01)
    path = hf_hub_download(NAME, FILE)
    thread.join()
    assert Path(path).read_bytes() == CONTENT
    assert hub.sent() == len(CONTENT)


def test_the_lock_is_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    with locked(path, 1), pytest.raises(TimeoutError), locked(path, 0.05):
        pass
    with locked(path, 0.05):
        pass


@pytest.mark.parametrize("way", ["link", "another name", "copy"])
def test_where_links_can_not_be_made_there_are_other_names_or_copies(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("not here")

    if way != "link":
        monkeypatch.setattr(Path, "symlink_to", refused)
    if way == "copy":
        monkeypatch.setattr(os, "link", refused)
    path = pull_of(hub).run()
    folder = RepositoryFolder(cache_folder(), NAME)
    (blob,) = (folder.path / "blobs").iterdir()
    assert path.read_bytes() == blob.read_bytes() == CONTENT
    assert (path.is_symlink(), path.samefile(blob)) == (way == "link", way != "copy")
    assert pull_of(hub).run() == path


@pytest.mark.parametrize("place", ["blobs", "snapshots", ""])
def test_a_link_that_leads_out_of_the_cache_is_not_followed(hub: LoopbackHub, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    planted = RepositoryFolder(cache_folder(), NAME).path / place
    planted.parent.mkdir(parents=True)
    planted.symlink_to(outside, target_is_directory=True)
    with pytest.raises(HubDataError, match=r"leads out of the cache .* through a link; nothing is written there"):
        pull_of(hub).run()
    assert not [path for path in outside.rglob("*") if path.is_file()]
