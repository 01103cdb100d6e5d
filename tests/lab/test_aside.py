from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from slmtui.lab.aside import aside
from tests.lab.seats import services


async def test_the_answer_or_the_error_comes() -> None:
    assert await aside(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0)


def test_nobody_waits_for_a_hash_that_is_wanted_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def digest(*_: object) -> str:
        reading.set()
        go_on.wait()
        return ""

    async def wants() -> None:
        async with services(tmp_path / "home") as opened:
            wanted = asyncio.create_task(opened.sha256(Path(__file__)))
            assert await asyncio.to_thread(reading.wait, 60)
            wanted.cancel()

    monkeypatch.setattr("slmtui.sources.hashes._digest", digest)
    loop = threading.Thread(target=asyncio.run, args=(wants(),), daemon=True)
    loop.start()
    loop.join(60)
    ended = not loop.is_alive()
    go_on.set()
    loop.join(60)
    assert ended, "it waited for the hash"
