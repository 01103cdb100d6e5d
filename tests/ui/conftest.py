"""What tests of the app share."""

from __future__ import annotations

import pytest

from slmtui.lab import ceiling
from tests.lab.conftest import known_ceiling


@pytest.fixture(autouse=True)
def without_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's ceiling has tests of its own, and takes seconds; an app in a process of its own measures it."""
    monkeypatch.setattr(ceiling, "measured", known_ceiling)
