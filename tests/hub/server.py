"""The two hosts of a loopback hub, and what they were asked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub.content import Content, Repository
from tests.hub.faults import Fault

TOKEN = "hf_loopbackSecretTokenThatNobodyElseMaySee"
CERTIFICATE = Path(__file__).with_name("loopback.pem")
"""Of `localhost` and 127.0.0.1, signed by itself, with its key; good for a hundred years and for nothing else."""
_CHUNK_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Asked:
    """One request, and how many bytes of content it was sent."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    start: int = 0
    """Where in the file the content begins."""
    sent: int = 0

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.sent


class LoopbackHub:
    """A hub at `endpoint`, with large files at another host and port; a context manager."""

    def __init__(self, *, tls: bool = False) -> None:
        """With `tls` both hosts speak HTTPS, with the certificate in `CERTIFICATE`."""
        self.tls = tls
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        """Old name → new name."""
        self.faults: deque[Fault] = deque()
        """What is wrong with the next answers of the storage host, in order."""
        self.api_faults: deque[Fault] = deque()
        """The same for the hub's API."""
        self.bytes_per_s: float | None = None
        """What each connection to the storage host gets at most."""
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.large: dict[str, Content] = {}
        """Content by SHA-256, of every commit that was ever listed."""
        # Two names for this machine, so that nothing can take one host for the other.
        self._hub = _Server(("127.0.0.1", 0), _HubHandler, self)
        self._storage = _Server(("127.0.0.1", 0), _StorageHandler, self)
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._hub.server_address[1]}"
        self.storage = f"{scheme}://localhost:{self._storage.server_address[1]}"

    def __enter__(self) -> Self:
        for server in (self._hub, self._storage):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        for server in (self._hub, self._storage):
            server.hang_up()
            server.shutdown()
            server.server_close()

    def add(self, repository: Repository) -> Repository:
        """Serve a repository."""
        self.repositories[repository.id] = repository
        return repository

    def environment(self, cache: Path) -> dict[str, str]:
        """What a client's environment needs to know nothing but this hub."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(cache.parent),
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        } | ({"SSL_CERT_FILE": str(CERTIFICATE)} if self.tls else {})

    def sent(self) -> int:
        """Bytes of large files that were sent so far."""
        return sum(asked.sent for asked in self.asked if asked.host == "storage")

    def downloads(self) -> list[Asked]:
        """Requests to the storage host."""
        return [asked for asked in self.asked if asked.host == "storage"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], hub: LoopbackHub) -> None:
        self.hub = hub
        self._sockets: set[socket.socket] = set()
        super().__init__(address, handler)
        if hub.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if isinstance(request, socket.socket):
            self._sockets.add(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """Close connections that stay open."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed in tests; nobody needs to read of it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    host = ""
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub = self.server.hub
        self.asked = Asked(self.host, self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        self.hub.asked.append(self.asked)
        self.serve()

    def serve(self) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, **more: str) -> None:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        self.begin(status, {"Content-Length": str(len(body)), **(headers or {}), **named})
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.asked.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class _HubHandler(_Handler):
    host = "hub"

    def serve(self) -> None:
        split = urlsplit(self.path)
        if self.hub.api_faults and split.path.startswith("/api/"):
            fault = self.hub.api_faults.popleft()
            self.answer(fault.status or 500, b'{"error": "as was wished"}', fault.headers)
        elif split.path == "/api/models":
            self._search(parse_qs(split.query))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", split.path):
            self._tell(found[1], found[2], unquote(found[3] or "main"), blobs="blobs" in parse_qs(split.query))
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", split.path):
            self._resolve(found[1], unquote(found[2]), unquote(found[3]))
        else:
            self.answer(404, b'{"error": "no such page"}')

    @property
    def _known(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def _json(self, document: object) -> None:
        self.answer(200, json.dumps(document).encode(), Content_Type="application/json")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, json.dumps({"error": message}).encode(), X_Error_Code=code, X_Error_Message=message)

    def _repository(self, name: str, revision: str) -> Repository | None:
        """The repository, or an answer to say why not."""
        if name in self.hub.renamed:
            self.answer(307, Location=self.path.replace(name, self.hub.renamed[name], 1))
            return None
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._known):
            self._refuse(404 if self._known else 401, "RepoNotFound", "Repository not found")
            return None
        if revision not in ("main", repository.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        self.hub.large.update((content.sha256, content) for content in repository.files.values())
        return repository

    def _tell(self, name: str, what: str | None, revision: str, *, blobs: bool) -> None:
        if repository := self._repository(name, revision):
            self._json(repository.tree() if what == "tree" else repository.document(blobs=blobs))

    def _search(self, query: dict[str, list[str]]) -> None:
        words = query.get("search", [""])[0].lower().split()
        tags = set(query.get("filter", [])) | set(query.get("library", []))
        found = [
            repository.document(blobs=False)
            for repository in self.hub.repositories.values()
            if all(word in repository.id.lower() for word in words) and tags <= set(repository.tags)
        ]
        found.sort(key=lambda document: -document["downloads"])
        self._json(found[: int(query.get("limit", ["1000"])[0])])

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name, revision)
        if repository is None:
            return
        if repository.gated and not self._known:
            asks = "authorization" in self.headers
            self._refuse(403 if asks else 401, "GatedRepo", f"Access to model {name} is restricted.")
            return
        if path not in repository.files:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        content, large = repository.files[path], repository.is_large(path)
        if large:
            self.answer(
                302,
                Location=f"{self.hub.storage}/large/{content.sha256}?signature=for-an-hour&name={quote(path)}",
                X_Repo_Commit=repository.commit,
                X_Linked_Etag=f'"{content.sha256}"',
                X_Linked_Size=str(content.size),
            )
        else:
            body = content.read(0, content.size)
            etag = f'"{content.blob(large=False)}"'
            self.answer(200, body, ETag=etag, X_Repo_Commit=repository.commit, Accept_Ranges="bytes")


