from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from slmtui.sources.atomic import write_atomically


def test_text_is_utf8_and_line_breaks_stay(tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    write_atomically(path, "「小」\r\n\n")
    assert path.read_bytes() == "「小」\r\n\n".encode()


def test_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    write_atomically(link, "new")
    assert link.read_text() == "new"


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"a" * 100_000)
    with path.open("rb") as reader:
        before = reader.read(10)
        write_atomically(path, b"b" * 100_000)
        assert set(before + reader.read()) == {ord("a")}
    assert set(path.read_bytes()) == {ord("b")}


@pytest.mark.parametrize("target", ["", "missing/file", "plain/file"])
def test_failure_leaves_everything_as_it_was(tmp_path: Path, target: str) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(OSError):
        write_atomically(tmp_path / target, "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "plain"]
    assert not list(tmp_path.parent.glob(".slmtui-*"))


def test_text_that_is_no_unicode_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "lone \ud800")
    assert path.read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, "größer")
        assert os.read(reading, 100).decode() == "größer"
    finally:
        os.close(reading)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
