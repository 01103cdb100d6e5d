from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slmtui.core.gguf import GgufHeader
from slmtui.sources import gguf, hub_header
from slmtui.sources.gguf import GgufError, read_header
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.hub_header import remote_header
from slmtui.sources.resources import pocket_folder
from tests.hub import LoopbackHub, connect
from tests.hub.faults import Fault
from tests.sources.downloads import NAME, noise, serve

POCKET = pocket_folder() / "pocket-5m-F16.gguf"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        serve(opened, POCKET)
        yield opened


def header(loopback: LoopbackHub) -> GgufHeader:
    hub = Hub(loopback.endpoint, cache_folder(), timeout_s=5)
    listing = hub.listing(NAME)
    return remote_header(hub.source(listing, listing.files[0]), listing.files[0])


def test_a_header_is_read_without_the_rest(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert header(hub) == read_header(POCKET)
    assert hub.sent() < 1_000_000 < POCKET.stat().st_size
    monkeypatch.setattr(hub_header, "_FIRST_BYTES", 1000)
    monkeypatch.setattr(gguf, "_WINDOW_BYTES", 4096)
    hub.asked.clear()
    assert header(hub) == read_header(POCKET)
    assert len(hub.downloads()) > 1


def test_what_is_no_header_or_does_not_come_is_said(hub: LoopbackHub) -> None:
    hub.faults.append(Fault(status=403))
    with pytest.raises(HubError, match=r"localhost refuses Tiny-Q4_K_M\.gguf"):
        header(hub)
    hub.faults.append(Fault(cut_after=10))
    assert header(hub) == read_header(POCKET), "it is asked for again"
    serve(hub, noise(5000))
    with pytest.raises(GgufError, match=r"is not a GGUF file"):
        header(hub)
