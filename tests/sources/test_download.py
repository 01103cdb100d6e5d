from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmtui.core.spans import Ramp
from slmtui.sources.fetch import StoppedError, Work
from slmtui.sources.hub_errors import HubError
from slmtui.sources.partial import read_note
from tests.hub import LoopbackHub, connect
from tests.hub.faults import Fault
from tests.sources.downloads import MIB, Attempt, noise, serve

CONTENT = noise(4 * MIB + 123)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path)
        serve(opened, CONTENT)
        yield opened


@contextlib.contextmanager
def small_pieces(piece_bytes: int, least_bytes: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slmtui.sources.fetch._PIECE_BYTES", piece_bytes)
        patch.setattr("slmtui.sources.fetch._LEAST_BYTES", least_bytes)
        yield


def test_a_file_comes_whole_and_leaves_nothing_else(hub: LoopbackHub, tmp_path: Path) -> None:
    attempt = Attempt(hub, tmp_path)
    assert attempt.run() == CONTENT
    assert [path.name for path in attempt.partial.path.parent.iterdir()] == [attempt.partial.path.name]
    (asked,) = hub.downloads()
    assert (asked.status, asked.sent) == (200, len(CONTENT))


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(status=500), Fault(status=503)],
        [Fault(status=429, retry_after=0)],
        [Fault(cut_after=MIB), Fault(cut_after=MIB), Fault(cut_after=0)],
        [Fault(cut_after=MIB), Fault(status=403), Fault(cut_after=MIB)],
        [Fault(cut_after=MIB), Fault(ignore_range=True)],
        [Fault(cut_after=MIB), Fault(etag='"another"')],
        [Fault(cut_after=MIB), Fault(etag='"another"', cut_after=2 * MIB), Fault(etag='"another"')],
        [Fault(bytes_per_s=20 * MIB)],
    ],
    ids=["500", "429", "cut", "signature too old", "200 for a range", "changed", "changed for good", "slow"],
)
def test_it_bears_what_hosts_do(hub: LoopbackHub, tmp_path: Path, faults: list[Fault]) -> None:
    hub.faults.extend(faults)
    assert Attempt(hub, tmp_path).run() == CONTENT
    assert not hub.faults


def test_a_host_that_falls_silent_is_asked_again(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(stall_after=MIB))
    assert Attempt(hub, tmp_path, timeout_s=0.2).run() == CONTENT
    assert [asked.headers.get("range") for asked in hub.downloads()] == [None, f"bytes={MIB}-{len(CONTENT) - 1}"]


def test_what_came_is_not_asked_for_again(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(cut_after=3 * MIB))
    assert Attempt(hub, tmp_path).run() == CONTENT
    first, second = hub.downloads()
    assert first.sent + second.sent == len(CONTENT)
    assert second.headers["if-range"] == first_etag(hub)
    assert second.status == 206


def first_etag(hub: LoopbackHub) -> str:
    return f'"{next(iter(hub.large))}"'


def test_wrong_bytes_of_the_right_length_are_deleted_and_said(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(wrong_at=2 * MIB))
    attempt = Attempt(hub, tmp_path)
    with pytest.raises(HubError, match=r"not the file that the hub lists.*It was deleted\. Try again") as raised:
        attempt.run()
    assert raised.value.kind == "mismatch"
    assert not attempt.partial.path.exists()
    assert Attempt(hub, tmp_path).run() == CONTENT


def test_a_host_that_never_lets_it_through_is_given_up(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.extend([Fault(status=500)] * 7)
    with pytest.raises(HubError, match=r"does not let Tiny-Q4_K_M.gguf through: localhost answered 500") as raised:
        Attempt(hub, tmp_path).run()
    assert raised.value.kind == "unreachable"


def test_a_file_that_is_gone_is_not_asked_for_again_and_again(hub: LoopbackHub, tmp_path: Path) -> None:
    attempt = Attempt(hub, tmp_path)
    hub.large.clear()
    hub.repositories.clear()
    with pytest.raises(HubError, match=r"127\.0\.0\.1 has Tiny-Q4_K_M\.gguf no more") as raised:
        attempt.run()
    assert raised.value.kind == "missing"


def test_it_stops_at_once_even_while_nothing_comes_and_goes_on_later(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(stall_after=2 * MIB))
    attempt = Attempt(hub, tmp_path, timeout_s=60)
    raised: list[StoppedError] = []

    def run() -> None:
        try:
            attempt.run()
        except StoppedError as error:
            raised.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    while attempt.download.done_bytes < 2 * MIB:
        threading.Event().wait(0.01)
    attempt.download.stop()
    runner.join(10)
    assert not runner.is_alive()
    assert raised
    note = read_note(attempt.partial.path, attempt.file)
    assert note is not None
    assert note.done_bytes == 2 * MIB
    sent = hub.sent()
    assert Attempt(hub, tmp_path).run() == CONTENT
    assert hub.sent() - sent == len(CONTENT) - 2 * MIB


def test_several_connections_share_the_work_where_a_host_limits_each(hub: LoopbackHub, tmp_path: Path) -> None:
    content = noise(6 * MIB)
    serve(hub, content)
    hub.bytes_per_s = 4 * MIB
    attempt = Attempt(hub, tmp_path, lines=3)
    attempt.download._ramp = Ramp(most=3, every_s=0.1, gain=0.0)
    with small_pieces(MIB // 2, MIB // 2):
        assert attempt.run() == content
    spans = [asked.span for asked in hub.downloads()]
    assert len(spans) > 3, "pieces were fetched"
    assert len({start for start, _ in spans}) == len(spans), "none of them twice"
    assert hub.sent() <= len(content) + 2 * MIB, "what is given to others is not fetched to its end"


def test_connections_share_the_work_until_little_is_left(hub: LoopbackHub, tmp_path: Path) -> None:
    serve(hub, noise(16 * MIB))
    partial = Attempt(hub, tmp_path).partial
    work = Work(partial, patience_s=0.01)
    work.crew = 1
    with contextlib.closing(partial), small_pieces(8 * MIB, 2 * MIB):
        claims = [work.take()]
        work.crew = 4
        while claims[-1] is not None:
            claims.append(work.take())
    assert work.all_taken
    spans = sorted((claim.start, claim.end) for claim in claims if claim is not None)
    assert spans == [(start * MIB, (start + 2) * MIB) for start in range(0, 16, 2)]


def test_a_host_that_wants_one_connection_gets_one(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.extend([Fault(bytes_per_s=4 * MIB), Fault(status=429), Fault(status=503)])
    attempt = Attempt(hub, tmp_path, lines=4)
    attempt.download._ramp = Ramp(most=4, every_s=0.05, gain=0.0)
    with small_pieces(MIB // 2, MIB // 2):
        assert attempt.run() == CONTENT
    assert [asked.status for asked in hub.downloads()][:2] == [200, 429]
