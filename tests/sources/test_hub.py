from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slmtui.core.hub_files import Listing
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.pull import Pull
from tests.hub import LoopbackHub, Repository, connect
from tests.hub.server import TOKEN
from tests.sources.downloads import FILE, NAME, noise, serve


@pytest.fixture
def loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        yield opened


def hub_of(loopback: LoopbackHub, token: str | None = None) -> Hub:
    return Hub(loopback.endpoint, cache_folder(), token, timeout_s=5, patience_s=0.01)


def pull_all(hub: Hub, listing: Listing) -> None:
    for file in listing.files:
        Pull(hub, listing, file).run()


def test_a_listing_is_of_one_commit_with_sizes_and_hashes(loopback: LoopbackHub) -> None:
    content = noise(1000)
    repository = serve(loopback, content)
    repository.add("README.md", b"#")
    repository.card = {"license": "other", "license_name": "gem\x1b[2Jma", "base_model": "a/b"}
    listing = hub_of(loopback).listing(NAME)
    assert listing.commit == repository.commit
    assert {file.path: file.size_bytes for file in listing.files} == {FILE: 1000, "README.md": 1}
    assert listing.files[0].sha256 == repository.files[FILE].sha256
    assert listing.files[1].sha256 is None
    assert (listing.licence, listing.base_model) == ("gemma", "a/b")
    assert listing.branch == "main"
    pinned = hub_of(loopback).listing(NAME, repository.commit)
    assert pinned == msgspec.structs.replace(listing, branch=None)


def test_hostile_names_never_leave_the_cache(loopback: LoopbackHub, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    repository = serve(loopback, noise(1000))
    large = {"sha256": "a" * 64, "size": 10, "pointerSize": 100}
    for name in ("../../../evil.gguf", "/tmp/evil.gguf", "a\0b.gguf", "x" * 5000 + ".gguf", "..\\evil.gguf", "\x1b[2J"):
        repository.extra.append({"rfilename": name, "size": 10, "blobId": "b" * 40, "lfs": large})
    repository.extra.append({"rfilename": "ok-Q8_0.gguf", "size": 10, "blobId": "../../../x", "lfs": large})
    repository.extra.append(
        {"rfilename": "ok-Q2_K.gguf", "size": 10, "blobId": "b" * 40, "lfs": {**large, "sha256": "../../../../evil"}}
    )
    hub = hub_of(loopback)
    listing = hub.listing(NAME)
    assert [file.path for file in listing.files] == [FILE]
    assert len(listing.refused) == 8
    assert all(name.isprintable() and len(name) <= 80 for name in listing.refused)
    pull_all(hub, listing)
    outside = set(tmp_path.rglob("*")) - before - set(cache_folder().rglob("*"))
    assert outside <= {cache_folder(), cache_folder().parent}


def test_a_file_below_another_file_is_refused_by_the_system(loopback: LoopbackHub) -> None:
    serve(loopback, noise(1000), file="a.gguf").add("a.gguf/b.gguf", noise(10))
    hub = hub_of(loopback)
    with pytest.raises(OSError, match=r"a\.gguf"):
        pull_all(hub, hub.listing(NAME))


@pytest.mark.parametrize(
    ("commit", "name", "words"),
    [
        ("../../../../evil", NAME, r"names the commit '.*', which is no commit; nothing was downloaded"),
        ("", "../../evil", r"'\.\./\.\./evil' is not the name of a repository"),
    ],
)
def test_a_hub_that_lies_about_names_is_refused(
    loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch, commit: str, name: str, words: str
) -> None:
    repository = serve(loopback, noise(10))
    document = {**repository.document(blobs=True), "id": name, "sha": commit or repository.commit}
    monkeypatch.setattr(repository, "document", lambda **_: document)
    with pytest.raises(HubError, match=words) as raised:
        hub_of(loopback).listing(NAME)
    assert raised.value.kind == "hostile"


@pytest.mark.parametrize("answer", [b"<html>Welcome to the hotel's network</html>", b"[]", b"{"])
def test_something_that_is_no_hub_is_told(
    loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    from tests.hub import server

    monkeypatch.setattr(server._HubHandler, "serve", lambda handler: handler.answer(200, answer))
    with pytest.raises(HubError, match=r"does not answer as a hub does; check HF_ENDPOINT") as raised:
        hub_of(loopback).listing(NAME)
    assert raised.value.kind == "server"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_token_goes_to_the_hub_and_nowhere_else(
    loopback: LoopbackHub, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    loopback.storage = loopback.storage.replace("localhost", host)
    serve(loopback, noise(1000)).gated = True
    loopback.repositories[NAME].add("config.json", b"{}")
    caplog.set_level(logging.DEBUG)
    hub = hub_of(loopback, TOKEN)
    pull_all(hub, hub.listing(NAME))
    assert TOKEN not in repr(hub)
    assert TOKEN not in caplog.text
    assert all("authorization" in asked.headers for asked in loopback.asked if asked.host == "hub")
    for asked in loopback.downloads():
        assert TOKEN not in str(asked)
        assert set(asked.headers) <= {"host", "accept-encoding", "user-agent", "range", "if-range", "connection"}


def test_the_cache_is_where_huggingface_hub_says(tmp_path: Path) -> None:
    script = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_", "HUGGINGFACE"))}
    for more in (
        {},
        {"HF_HOME": str(tmp_path / "home")},
        {"HF_HOME": "~/home", "HF_HUB_CACHE": "$HOME/cache"},
        {"XDG_CACHE_HOME": str(tmp_path / "xdg")},
        {"HUGGINGFACE_HUB_CACHE": str(tmp_path / "old")},
    ):
        environ = {**clean, "HOME": str(tmp_path), **more}
        theirs = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
        ours = "from slmtui.sources.hub_folder import cache_folder; print(cache_folder())"
        mine = subprocess.run([sys.executable, "-c", ours], env=environ, capture_output=True, text=True, check=True)
        assert mine.stdout == theirs.stdout, more


def test_a_search_finds_by_words_and_format(loopback: LoopbackHub) -> None:
    for name, tags, downloads in (
        ("a/Tiny-GGUF", ("gguf",), 10),
        ("b/Tiny-Chat-GGUF", ("gguf",), 1000),
        ("b/Tiny-4bit", ("mlx",), 5),
        ("b/Huge-GGUF", ("gguf",), 5),
    ):
        repository = loopback.add(Repository(name))
        repository.tags, repository.downloads = tags, downloads
    hub = hub_of(loopback)
    assert [one.repository for one in hub.search("tiny")] == ["b/Tiny-Chat-GGUF", "a/Tiny-GGUF"]
    assert [one.repository for one in hub.search("tiny", "MLX")] == ["b/Tiny-4bit"]
    (first,) = hub.search("tiny", limit=1)
    assert (first.downloads, first.updated, first.gated) == (1000, "2026-11-01", False)
    assert hub.search("nothing like it") == ()
