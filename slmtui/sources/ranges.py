"""Ranges of bytes of one file on the hub, over connections that stay open.

huggingface_hub's HTTP client hands on 64 KiB at a time through several layers, which takes a core for 0.7 GB/s; the
standard library's reads into a buffer that is there already. Proxies come from the environment, and certificates are
those that huggingface_hub trusts. The person's token goes to the hub that the person named and to no other host: a hub
redirects to a storage host, with an address that is signed and needs none.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from slmtui.core.hub_files import HubFile
from slmtui.sources.hub_errors import HubError

_MOST_REDIRECTS = 10
_FEW_BYTES = 65_536
_REDIRECTS = (301, 302, 303, 307, 308)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
BROKEN = (OSError, http.client.HTTPException)
"""What a connection may raise."""


class AnswerError(Exception):
    """An answer that is no content: its status, what the hub says of it, and how long it asks to wait."""

    def __init__(self, status: int, host: str, code: str | None = None, wait_s: float | None = None) -> None:
        super().__init__(f"{host} answered {status}")
        self.status, self.host, self.code, self.wait_s = status, host, code, wait_s


class ChangedError(Exception):
    """The answer is for another content than that of which a part is here, or not for the range that was asked."""


class Body(NamedTuple):
    """The content from `start` on."""

    response: http.client.HTTPResponse
    etag: str | None
    whole: bool
    """Whether the host sent all of the file, and not a range of it."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; less only at the end of the content, 0 after it.

        Raises:
            OSError, http.client.HTTPException: the connection is broken, or nothing came for too long.
        """
        return self.response.readinto(buffer)

    @property
    def finished(self) -> bool:
        """Whether the connection can be used again."""
        return self.response.isclosed()


class Source:
    """Where one file of the hub is; remembers where the hub redirected to."""

    def __init__(self, url: str, headers: Mapping[str, str], file: HubFile, timeout_s: float) -> None:
        """`headers` go to the hub's own host only; all others learn nothing but which program asks."""
        self.url = url
        self._headers = {name.lower(): value for name, value in headers.items()}
        self.host = urlsplit(url).hostname or ""
        self.key = file.key
        self.size_bytes = file.size_bytes
        self.timeout_s = timeout_s
        self.location: str | None = None
        """Where the content really is, once the hub has said so; its query is a secret."""

    @cached_property
    def certificates(self) -> ssl.SSLContext:
        """What huggingface_hub trusts; made once for all connections, for it takes 40 ms."""
        import httpx2

        return httpx2.create_ssl_context()

    def headers_for(self, url: str) -> dict[str, str]:
        """The headers that may go to this address."""
        if _origin(urlsplit(url)) == _origin(urlsplit(self.url)):
            return dict(self._headers)
        return {name: value for name, value in self._headers.items() if name == "user-agent"}


