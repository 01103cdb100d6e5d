from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.pull import Pull
from tests.hub import LoopbackHub, connect
from tests.hub.proxy import LoopbackProxy
from tests.hub.server import TOKEN
from tests.sources.downloads import MIB, NAME, noise, serve

CONTENT = noise(MIB + 9)


def pulled(loopback: LoopbackHub, token: str | None = None) -> bytes:
    hub = Hub(loopback.endpoint, cache_folder(), token, timeout_s=5, patience_s=0.01)
    listing = hub.listing(NAME)
    return Pull(hub, listing, listing.files[0]).run().read_bytes()


@pytest.fixture(autouse=True)
def fresh_client() -> None:
    """huggingface_hub keeps its client, with the proxy and the certificates of the time when it was made."""
    from huggingface_hub.utils._http import close_session

    close_session()


def test_it_speaks_https_and_trusts_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackHub(tls=True) as loopback:
        connect(loopback, monkeypatch, tmp_path)
        serve(loopback, CONTENT)
        assert pulled(loopback) == CONTENT
        assert loopback.downloads()


def test_a_certificate_that_is_not_trusted_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackHub(tls=True) as strange, LoopbackHub() as loopback:
        connect(loopback, monkeypatch, tmp_path)
        serve(loopback, CONTENT)
        loopback.storage = strange.storage
        with pytest.raises(HubError, match=r"the certificate of localhost can't be trusted: .*SSL_CERT_FILE") as raised:
            pulled(loopback)
        assert raised.value.kind == "unreachable"
        assert not strange.downloads()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_it_goes_through_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    with LoopbackHub(tls=tls) as loopback, LoopbackProxy() as proxy:
        connect(loopback, monkeypatch, tmp_path)
        serve(loopback, CONTENT)
        monkeypatch.delenv("NO_PROXY")
        for name in ("no_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:se%20cret@{proxy.address}")
        assert pulled(loopback) == CONTENT
        hosts = {loopback.endpoint.partition("://")[2], loopback.storage.partition("://")[2]}
        for host in hosts:
            assert any(host in address for _, address, _ in proxy.asked), f"{host} was asked through the proxy"
        assert {pass_ for _, _, pass_ in proxy.asked} == {"Basic bWU6c2UgY3JldA=="}
        assert {method for method, _, _ in proxy.asked} == ({"CONNECT"} if tls else {"GET"})


def test_a_proxy_of_another_kind_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackHub() as loopback:
        connect(loopback, monkeypatch, tmp_path)
        serve(loopback, CONTENT)
        hub = Hub(loopback.endpoint, cache_folder(), timeout_s=5, patience_s=0.01)
        listing = hub.listing(NAME)
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
        with pytest.raises(HubError, match=r"is a socks5 proxy; name an http:// proxy"):
            Pull(hub, listing, listing.files[0]).run()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://[::1", r"redirects to something that is no address"),
        ("http://localhost:999999", r"redirects to something that is no address"),
        ("http://localh\u00f6st", r"."),
        ("ftp://localhost", r"is to be reached by ftp, which is no way to download a file"),
        ("file:///etc/passwd?", r"is to be reached by file|something that is no address"),
        ("javascript:alert(1)//", r"is to be reached by javascript|something that is no address"),
    ],
)
def test_a_hub_that_redirects_to_nonsense_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    with LoopbackHub() as loopback:
        connect(loopback, monkeypatch, tmp_path)
        serve(loopback, CONTENT)
        loopback.storage = address
        with pytest.raises(HubError, match=words):
            pulled(loopback, TOKEN)
        assert all("authorization" not in asked.headers for asked in loopback.downloads())


def test_a_redirection_in_circles_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackHub() as loopback:
        connect(loopback, monkeypatch, tmp_path)
        serve(loopback, CONTENT)
        hub = Hub(loopback.endpoint, cache_folder(), timeout_s=5, patience_s=0.01)
        listing = hub.listing(NAME)
        loopback.renamed |= {NAME: "a/b", "a/b": NAME}
        with pytest.raises(HubError, match=r"does not give Tiny-Q4_K_M\.gguf \(310\); check HF_ENDPOINT"):
            Pull(hub, listing, listing.files[0]).run()
