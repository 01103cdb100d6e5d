"""What can go wrong with a hub, in words that a person can act on."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "gated", "missing", "no_variant", "offline", "unreachable", "refused", "server", "changed", "mismatch", "hostile"
]


class HubError(Exception):
    """The hub can't give what was asked; the message says why and what to do."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


def gated(repository: str, endpoint: str, *, with_token: bool) -> HubError:
    """Consent to the licence is asked for first."""
    step = "" if with_token else ", then set HF_TOKEN or run `hf auth login`"
    return HubError(
        "gated",
        f"{repository} is gated: accept its licence at {endpoint}/{repository}{step}. "
        "Other publishers' conversions of the same model are often not gated: `slmtui search` finds them",
    )


def missing(repository: str, endpoint: str, *, with_token: bool) -> HubError:
    """There is no such repository, or it is hidden from us."""
    hidden = "or this token may not see it" if with_token else "or it is private: set HF_TOKEN if you may see it"
    return HubError("missing", f"{endpoint} has no model {repository}, {hidden}. `slmtui search` finds models by words")


def refusal(status: int, code: str | None, host: str, path: str) -> HubError:
    """A host's answer to a request for a file that no second try will change."""
    if code == "GatedRepo":
        return HubError("gated", f"{host} gives {path} only to those who accepted its licence there")
    if code == "RepoNotFound" or status in (404, 410):
        return HubError("missing", f"{host} has {path} no more ({status}); the repository was changed or removed")
    if status in (401, 403):
        return HubError("refused", f"{host} refuses {path} ({status}); set HF_TOKEN to a token that may read it")
    if status >= 500 or status in (408, 429):
        return HubError("server", f"{host} can't answer for {path} now ({status}); try again later")
    return HubError("server", f"{host} does not give {path} ({status}); check HF_ENDPOINT and the proxy")
