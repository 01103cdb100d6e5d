"""A file that is being downloaded, with a note behind its content that any process can go on from.

The note says which bytes are there and holds the state of the hash up to some of them. It is written whenever a
megabyte has come, into one of two places in turn and with a checksum, so that a process may be killed at any moment.
What a killed process wrote is safe with the operating system; what a machine that lost its power wrote is not, so after
a restart of the machine everything is read and hashed anew. So it is when somebody else wrote into the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import time
import zlib
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

from slmtui.core.hub_files import HubFile
from slmtui.core.spans import Span, Spans
from slmtui.sources.sha256 import Sha256, sha256, take_up

_PLACE_BYTES = 4096
_NOTE_EVERY_BYTES = 1 << 20
_NOTE_EVERY_S = 0.05
_READ_BYTES = 1 << 20
_HASH_FROM_BYTES = 2 << 20
_SEND_EVERY_BYTES = 8 << 20
_LATE_NS = 2_000_000_000
"""A killed process may have written for so long after its last note; who wrote later was another program."""


_Aside: TypeAlias = tuple[int, tuple[str, bytes] | None]
"""How far the hash is, and what it can be taken up from."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a partial file."""

    number: int
    """Notes are numbered; the highest counts."""
    key: str
    path: str = ""
    """Of the file, in the repository; empty in notes of older versions."""
    size_bytes: int
    commit: str
    etag: str | None
    """Of the answer that the content comes from."""
    boot: str
    """Which start of the machine this was written after."""
    written_ns: int = 0
    """When, in nanoseconds of Unix time."""
    have: tuple[Span, ...]
    hashed_bytes: int
    hash_kind: str | None
    hash_state: bytes

    @property
    def done_bytes(self) -> int:
        """How much of the content is there."""
        return Spans(self.have).total


def read_note(path: Path, file: HubFile) -> Note | None:
    """What the partial file at `path` says about itself; None when there is none, or not of this content."""
    try:
        with path.open("rb") as opened:
            return _read_note(opened, file)
    except OSError:
        return None


def any_note(path: Path) -> Note | None:
    """The same of whatever content it is."""
    try:
        with path.open("rb") as opened:
            size_bytes = os.fstat(opened.fileno()).st_size - 2 * _PLACE_BYTES
            return next(iter(_notes(opened, size_bytes)), None) if size_bytes >= 0 else None
    except OSError:
        return None