class _StorageHandler(_Handler):
    host = "storage"

    def serve(self) -> None:
        sha256 = urlsplit(self.path).path.removeprefix("/large/")
        content = self.hub.large.get(sha256)
        if content is None:
            self.answer(404)
            return
        fault = self.hub.faults.popleft() if self.hub.faults and self.command == "GET" else Fault()
        if fault.status is not None:
            self.answer(fault.status, headers=fault.headers)
            return
        etag = fault.etag or f'"{sha256}"'
        span = self._span(content.size, etag, ignore=fault.ignore_range)
        if span is not None and span[0] >= content.size:
            self.answer(416, Content_Range=f"bytes */{content.size}")
            return
        start, end = span or (0, content.size)
        self.asked.start = start
        headers = {"Content-Length": str(end - start), "ETag": etag, "Accept-Ranges": "bytes"}
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
        self.begin(206 if span else 200, headers)
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):
                self._send(content, start, end, fault)

    def _span(self, size: int, etag: str, *, ignore: bool) -> tuple[int, int] | None:
        asked = _RANGE.fullmatch(self.headers.get("range", ""))
        if asked is None or ignore or self.headers.get("if-range", etag) != etag:
            return None
        return int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size

    def _send(self, content: Content, start: int, end: int, fault: Fault) -> None:
        limit = fault.cut_after if fault.cut_after is not None else fault.stall_after
        last = end if limit is None else min(end, start + limit)
        pace = fault.bytes_per_s or self.hub.bytes_per_s
        if isinstance(content.source, Path) and pace is None and fault == Fault() and not self.hub.tls:
            self._send_file(content.source, start, last)
        else:
            self._send_pieces(content, start, last, pace, fault.wrong_at)
        if fault.stall_after is not None:
            self.hub.closing.wait()
        if last < end:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send_file(self, path: Path, start: int, end: int) -> None:
        with path.open("rb") as file:
            while start < end:
                count = os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)
                self.asked.sent += count
                start += count

    def _send_pieces(self, content: Content, start: int, end: int, pace: float | None, wrong_at: int | None) -> None:
        began = time.monotonic()
        for at in range(start, end, _CHUNK_BYTES):
            piece = bytearray(content.read(at, min(end, at + _CHUNK_BYTES)))
            if wrong_at is not None and at <= wrong_at < at + len(piece):
                piece[wrong_at - at] ^= 1
            self.connection.sendall(piece)
            self.asked.sent += len(piece)
            if pace is not None:
                ahead_s = (at + len(piece) - start) / pace - (time.monotonic() - began)
                self.hub.closing.wait(max(0.0, ahead_s))
