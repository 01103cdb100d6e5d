"""A hub on loopback: real HTTP, two hosts, faults on demand; `python -m tests.hub` serves one file from a process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.hub.content import Repository
from tests.hub.server import LoopbackHub

if TYPE_CHECKING:
    import pytest

__all__ = ["LoopbackHub", "Repository", "connect"]


def connect(hub: LoopbackHub, patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let this process and those that it starts know no other hub, and keep its files in `cache`."""
    from huggingface_hub import constants

    for name, value in hub.environment(cache).items():
        patch.setenv(name, value)
    patch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "token"))
