"""SHA-256 that can be put aside and taken up again by another process, which Python's hashlib can't do.

A download that was killed after 1.9 of 2.0 GiB must not read 1.9 GiB again to be verified. OpenSSL and Apple's
CommonCrypto keep the running state in a plain structure that the caller owns (`SHA256_CTX`, 112 bytes, the same since
1999; `CC_SHA256_CTX`, 104 bytes), so its bytes can be written down and read back. Python is linked to one of the
libraries nearly everywhere; where neither is found, or what is found does not hash as hashlib does, hashlib does the
work and there is nothing to put aside.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import sys
from collections.abc import Iterator
from typing import Protocol

_STATE_BYTES = 128
"""Room for either structure."""
_CALLS = {"openssl": "SHA256_{}", "commoncrypto": "CC_SHA256_{}"}


class Sha256(Protocol):
    """A running SHA-256."""

    def update(self, data: memoryview) -> None:
        """Take in bytes of a writable buffer; other threads run meanwhile."""
        ...

    def hexdigest(self) -> str:
        """The digest of what was taken in so far, in lower-case hexadecimal."""
        ...

    def put_aside(self) -> tuple[str, bytes] | None:
        """What `take_up` goes on from, and which library can read it; None where the state can't be had."""
        ...


def sha256() -> Sha256:
    """A new SHA-256, one that can be put aside if this machine has it."""
    libraries = _libraries()
    for kind in libraries:
        return _Resumable(kind, libraries[kind])
    return _Plain()


def take_up(kind: str, state: bytes) -> Sha256 | None:
    """The hash that `put_aside` described; None when this Python has not the library that can read it."""
    library = _libraries().get(kind)
    return _Resumable(kind, library, state) if library is not None and len(state) == _STATE_BYTES else None


class _Resumable:
    """The running state in memory of ours."""

    def __init__(self, kind: str, library: _Library, state: bytes | None = None) -> None:
        self._kind, self._library = kind, library
        self._state = ctypes.create_string_buffer(state or b"", _STATE_BYTES)
        if state is None:
            library.init(self._state)

    def update(self, data: memoryview) -> None:
        self._library.update(self._state, (ctypes.c_char * len(data)).from_buffer(data), len(data))

    def hexdigest(self) -> str:
        state = ctypes.create_string_buffer(self._state.raw, _STATE_BYTES)
        digest = ctypes.create_string_buffer(32)
        self._library.final(digest, state)
        return digest.raw.hex()

    def put_aside(self) -> tuple[str, bytes]:
        return self._kind, self._state.raw


class _Plain:
    """Python's own."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: memoryview) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def put_aside(self) -> None:
        return None


class _Library:
    """The three calls of one library; ctypes lets other threads run during each.

    Raises:
        AttributeError: the library has not all of them.
    """

    def __init__(self, loaded: ctypes.CDLL, kind: str) -> None:
        pointer, name = ctypes.c_void_p, _CALLS[kind]
        # CommonCrypto counts in 32 bits; what is handed over at once is a few MiB.
        length = ctypes.c_size_t if kind == "openssl" else ctypes.c_uint32
        self.init, self.update, self.final = (loaded[name.format(call)] for call in ("Init", "Update", "Final"))
        self.init.argtypes = [pointer]
        self.update.argtypes = [pointer, pointer, length]
        self.final.argtypes = [pointer, pointer]


@functools.cache
def _libraries() -> dict[str, _Library]:
    """What is here and agrees with hashlib, by kind."""
    found: dict[str, _Library] = {}
    for kind, path in _places():
        if kind not in found:
            try:
                library = _Library(ctypes.CDLL(path), kind)
            except (OSError, AttributeError):
                continue
            if _agrees(kind, library):
                found[kind] = library
    return found


def _places() -> Iterator[tuple[str, str]]:
    """Where the libraries may be, the one that this Python uses itself first."""
    if sys.platform == "darwin":
        yield "commoncrypto", "/usr/lib/libSystem.B.dylib"
        return
    try:
        import _hashlib
    except ImportError:
        pass
    else:
        # A lookup in an extension module goes on in the libraries that it is linked to, on Linux.
        yield from (("openssl", path) for path in [getattr(_hashlib, "__file__", None)] if path)
    if sys.platform == "win32":
        yield "openssl", "libcrypto-3-x64.dll"
        yield "openssl", "libcrypto-3.dll"
    else:
        yield "openssl", "libcrypto.so.3"


def _agrees(kind: str, library: _Library) -> bool:
    """Whether a hash that was put aside in the middle of a block ends as hashlib says."""
    data = memoryview(bytearray(range(256)) * 5)
    first = _Resumable(kind, library)
    first.update(data[:1000])
    _, state = first.put_aside()
    second = _Resumable(kind, library, state)
    second.update(data[1000:])
    return second.hexdigest() == hashlib.sha256(data).hexdigest()