class Line:
    """One connection at a time to wherever the source's content is; for one thread, but any may `cut` it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._connection: http.client.HTTPConnection | None = None
        self._to: tuple[str, str, int] | None = None
        self._lock = threading.Lock()
        self._is_cut = False
        self.connecting = False
        """Whether a connection is being opened; after `cut` nothing is done with it."""

    def get(self, start: int, end: int, etag: str | None) -> Body:
        """The content from `start` to before `end`, if it still has this `etag`.

        Raises:
            AnswerError: the hub or the storage host refuses.
            HubError: there is no way to it: its certificate, or the proxy.
            ChangedError: it is other content, or the host can't send ranges.
            OSError, http.client.HTTPException: no connection, or a broken one.
        """
        source, asked = self._source, self._range(start, end, etag)
        known = source.location
        try:
            try:
                response = self._follow(known or source.url, asked)
            except AnswerError as error:
                if known is None or error.status not in (400, 401, 403, 404, 410):
                    raise
                source.location = None  # signed addresses are good for an hour; the hub signs another
                response = self._follow(source.url, asked)
        except ValueError as error:  # of no host, a port that is none, or characters that no address has
            raise HubError("server", f"{source.host} redirects to something that is no address") from error
        return self._checked(response, start, etag)

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Hang up now and for good, even while another thread reads."""
        with self._lock:
            self._is_cut = True
            connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(2)
            except OSError:
                return

    def _range(self, start: int, end: int, etag: str | None) -> dict[str, str]:
        if (start, end) == (0, self._source.size_bytes):
            return {}
        headers = {"range": f"bytes={start}-{end - 1}"}
        if etag is not None and not etag.startswith("W/"):
            headers["if-range"] = etag
        return headers

    def _follow(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        for _ in range(_MOST_REDIRECTS):
            response = self._ask(url, {**self._source.headers_for(url), "accept-encoding": "identity", **headers})
            if response.status not in _REDIRECTS:
                if response.status in (200, 206):
                    self._source.location = url if url != self._source.url else None
                    return response
                self.close()
                raise _refusal(response, urlsplit(url).hostname or "")
            linked = response.headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
            target = response.headers.get("location")
            self._pass_over(response)
            if linked and linked != self._source.key:
                raise ChangedError("the hub has another file under this name now")
            if not target:
                break
            url = urljoin(url, target)
        self.close()
        raise AnswerError(310, urlsplit(self._source.url).hostname or "")

    def _pass_over(self, response: http.client.HTTPResponse) -> None:
        """Leave the few words that come with a redirection unread where that would be many."""
        if (response.length or 0) <= _FEW_BYTES and not response.chunked:
            response.read()
        if not response.isclosed():
            self.close()

    def _ask(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The beginning of an answer; an open connection that the host has closed meanwhile is opened once more."""
        split = urlsplit(url)
        origin = _origin(split)
        if self._to != origin:
            self.close()
        again = self._connection is not None
        while True:
            try:
                connection, target, more = self._connect(split, origin)
                connection.request("GET", target, headers={**headers, **more})
                return connection.getresponse()
            except BROKEN:
                self.close()
                if not again:
                    raise
                again = False

    def _connect(
        self, split: SplitResult, origin: tuple[str, str, int]
    ) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
        """An open connection, what to ask it for, and headers for the proxy on the way."""
        proxy = _proxy(split)
        connection = self._connection
        if connection is None:
            connection = _connection(split, proxy, self._source)
            self.connecting = True
            try:
                connection.connect()
            except ssl.SSLCertVerificationError as error:
                raise HubError(
                    "unreachable",
                    f"the certificate of {split.hostname} can't be trusted: {error.verify_message}; if your network "
                    "has an authority of its own, name its file in SSL_CERT_FILE",
                ) from error
            finally:
                self.connecting = False
            with self._lock:
                if self._is_cut:
                    connection.close()
                    raise ConnectionAbortedError("the download was stopped")
                self._connection, self._to = connection, origin
        path = (split.path or "/") + (f"?{split.query}" if split.query else "")
        if proxy is not None and split.scheme == "http":
            return connection, f"http://{split.netloc.rpartition('@')[2]}{path}", _pass_for(proxy)
        return connection, path, {}

    def _checked(self, response: http.client.HTTPResponse, start: int, etag: str | None) -> Body:
        found = response.headers.get("etag")
        body = Body(response, found, whole=response.status == 200)
        problem = None
        if body.whole:
            length = response.headers.get("content-length")
            if start or (length is not None and length != str(self._source.size_bytes)):
                problem = "all of the file came in place of a part" if start else "the file has another size now"
        else:
            place = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            if place is None or int(place[1]) != start or place[3] not in ("*", str(self._source.size_bytes)):
                problem = "another part came than was asked for"
        if etag is not None and found is not None and found != etag:
            problem = "the file is another one now"
        if problem:
            self.close()
            raise ChangedError(problem)
        return body


def _origin(split: SplitResult) -> tuple[str, str, int]:
    return split.scheme, (split.hostname or "").lower(), split.port or (443 if split.scheme == "https" else 80)


def _proxy(split: SplitResult) -> SplitResult | None:
    """The proxy that the environment or the system names for this address."""
    proxies = getproxies()
    named = proxies.get(split.scheme) or proxies.get("all")
    if not named or proxy_bypass(split.hostname or ""):
        return None
    return urlsplit(named if "://" in named else f"http://{named}")


def _connection(split: SplitResult, proxy: SplitResult | None, source: Source) -> http.client.HTTPConnection:
    (scheme, host, port), timeout_s = _origin(split), source.timeout_s
    if scheme not in ("http", "https"):
        raise HubError("unreachable", f"{host} is to be reached by {scheme}, which is no way to download a file")
    if proxy is None:
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=source.certificates)
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    if proxy.scheme != "http":
        raise HubError("unreachable", f"the proxy of the environment is a {proxy.scheme} proxy; name an http:// proxy")
    name = proxy.hostname or ""
    if scheme == "http":
        return http.client.HTTPConnection(name, proxy.port or 80, timeout=timeout_s)
    connection = http.client.HTTPSConnection(name, proxy.port or 80, timeout=timeout_s, context=source.certificates)
    connection.set_tunnel(host, port, headers=_pass_for(proxy))
    return connection


def _pass_for(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(words).decode()}"}


def _refusal(response: http.client.HTTPResponse, host: str) -> AnswerError:
    wait = response.headers.get("retry-after", "")
    code = response.headers.get("x-error-code")
    return AnswerError(response.status, host, code, float(wait) if wait.isdecimal() else None)
