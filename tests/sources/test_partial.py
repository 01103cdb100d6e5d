from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path

import pytest

from slmtui.core.hub_files import HubFile
from slmtui.sources import partial as module
from slmtui.sources import sha256
from slmtui.sources.partial import Partial, read_note, write_at
from tests.sources.downloads import MIB, forget_path, noise

CONTENT = noise(3 * MIB + 17)
FILE = HubFile(path="a.gguf", size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), blob="a" * 40)


def receive(partial: Partial, start: int, end: int) -> None:
    with partial.writer() as writer:
        write_at(writer, start, CONTENT[start:end])
    partial.received(start, end)


def hash_all(partial: Partial) -> int:
    """Hash what is there; how many bytes were read."""
    before = partial.hashed_bytes
    while partial.hashed_bytes < partial.have.frontier:
        partial.hash_more(partial.have.frontier)
    return partial.hashed_bytes - before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blob.incomplete"


def test_another_process_goes_on_without_reading_again(path: Path) -> None:
    first = Partial(path, FILE, "c" * 40)
    first.etag = '"x"'
    receive(first, 0, MIB)
    receive(first, 2 * MIB, 3 * MIB)
    assert hash_all(first) == MIB
    first.close()
    second = Partial(path, FILE, "c" * 40)
    assert (list(second.have), second.hashed_bytes, second.etag) == ([(0, MIB), (2 * MIB, 3 * MIB)], MIB, '"x"')
    receive(second, MIB, 2 * MIB)
    receive(second, 3 * MIB, len(CONTENT))
    assert hash_all(second) == len(CONTENT) - MIB
    assert second.digest() == FILE.sha256
    second.finish()
    assert path.read_bytes() == CONTENT


def test_what_an_older_slmtui_began_is_gone_on_with(path: Path) -> None:
    first = Partial(path, FILE, "c" * 40)
    receive(first, 0, MIB)
    first.close()
    forget_path(path)
    note = read_note(path, FILE)
    assert note is not None and note.have == ((0, MIB),)


def test_after_another_start_of_the_machine_everything_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Partial(path, FILE, "c" * 40)
    receive(first, 0, 2 * MIB)
    hash_all(first)
    first.close()
    monkeypatch.setattr(module, "_boot", lambda: "another start")
    second = Partial(path, FILE, "c" * 40)
    assert (list(second.have), second.hashed_bytes) == ([(0, 2 * MIB)], 0)
    receive(second, 2 * MIB, len(CONTENT))
    assert hash_all(second) == len(CONTENT)
    assert second.digest() == FILE.sha256
    second.close()


def test_after_somebody_else_wrote_into_the_file_everything_is_read_again(path: Path) -> None:
    first = Partial(path, FILE, "c" * 40)
    receive(first, 0, len(CONTENT))
    hash_all(first)
    first.close()
    with path.open("r+b") as opened:
        opened.seek(MIB)
        opened.write(b"something else")
    later_s = time.time() + 60
    os.utime(path, (later_s, later_s))
    second = Partial(path, FILE, "c" * 40)
    assert second.hashed_bytes == 0
    hash_all(second)
    assert second.digest() != FILE.sha256
    second.close()


def test_without_a_hash_that_can_be_put_aside_everything_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sha256, "_libraries", dict)
    first = Partial(path, FILE, "c" * 40)
    receive(first, 0, MIB)
    hash_all(first)
    first.close()
    second = Partial(path, FILE, "c" * 40)
    assert (list(second.have), second.hashed_bytes) == ([(0, MIB)], 0)
    receive(second, MIB, len(CONTENT))
    hash_all(second)
    assert second.digest() == FILE.sha256
    second.close()


def test_a_note_that_is_torn_falls_back_to_the_one_before(path: Path) -> None:
    partial = Partial(path, FILE, "c" * 40)
    for at in range(0, 3 * MIB, MIB):
        receive(partial, at, at + MIB)
    partial.close()
    newest = read_note(path, FILE)
    assert newest is not None
    place = FILE.size_bytes + newest.number % 2 * 4096
    with path.open("r+b") as file:
        file.seek(place + 100)
        file.write(b"torn")
    older = read_note(path, FILE)
    assert older is not None
    assert older.number == newest.number - 1
    with path.open("r+b") as file:
        file.seek(FILE.size_bytes)
        file.write(os.urandom(8192))
    assert read_note(path, FILE) is None
    fresh = Partial(path, FILE, "c" * 40)
    assert fresh.have.total == 0
    fresh.close()


def test_a_note_of_another_content_is_none(path: Path) -> None:
    partial = Partial(path, FILE, "c" * 40)
    receive(partial, 0, MIB)
    partial.close()
    other = HubFile(path="a.gguf", size_bytes=FILE.size_bytes, sha256="0" * 64, blob="a" * 40)
    assert read_note(path, other) is None
    assert read_note(path.with_name("nothing"), FILE) is None


def test_noise_is_never_taken_for_a_note(path: Path) -> None:
    chance = random.Random(5)
    for _ in range(50):
        path.write_bytes(chance.randbytes(chance.randrange(FILE.size_bytes + 8192)) + b"?")
        assert read_note(path, FILE) is None


def test_a_file_that_was_finished_and_has_no_name_yet_is_read_and_not_fetched(path: Path) -> None:
    path.write_bytes(CONTENT)
    partial = Partial(path, FILE, "c" * 40)
    assert list(partial.have) == [(0, len(CONTENT))]
    assert hash_all(partial) == len(CONTENT)
    assert partial.digest() == FILE.sha256
    partial.finish()
    assert path.read_bytes() == CONTENT


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system opens links whatever one says")
def test_a_link_in_place_of_the_file_is_not_written_through(path: Path) -> None:
    target = path.with_name("somebody's file")
    target.write_text("precious")
    path.symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic links|symlink"):
        Partial(path, FILE, "c" * 40)
    assert target.read_text() == "precious"


def test_small_files_have_git_s_hash(path: Path) -> None:
    content = b"{}\n"
    blob = hashlib.sha1(b"blob 3\0" + content).hexdigest()
    file = HubFile(path="config.json", size_bytes=3, blob=blob)
    partial = Partial(path, file, "c" * 40)
    with partial.writer() as writer:
        write_at(writer, 0, content)
    partial.received(0, 3)
    partial.hash_more(3)
    assert partial.digest() == blob
    partial.finish()
    assert path.read_bytes() == content
