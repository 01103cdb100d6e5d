"""Asks a hub, through huggingface_hub, which files a repository holds at which commit, and what there is by words.

`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, proxies and the token of `hf auth login` hold as for every other program
that uses huggingface_hub.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from slmtui import __version__
from slmtui.core.hub_files import (
    HubDataError,
    HubFile,
    Listing,
    checked_commit,
    checked_file,
    checked_path,
    checked_repository,
    is_commit,
)
from slmtui.core.text import one_line, shorten
from slmtui.sources.hub_errors import HubError, gated, missing, refusal
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.ranges import BROKEN, AnswerError, ChangedError, Line, Source

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_TIMEOUT_S = 20.0
_CONNECT_S = 5.0
"""Within this a host that can be reached has answered a connection; a firewall that drops everything never does."""
_TRIES = 4
_LONGEST_S = 30.0
"""After this long a question is not asked again."""
_BUSY = (408, 429, 500, 502, 503, 504)
_T = TypeVar("_T")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A repository that a search found; texts are without control characters."""

    repository: str
    downloads: int | None
    """In the last 30 days."""
    likes: int | None
    updated: str | None
    """Date as YYYY-MM-DD."""
    gated: bool


class _Large(msgspec.Struct, frozen=True):
    """What a hub's API says of a file in large file storage; not checked."""

    size: Any = None
    sha256: Any = None


class _Sibling(msgspec.Struct, frozen=True, rename="camel"):
    """What it says of a file."""

    rfilename: Any
    size: Any = None
    blob_id: Any = None
    lfs: _Large | None = None


class _Told(msgspec.Struct, frozen=True, rename="camel"):
    """What it says of a repository; huggingface_hub's own type takes 35 ms to import."""

    id: str
    sha: Any = None
    siblings: tuple[_Sibling, ...] | None = None
    gated: bool | str | None = None
    private: bool | None = None
    card_data: Any = None
    downloads: int | None = None
    likes: int | None = None
    last_modified: datetime | None = None