class Partial:
    """The partial file, open for one process that holds its lock; what it has was noted by this or an earlier one.

    One thread hashes, others write; whoever changes what is known of the file holds a lock of theirs.

    Raises:
        OSError: it can't be made or written.
    """

    def __init__(self, path: Path, file: HubFile, commit: str) -> None:
        self.path, self.file, self.commit = path, file, commit
        self.etag: str | None = None
        self.have = Spans()
        self._opened, self._reader = self.writer(), self.writer()
        self._buffer = bytearray(_READ_BYTES)
        self._boot = _boot()
        self._number = self._sent_bytes = 0
        self._noted_bytes, self._noted_s = 0, 0.0
        self._hash, self._aside = self._new_hash()
        if (note := _read_note(self._opened, file)) is not None:
            self._go_on(note)
        elif os.fstat(self._opened.fileno()).st_size == file.size_bytes:
            self.have.add(0, file.size_bytes)  # it was finished, and the process killed before it had its name
        self._write_note()

    def writer(self) -> io.FileIO:
        """The file, opened once more for a thread that writes what it receives.

        Raises:
            OSError: it can't be opened.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        return io.FileIO(os.open(self.path, flags, 0o666), "r+b")

    def received(self, start: int, end: int) -> None:
        """Note that these bytes are written.

        Raises:
            OSError: the note can't be written.
        """
        self.have.add(start, end)
        now_s = time.monotonic()
        if self.have.total - self._noted_bytes >= _NOTE_EVERY_BYTES or now_s - self._noted_s >= _NOTE_EVERY_S:
            self._write_note()

    def hash_more(self, frontier: int) -> int:
        """Hash some of the bytes before `frontier` that are written and not hashed; return how far the hash is.

        Raises:
            OSError: they can't be read.
        """
        view = memoryview(self._buffer)[: max(0, min(_READ_BYTES, frontier - self.hashed_bytes))]
        self._reader.seek(self.hashed_bytes)
        view = view[: self._reader.readinto(view)]
        self._hash.update(view)
        # One assignment, so that a thread that writes the note meanwhile sees a state and its place together.
        self._aside = (self.hashed_bytes + len(view), self._hash.put_aside())
        self._send_to_disk()
        return self.hashed_bytes

    @property
    def worth_hashing(self) -> bool:
        """Whether so much can be hashed that it is worth waking the thread that does it."""
        ready = self.have.frontier - self.hashed_bytes
        return ready >= _HASH_FROM_BYTES or (ready > 0 and self.have.frontier == self.file.size_bytes)

    @property
    def hashed_bytes(self) -> int:
        """How far the hash is."""
        return self._aside[0]

    def digest(self) -> str:
        """The hash of what was hashed."""
        return self._hash.hexdigest()

    def start_over(self) -> None:
        """Forget all that is there.

        Raises:
            OSError: the note can't be written.
        """
        self.have, self.etag, self._sent_bytes = Spans(), None, 0
        self._hash, self._aside = self._new_hash()
        self._write_note()

    def finish(self) -> None:
        """Leave nothing but the content, on disk.

        Raises:
            OSError: it can't be written.
        """
        os.fsync(self._opened.fileno())  # takes seconds; a kill meanwhile finds the note where it was
        self._opened.truncate(self.file.size_bytes)
        self._opened.close()
        self._reader.close()

    def close(self) -> None:
        """Note what is there and close the file; another process can go on."""
        if not self._opened.closed:
            with contextlib.suppress(OSError):
                self._write_note()
            self._opened.close()
            self._reader.close()

    def _send_to_disk(self) -> None:
        """Let the system write out what was hashed, so that nothing is left to wait for at the end.

        What is not written yet stays in memory after this advice; 1 GiB takes 0.01 s in place of 0.47 s to be synced.
        """
        if sys.platform == "linux" and self.hashed_bytes - self._sent_bytes >= _SEND_EVERY_BYTES:
            length = self.hashed_bytes - self._sent_bytes
            os.posix_fadvise(self._reader.fileno(), self._sent_bytes, length, os.POSIX_FADV_DONTNEED)
            self._sent_bytes = self.hashed_bytes

    def _new_hash(self) -> tuple[Sha256, _Aside]:
        return sha256() if self.file.sha256 else GitBlobHash(self.file.size_bytes), (0, None)

    def _go_on(self, note: Note) -> None:
        self._number = note.number
        self.etag, self.have = note.etag, Spans(note.have)
        ours = note.boot == self._boot and os.fstat(self._opened.fileno()).st_mtime_ns <= note.written_ns + _LATE_NS
        hashed = take_up(note.hash_kind, note.hash_state) if ours and note.hash_kind else None
        if hashed is not None:
            self._hash, self._aside = hashed, (note.hashed_bytes, hashed.put_aside())
            self._sent_bytes = note.hashed_bytes

    def _write_note(self) -> None:
        hashed_bytes, aside = self._aside
        self._number += 1
        note = Note(
            number=self._number,
            key=self.file.key,
            path=self.file.path,
            size_bytes=self.file.size_bytes,
            commit=self.commit,
            etag=self.etag,
            boot=self._boot,
            written_ns=time.time_ns(),
            have=tuple(self.have),
            hashed_bytes=hashed_bytes if aside else 0,
            hash_kind=aside[0] if aside else None,
            hash_state=aside[1] if aside else b"",
        )
        text = msgspec.json.encode(note)
        record = len(text).to_bytes(4, "big") + zlib.crc32(text).to_bytes(4, "big") + text
        place = self.file.size_bytes + self._number % 2 * _PLACE_BYTES
        write_at(self._opened, place, record.ljust(_PLACE_BYTES, b"\0"))
        self._noted_bytes, self._noted_s = self.have.total, time.monotonic()


class GitBlobHash:
    """Git's SHA-1 of a content of known size, which names the small files of a repository."""

    def __init__(self, size_bytes: int) -> None:
        self._hash = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        """Take in bytes."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        """The hash of what was taken in so far."""
        return self._hash.hexdigest()

    def put_aside(self) -> None:
        """Nothing: such files are small."""
        return


def _read_note(opened: BinaryIO | io.FileIO, file: HubFile) -> Note | None:
    return next((note for note in _notes(opened, file.size_bytes) if note.key == file.key), None)


def _notes(opened: BinaryIO | io.FileIO, size_bytes: int) -> list[Note]:
    """The notes behind a content of this size, the newest first."""
    notes = []
    for number in range(2):
        opened.seek(size_bytes + number * _PLACE_BYTES)
        place = opened.read(_PLACE_BYTES) or b""
        length, checksum = int.from_bytes(place[:4], "big"), int.from_bytes(place[4:8], "big")
        text = place[8 : 8 + length]
        if len(text) != length or not length or zlib.crc32(text) != checksum:
            continue
        with contextlib.suppress(msgspec.DecodeError):
            note = msgspec.json.decode(text, type=Note)
            if note.size_bytes == size_bytes:
                notes.append(note)
    return sorted(notes, key=lambda note: note.number, reverse=True)


def write_at(opened: io.FileIO, place: int, data: bytes | memoryview) -> None:
    """Write all of the data at a place.

    Raises:
        OSError: the disk is full, or can't be written.
    """
    opened.seek(place)
    view = memoryview(data)
    while view:
        view = view[opened.write(view) or 0 :]


def _boot() -> str:
    """Something that another start of this machine has not."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    import psutil

    return f"{psutil.boot_time():.0f}"
