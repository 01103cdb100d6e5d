"""An HTTP proxy on loopback: passes requests on, opens tunnels, and notes what for."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_PIECE_BYTES = 64 * 1024


class LoopbackProxy(ThreadingHTTPServer):
    """A proxy at `address`; a context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, str, str | None]] = []
        """Method, address and `Proxy-Authorization` of each request."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _ProxyHandler(BaseHTTPRequestHandler):
    server: LoopbackProxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self._note()
        split = urlsplit(self.path)
        connection = http.client.HTTPConnection(split.hostname or "", split.port)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request(self.command, self.path.partition(split.netloc)[2], headers=headers)
            response = connection.getresponse()
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() != "connection":
                    self.send_header(name, value)
            self.end_headers()
            while piece := response.read(_PIECE_BYTES):
                self.wfile.write(piece)

    def do_CONNECT(self) -> None:
        self._note()
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response_only(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            with contextlib.suppress(OSError):
                while True:
                    for ready in select.select(list(ends), [], [])[0]:
                        piece = ready.recv(_PIECE_BYTES)
                        if not piece:
                            return
                        ends[ready].sendall(piece)

    def _note(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("proxy-authorization")))
        self.close_connection = True
