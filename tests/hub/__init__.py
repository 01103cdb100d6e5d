"""A hub on loopback: real HTTP, two hosts, and faults on demand."""

from __future__ import annotations

from tests.hub.content import Repository
from tests.hub.server import LoopbackHub

__all__ = ["LoopbackHub", "Repository"]