@dataclass(frozen=True)
class Hub:
    """A hub, and the cache on this machine that its files go to."""

    endpoint: str
    cache: Path
    token: str | None = field(default=None, repr=False)
    timeout_s: float = _TIMEOUT_S
    patience_s: float = 1.0
    """The first wait after a hub was busy; it doubles."""

    @classmethod
    def from_environment(cls) -> Hub:
        """The hub that huggingface_hub would use.

        Raises:
            HubError: the environment names one that can't be, or a token that is none.
        """
        _check_address(os.environ.get("HF_ENDPOINT"))  # first: the library can't be imported with some
        from huggingface_hub import constants, get_token

        token = get_token()
        if token is not None and not (token.isascii() and token.isprintable()):
            raise HubError("refused", "HF_TOKEN, or what `hf auth login` kept, holds characters that no token has")
        return cls(constants.ENDPOINT, cache_folder(), token)

    def listing(self, repository: str, revision: str | None = None) -> Listing:
        """What the repository holds at the newest commit of a branch, tag or commit; None is the main branch.

        Raises:
            HubError: the hub can't be asked, or does not have it or give it; a gated one is given to nobody without a
                token.
        """
        try:
            checked_repository(repository)
            at = "" if revision is None else f"/revision/{quote(revision, safe='')}"
            told = self._ask(repository, lambda: self._get(f"models/{repository}{at}", {"blobs": True}, _Told))
            found = _listing(told, revision)
        except HubDataError as error:
            raise HubError("hostile", f"{error}; nothing was downloaded") from error
        if found.gated and self.token is None:
            raise self.gated(found.repository)
        return found

    def check(self, listing: Listing, file: HubFile) -> None:
        """Ask for the first byte of a gated repository's file.

        Raises:
            HubError: the hub does not give it to the owner of this token.
        """
        line = Line(self.source(listing, file))
        try:
            line.get(0, 1, None)
        except AnswerError as error:
            if error.code == "GatedRepo":
                raise self.gated(listing.repository) from error
        except (*BROKEN, ChangedError):  # the download will say why
            return
        finally:
            line.close()

    def search(self, words: str, form: str = "GGUF", limit: int = 20) -> tuple[Found, ...]:
        """Repositories whose name has all of the words and that hold models of a format, most downloaded first.

        Raises:
            HubError: the hub can't be asked.
        """
        wanted: dict[str, str | int | Sequence[str]] = {
            "search": words,
            "filter": form.lower(),
            "sort": "downloads",
            "limit": limit,
            "expand": ["downloads", "likes", "lastModified", "gated"],
        }

        def find() -> tuple[Found, ...]:
            return tuple(_found(each) for each in self._get("models", wanted, list[_Told])[:limit])

        return self._ask(words, find)

    def source(self, listing: Listing, file: HubFile) -> Source:
        """Where the content of a file can be had."""
        url = f"{self.endpoint}/{listing.repository}/resolve/{listing.commit}/{quote(file.path)}"
        return Source(url, self._headers(), file, self.timeout_s)

    def gated(self, repository: str) -> HubError:
        """The error that says that its licence has to be accepted first."""
        return gated(repository, self.endpoint, with_token=self.token is not None)

    def _headers(self) -> dict[str, str]:
        """Who asks: for the hub itself and nobody else."""
        secret = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return {"user-agent": f"slmtui/{__version__}", **secret}

    def _get(self, path: str, parameters: dict[str, str | int | Sequence[str]], kind: type[_T]) -> _T:
        """What the hub's API says, which must be JSON of a kind.

        huggingface_hub's own questions have no limit of time, or are asked again for 23 s with a warning each time, so
        only its session, headers and errors are used.

        Raises:
            httpx2.HTTPError, HfHubHTTPError, OfflineModeIsEnabled: there is no answer.
            HubError: the certificates to trust can't be read.
            msgspec.DecodeError, RecursionError: it is not the answer of a hub.
        """
        import httpx2
        from huggingface_hub import get_session, hf_raise_for_status

        _hush()
        try:
            session = get_session()
        except OSError as error:  # it reads the certificates that it shall trust
            raise HubError(
                "unreachable",
                f"the certificates can't be read ({error}); correct or unset SSL_CERT_FILE and SSL_CERT_DIR",
            ) from error
        answer = session.get(
            f"{self.endpoint}/api/{path}",
            params=parameters,
            headers=self._headers(),
            timeout=httpx2.Timeout(self.timeout_s, connect=min(_CONNECT_S, self.timeout_s)),
        )
        hf_raise_for_status(answer)
        return msgspec.json.decode(answer.content, type=kind)

    def _ask(self, about: str, question: Callable[[], _T]) -> _T:
        """The answer of the hub; one that is busy, or that stops in the middle, is asked again for a while."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        last_s = time.monotonic() + _LONGEST_S
        for attempt in range(_TRIES):
            wait_s = self.patience_s * 2**attempt
            try:
                return question()
            except OfflineModeIsEnabled as error:
                raise HubError("offline", "HF_HUB_OFFLINE is set, so no hub is asked; unset it to download") from error
            except HfHubHTTPError as error:
                problem, passes = self._explained(error, about), error.response.status_code in _BUSY
                wait_s = max(wait_s, _asked_to_wait_s(error.response.headers))
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                problem, passes = self._unreachable(error), _may_pass(error)
            except ImportError as error:
                words = "the proxy of the environment is a SOCKS proxy; name an http:// proxy"
                raise HubError("unreachable", words) from error
            except (msgspec.DecodeError, RecursionError, ValueError, KeyError, TypeError) as error:
                raise HubError(
                    "server", f"{self.endpoint} does not answer as a hub does; check HF_ENDPOINT and the proxy"
                ) from error
            if not passes or attempt == _TRIES - 1 or time.monotonic() + wait_s > last_s:
                raise problem
            time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _explained(self, error: HfHubHTTPError, about: str) -> HubError:
        from huggingface_hub import errors

        status = error.response.status_code
        match error:
            case errors.GatedRepoError():  # before its parent, which means that there is no such repository
                return self.gated(about)
            case errors.DisabledRepoError():
                return HubError("missing", f"the hub has switched {about} off; choose another repository")
            case errors.RevisionNotFoundError():
                return HubError("missing", f"{about} has no such branch, tag or commit")
            case errors.RepositoryNotFoundError():
                return missing(about, self.endpoint, with_token=self.token is not None)
        return refusal(status, None, urlsplit(self.endpoint).netloc, about)

    def _unreachable(self, error: Exception) -> HubError:
        why = one_line(str(error)) or type(error).__name__
        return HubError(
            "unreachable",
            f"can't reach {self.endpoint}: {shorten(why, 120)}; check the network, the proxy and HF_ENDPOINT",
        )


def _check_address(named: str | None) -> None:
    try:
        split = urlsplit("https://huggingface.co" if named is None else named)
        whole = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        whole = False
    if not whole:
        shown = shorten(one_line(named or ""), 80)
        raise HubError("unreachable", f"HF_ENDPOINT is {shown!r}; write it as https://huggingface.co, or unset it")


def _hush() -> None:
    """Keep what the library logs off standard error, which the app paints on, unless a person asked for more of it."""
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    if get_verbosity() == logging.WARNING:
        set_verbosity(logging.ERROR)


def _may_pass(error: Exception) -> bool:
    """Whether another try may help: not where there is no way to the host at all, as without a network."""
    import httpx2

    return isinstance(error, httpx2.ReadTimeout | httpx2.ReadError | httpx2.RemoteProtocolError)


def _listing(told: _Told, revision: str | None) -> Listing:
    """What the hub said, checked."""
    files: list[HubFile] = []
    refused: list[str] = []
    for sibling in told.siblings or ():
        size = sibling.lfs.size if sibling.lfs else sibling.size
        try:
            files.append(checked_file(sibling.rfilename, size, sibling.lfs and sibling.lfs.sha256, sibling.blob_id))
        except HubDataError:
            refused.append(shorten(one_line(str(sibling.rfilename)), 80))
    card = told.card_data if isinstance(told.card_data, dict) else {}
    base = card.get("base_model")
    return Listing(
        repository=checked_repository(told.id),
        commit=checked_commit(told.sha),
        branch=None if revision and is_commit(revision) else checked_path(revision or "main"),
        files=tuple(files),
        refused=tuple(refused),
        gated=bool(told.gated),
        private=bool(told.private),
        licence=_text(card.get("license_name") or card.get("license")),
        base_model=_text(base[0] if isinstance(base, list) and base else base),
    )


def _found(told: _Told) -> Found:
    return Found(
        repository=one_line(told.id),
        downloads=told.downloads,
        likes=told.likes,
        updated=f"{told.last_modified:%Y-%m-%d}" if told.last_modified else None,
        gated=bool(told.gated),
    )


def _text(value: object) -> str | None:
    return shorten(one_line(value), 80) if isinstance(value, str) else None


def _asked_to_wait_s(headers: Mapping[str, str]) -> float:
    asked = headers.get("retry-after", "")
    return float(asked) if asked.isdecimal() else 0.0
