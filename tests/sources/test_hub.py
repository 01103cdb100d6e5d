from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from slmtui.core.hub_files import Listing
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.pull import Pull
from tests.hub import LoopbackHub, Repository, connect
from tests.hub.faults import Fault
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


def test_a_card_in_another_shape_says_nothing_and_spoils_nothing(loopback: LoopbackHub) -> None:
    serve(loopback, noise(1000)).card = ["not", "a", "card"]  # type: ignore[assignment]
    listing = hub_of(loopback).listing(NAME)
    assert (listing.licence, listing.base_model) == (None, None)
    assert [file.path for file in listing.files] == [FILE]


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


@pytest.mark.parametrize(
    "answer", [b"<html>Welcome to the hotel's network</html>", b"[]", b"{", b"[" * 100_000 + b"]" * 100_000]
)
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


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between questions, in seconds; nobody really waits."""
    waits: list[float] = []
    monkeypatch.setattr("slmtui.sources.hub.time.sleep", waits.append)
    return waits


@pytest.mark.parametrize("host", ["127.0.0.1:9", "hub.invalid"])
@pytest.mark.parametrize("ask", [lambda hub: hub.search("tiny"), lambda hub: hub.listing(NAME)], ids=["search", "list"])
def test_without_a_network_it_is_said_at_once(
    ask: Callable[[Hub], object],
    host: str,
    slept: list[float],
    loopback: LoopbackHub,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def unknown(name: str | bytes, *_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if host.endswith(".invalid"):  # a resolver that is asked for real may take its time
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(HubError, match=rf"can't reach http://{host}: .*; check the network") as raised:
        ask(Hub(f"http://{host}", cache_folder()))
    assert (raised.value.kind, slept) == ("unreachable", [])
    assert capfd.readouterr().err == "", "what the library logs is nobody's business"


def test_a_busy_hub_is_asked_again_for_a_while(
    loopback: LoopbackHub, slept: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    loopback.add(Repository("a/Tiny-GGUF")).tags = ("gguf",)
    loopback.api_faults.extend([Fault(status=500), Fault(status=429, retry_after=7), Fault(status=503)])
    assert [one.repository for one in Hub(loopback.endpoint, cache_folder()).search("tiny")] == ["a/Tiny-GGUF"]
    assert slept == [1, 7, 4]
    loopback.api_faults.extend([Fault(status=503)] * 9)
    with pytest.raises(HubError, match=r"can't answer for tiny now \(503\); try again later"):
        Hub(loopback.endpoint, cache_folder()).search("tiny")
    assert slept[3:] == [1, 2, 4]
    assert capfd.readouterr().err == ""


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(loopback: LoopbackHub, slept: list[float]) -> None:
    loopback.api_faults.extend([Fault(status=429, retry_after=3600)] * 2)
    with pytest.raises(HubError, match=r"can't answer for tiny now \(429\); try again later"):
        Hub(loopback.endpoint, cache_folder()).search("tiny")
    assert slept == []


def test_a_connection_that_breaks_is_tried_again(loopback: LoopbackHub, slept: list[float]) -> None:
    serve(loopback, noise(10))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(4):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(HubError, match="can't reach"):
            Hub(f"http://127.0.0.1:{server.getsockname()[1]}", cache_folder()).listing(NAME)
        thread.join()
    assert slept == [1, 2, 4]


def test_a_hub_that_warns_is_not_heard(
    loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.hub import server

    warning = {"X-HF-Warning": "login; \x1b[31mplease log in"}
    monkeypatch.setattr(server._HubHandler, "serve", lambda handler: handler.answer(200, b"[]", warning))
    assert hub_of(loopback).search("tiny") == ()
    assert capfd.readouterr().err == ""


def test_the_token_does_not_follow_a_redirection_to_another_host(
    loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.hub import server

    elsewhere = {"Location": f"{loopback.storage}/api/models"}
    monkeypatch.setattr(server._HubHandler, "serve", lambda handler: handler.answer(307, headers=elsewhere))
    with pytest.raises(HubError, match="has tiny no more"):
        hub_of(loopback, TOKEN).search("tiny")
    assert [(asked.host, "authorization" in asked.headers) for asked in loopback.asked] == [
        ("hub", True),
        ("storage", False),
    ]
    assert TOKEN not in str(loopback.downloads())


@pytest.mark.parametrize("named", ["", "hub", "http://", "ftp://hub", "http://hub:99999", "http://[::1"])
def test_an_address_that_is_none_is_said(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", named)
    with pytest.raises(HubError, match=rf"HF_ENDPOINT is '{re.escape(named)}'; write it as https://") as raised:
        Hub.from_environment()
    assert raised.value.kind == "unreachable"


def test_a_token_that_is_none_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "sécret\x01")
    with pytest.raises(HubError, match=r"HF_TOKEN, .* holds characters that no token has") as raised:
        Hub.from_environment()
    assert "cret" not in str(raised.value)
