from __future__ import annotations

import hashlib
import random
from itertools import pairwise

import pytest

from slmtui.sources import sha256 as module
from slmtui.sources.sha256 import sha256, take_up

DATA = random.Random(1).randbytes(3_000_000)


def pieces() -> list[memoryview]:
    chance = random.Random(2)
    cuts = sorted({0, len(DATA), *(chance.randrange(len(DATA)) for _ in range(40)), 63, 64, 65})
    return [memoryview(bytearray(DATA[start:end])) for start, end in pairwise(cuts)]


def test_it_is_sha256() -> None:
    running = sha256()
    assert running.hexdigest() == hashlib.sha256().hexdigest()
    for piece in pieces():
        running.update(piece)
    assert running.hexdigest() == running.hexdigest() == hashlib.sha256(DATA).hexdigest()


def test_it_goes_on_where_it_was_put_aside() -> None:
    assert module._libraries(), (
        "Python is linked to a library whose state can be put aside, on Linux, macOS and Windows"
    )
    running = sha256()
    for piece in pieces():
        running.update(piece)
        aside = running.put_aside()
        assert aside is not None
        taken = take_up(*aside)
        assert taken is not None
        running.update(memoryview(bytearray(b"what comes to the first one later does not matter")))
        running = taken
    assert running.hexdigest() == hashlib.sha256(DATA).hexdigest()


def test_without_such_a_library_python_s_own_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    aside = sha256().put_aside()
    assert aside is not None
    monkeypatch.setattr(module, "_libraries", dict)
    running = sha256()
    for piece in pieces():
        running.update(piece)
    assert running.hexdigest() == hashlib.sha256(DATA).hexdigest()
    assert running.put_aside() is None
    assert take_up(*aside) is None


def test_what_is_no_state_is_not_taken_up() -> None:
    (kind, _) = sha256().put_aside() or ("", b"")
    assert take_up(kind, b"short") is None
    assert take_up("another library", bytes(128)) is None


def test_a_library_that_hashes_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module._Library.__init__

    def wrong(self: module._Library, loaded: object, kind: str) -> None:
        right(self, loaded, kind)  # type: ignore[arg-type]
        self.update = lambda state, data, length: None  # type: ignore[assignment]

    module._libraries.cache_clear()
    monkeypatch.setattr(module._Library, "__init__", wrong)
    assert module._libraries() == {}
    module._libraries.cache_clear()
